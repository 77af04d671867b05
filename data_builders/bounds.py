"""What the numbers of a config may be: tables of ranges by field, and the check that names the field.

The tables of config.data and config.extract are here, those of a training in ipa_jax/training/bounds.py, and what one
network alone reads stands in its row of ipa_jax/models/registry.py.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

Values = Mapping[str, Any] | ConfigDict  # a config or a part of it


class Range(NamedTuple):
    """The finite numbers from `least` to `most`; the ends are left out where `above` or `below` is set."""

    least: float
    most: float
    above: bool = False
    below: bool = False

    def holds(self, value: object) -> bool:
        """Whether a value is such a number, or a tuple of such numbers (not empty)."""
        if isinstance(value, tuple):
            return bool(value) and all(not isinstance(part, tuple) and self.holds(part) for part in value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        low = value > self.least if self.above else value >= self.least
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        low = f"above {self.least:.15g}" if self.above else f"{self.least:.15g} or more"
        return f"{low}, {'below' if self.below else 'at most'} {self.most:.15g}"


class Sizes(NamedTuple):
    """Tuples of whole numbers from `least` to `most`.

    Attributes:
      fewest, longest: how many numbers a tuple has.
      rows: whether a value is one or more of these tuples.
    """

    least: int
    most: int
    fewest: int = 1
    longest: int = 100
    rows: bool = False

    def holds(self, value: object) -> bool:
        """Whether a value is such a tuple, or one of such tuples."""
        if not isinstance(value, tuple):
            return False
        if self.rows:
            return bool(value) and all(map(self._replace(rows=False).holds, value))
        whole = all(type(part) is int and self.least <= part <= self.most for part in value)
        return whole and self.fewest <= len(value) <= self.longest

    def __str__(self) -> str:
        count = self.fewest if self.fewest == self.longest else f"{self.fewest} to {self.longest}"
        return f"{'rows of ' if self.rows else ''}{count} whole numbers from {self.least} to {self.most}"


def above(least: float, most: float) -> Range:
    """`least` itself is not in it."""
    return Range(least, most, above=True)


BLOCKS = Sizes(1, 1000, 1, 4)  # of the stages of a ResNet
SHARE = Range(0, 1)
RATE = Range(0, 1, below=True)  # of dropout and averages: 1 would leave nothing
SEED = Range(0, 2**32 - 1)
DAYS = 36_525  # a hundred years
SIDE = 8192  # px
WIDTH = 65_536  # channels of a layer

DATA = {
    "top_n": Range(1, 10**9),
    "posts.min_age_days": Range(0, DAYS),
    "groups.window_days": Range(0, DAYS),
    "groups.min_images": Range(2, 10_000),
    "groups.max_images": Range(2, 10_000),
    "pairs.min_ratio": Range(1, 10**6),
    "split.seed": SEED,
    "memory.min_lag_days": Range(0, DAYS),
    "memory.window_days": above(0, DAYS),  # eq. 2 asks for strictly less
    "memory.max_posts": Range(-1, 10**9),
    "memory.fallback_below": Range(1, 10**6),
    "similarity.pose": Range(0, 10**6),
    "similarity.background": Range(0, 10**6),
    "similarity.caption": Range(0, 10**6),
    "retrieval.k": Range(1, 1000),
    "pose.keypoint_threshold": Range(0, 1),
    "depth.side": Range(0, SIDE),
    "image.max_side": Range(0, 2**16),
    "duplicates.max_bits": Range(0, 64),
}
EXTRACT = {
    "batch": Range(1, 4096),
    "workers": Range(-1, 256),  # -1: by the number of cores
    "shard_rows": Range(1, 10**6),
    "pose.side": Range(64, 4096),
    "pose.scales": above(0, 8),
    "pose.person_score": SHARE,
    "pose.max_aspect": Range(1, 100),
    "background.side": Range(32, 4096),
    "caption.short_side": Range(32, 4096),
    "caption.long_side": Range(32, SIDE),
    "caption.min_boxes": Range(1, 300),
    "caption.max_boxes": Range(1, 300),
    "caption.regions": Range(1, 300),
    "caption.beam": Range(1, 100),
    "caption.words": Range(1, 1000),
    "depth.size": Sizes(32, 4096, 2, 2),
    "light.side": Range(32, 4096),
}


def check(values: Values, bounds: Mapping[str, Range | Sizes], prefix: str) -> None:
    """Checks numbers of a config.

    Args:
      values: nested mapping, or ConfigDict.
      bounds: the range of each field, by the field's dotted path; a part * stands for any name.
      prefix: the beginning of the field's name in messages.

    Raises:
      ValueError: names the first field that is out of its range, its value, and what is allowed.
    """
    for path, allowed in bounds.items():
        for field, value in fields(values, path):
            if not allowed.holds(value):
                each = "numbers " if isinstance(value, tuple) and isinstance(allowed, Range) else ""
                raise ValueError(f"{prefix}.{field} is {value!r}: set it to {each}{allowed}")


def check_pattern(value: object, field: str) -> None:
    """Raises ValueError for what is no regular expression."""
    try:
        re.compile(value)  # type: ignore[call-overload]
    except (re.error, TypeError) as error:
        raise ValueError(f"{field} is {value!r}, which is no regular expression ({error}): correct it") from error


def fields(values: Values, path: str) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of the fields that a path names. Raises ValueError where a part of it is missing."""
    name, _, rest = path.partition(".")
    for key in list(values) if name == "*" else [name]:
        if key not in values:
            raise ValueError(f"the config lacks the field {path}: take configs/full.py as the example")
        if not rest:
            yield key, values[key]
            continue
        if not hasattr(values[key], "items"):
            raise ValueError(f"{key} is {values[key]!r}: it holds the field {rest}; set the fields one by one")
        for field, value in fields(values[key], rest):
            yield f"{key}.{field}", value
