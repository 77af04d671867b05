"""The choices of a build (`config.data`): checked one by one, and compared with those stored in a data set."""

from collections.abc import Mapping
from typing import Any

ABSENT = "<absent>"
ALLOWED = {
    "posts.carousel": ("first", "skip", "all"),
    "split.by": ("group", "account"),
    "memory.exclude": ("group", "post", "none"),
    "memory.fallback": ("none", "cross_account"),
}
AT_LEAST = {
    "top_n": 1,
    "posts.min_age_days": 0,
    "groups.window_days": 0,
    "groups.min_images": 2,
    "groups.max_images": 2,
    "pairs.min_ratio": 1,
    "memory.min_lag_days": 0,
    "memory.window_days": 1e-9,  # eq. 2 asks for strictly less
    "memory.max_posts": -1,
    "memory.fallback_below": 1,
    "similarity.pose": 0,
    "similarity.background": 0,
    "similarity.caption": 0,
    "retrieval.k": 1,
    "pose.keypoint_threshold": 0,
    "depth.side": 0,
    "image.max_side": 0,
    "duplicates.max_bits": 0,
}


def check(options: Mapping[str, Any]) -> None:
    """Raises ValueError for a choice out of its range, by name; see `check_fields`."""
    check_fields(options, ALLOWED, AT_LEAST, "config.data")


def check_fields(
    values: Mapping[str, Any], allowed: Mapping[str, tuple], at_least: Mapping[str, float], prefix: str
) -> None:
    """Raises ValueError where a field is none of the allowed values, or below its least one.

    Args:
      values: nested mapping, or ConfigDict; fields are named by dotted paths below it.
      prefix: of the names in the message.
    """
    for path, known in allowed.items():
        if (value := _at(values, path)) not in known:
            raise ValueError(f"{prefix}.{path} is {value!r}: set it to one of {', '.join(map(str, known))}")
    for path, least in at_least.items():
        if not (value := _at(values, path)) >= least:  # so that NaN is refused too
            bound = "above 0" if 0 < least < 1 else f"{least:g} or more"
            raise ValueError(f"{prefix}.{path} is {value!r}: set it to {bound}")


def _at(values: Mapping[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def differences(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "data"
) -> list[tuple[str, Any, Any]]:
    """Fields in which two nested choices differ.

    Args:
      stored: what the data set was built with.
      wanted: `config.data.to_dict()` of now.
      prefix: of the field names returned.

    Returns:
      (field such as "data.memory.exclude", stored value, wanted value), in the order of `wanted`, then what only
      `stored` has; "<absent>" stands where a side lacks the field.
    """
    found = []
    for name in [*wanted, *(name for name in stored if name not in wanted)]:
        field = f"{prefix}.{name}"
        old, new = (side.get(name, ABSENT) for side in (stored, wanted))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, field)
        elif old != new:
            found.append((field, old, new))
    return found


def require_equal(stored: Mapping[str, Any], wanted: Mapping[str, Any], where: str, remedy: str) -> None:
    """Raises ValueError unless both are the same, naming each field that differs, both values and the remedy.

    Args:
      where: path of the data set, the beginning of the message.
      remedy: what to do, its end.
    """
    found = differences(stored, wanted)
    if found:
        fields = "; ".join(f"config.{field} is {old!r} in the data set and {new!r} here" for field, old, new in found)
        raise ValueError(f"{where}: {fields}. {remedy}")
