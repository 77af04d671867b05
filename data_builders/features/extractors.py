"""The extractors: frozen networks that say something about a photo, each for one or more parts of the feature store.

To add one, write a module with a subclass of Extractor, and add a row to EXTRACTORS. The module is imported by reading
processes, which must load no jax: it imports jax and the networks inside the functions that run them.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from data_builders.features.rows import PARTS
from third_party_ports.checkpoints.checkpoint import attribute


class Extractor(ABC):
    """Networks with their weights, ready to run. A reading process uses only `prepare`, without making an instance.

    Args:
      options: config.extract as a nested mapping, with `keypoint_threshold` of config.data.pose.
      random: draws random weights instead of reading the official ones.

    Attributes:
      name: the extractor's row in EXTRACTORS, and its section of config.extract.
      version: raise it when the same weights and options come to give other features.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"

    @abstractmethod
    def __init__(self, options: Mapping[str, Any], random: bool): ...

    @classmethod
    def networks(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the checkpoints that these options need, rows of third_party_ports.checkpoints.zoo."""
        return (options[cls.name]["network"],)

    @classmethod
    def acting(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that change the features. They are part of the store's header."""
        return {**options[cls.name], "dtype": options["dtype"]}

    @classmethod
    def near(cls, options: Mapping[str, Any]) -> int:
        """Pixels that a photo's shorter side must keep, so that large JPEGs are decoded at a fraction of their size;
        0: the whole photo. It acts where all extractors that run together allow it."""
        return 0

    @staticmethod
    @abstractmethod
    def prepare(photo: np.ndarray, options: Mapping[str, Any]) -> Any:
        """Makes the networks' input of a photo uint8 [H, W, 3], upright RGB. Runs in reading processes, without jax."""

    @abstractmethod
    def shape(self, inputs: Any) -> Hashable:
        """What inputs of one batch must share; None for an input that no network has to see."""

    @abstractmethod
    def start(self, batch: Sequence[Any]) -> Any:
        """Starts the devices on a batch of prepared inputs of one shape, and returns without waiting for them."""

    @abstractmethod
    def finish(self, started: Any, batch: Sequence[Any]) -> list[dict[str, Any]]:
        """Waits for what `start` returned.

        Args:
          started: what `start` returned; None for inputs whose `shape` is None.
          batch: the prepared inputs.

        Returns:
          For each input the arguments of FeatureWriter.write that belong to the extractor's parts.
        """


class Row(NamedTuple):
    """A row of EXTRACTORS.

    Attributes:
      parts: the parts of the store that the extractor fills in one pass, of rows.PARTS.
      code: "module:Class", a subclass of Extractor.
      profile: of config.extract.profile: which extractors run together by default.
    """

    parts: tuple[str, ...]
    code: str
    profile: str = "paper"


EXTRACTORS = {
    "pose": Row(("pose",), "data_builders.features.pose:Pose"),
    "background": Row(("background",), "data_builders.features.background:Background"),
    "caption": Row(("caption",), "data_builders.features.caption:Caption"),
    "depth": Row(("depth",), "data_builders.features.depth:Depth"),
    "light": Row(("background", "caption"), "data_builders.features.light:Light", "light"),
}


def extractor(name: str) -> type[Extractor]:
    """The class of a row. This imports its module, but loads neither networks nor jax."""
    return attribute(EXTRACTORS[name].code)


def that_fill(parts: Iterable[str], profile: str = "paper") -> tuple[str, ...]:
    """Names of a profile's extractors that fill these parts of the store: its first row of EXTRACTORS for each part.

    Raises:
      ValueError: the profile has no extractor of a part; names the field that asks for it.
    """
    lacking, chosen = set(parts), []
    for name, row in EXTRACTORS.items():
        if row.profile == profile and lacking & set(row.parts):
            chosen.append(name)
            lacking -= set(row.parts)
    if lacking:
        part = min(lacking)
        field = "config.data.depth.side" if part == "depth" else f"config.data.similarity.{part}"
        raise ValueError(
            f"config.extract.profile is {profile!r}, which has no {part}: set {field} to 0, as --config={profile} does"
        )
    return tuple(chosen)


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """These names in the order of EXTRACTORS.

    Raises:
      ValueError: a name is unknown, there is none, or two of the extractors fill the same part.
    """
    given = set(names)
    if unknown := sorted(given - set(EXTRACTORS)):
        raise ValueError(f"--extractors: {', '.join(unknown)} is unknown; take from {', '.join(EXTRACTORS)}")
    if not given:
        raise ValueError(f"--extractors: name at least one of {', '.join(EXTRACTORS)}")
    ordered = tuple(name for name in EXTRACTORS if name in given)
    filled = [part for name in ordered for part in EXTRACTORS[name].parts]
    if twice := [part for part in PARTS if filled.count(part) > 1]:
        both = [name for name in ordered if twice[0] in EXTRACTORS[name].parts]
        raise ValueError(f"--extractors: {' and '.join(both)} both fill the part {twice[0]}; name one of them")
    return ordered


def parts_of(names: Iterable[str]) -> tuple[str, ...]:
    """The parts of the store that these extractors fill, in the order of rows.PARTS."""
    filled = {part for name in names for part in EXTRACTORS[name].parts}
    return tuple(part for part in PARTS if part in filled)
