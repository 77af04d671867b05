"""What a run is trained and evaluated on: a demo world, or a data set that you built from real posts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from data_builders.dataset import GroupDataset
from data_builders.demo_world.write import FORMAT
from ipa_jax.experiments.commands import command
from ipa_jax.experiments.records import digest
from ipa_jax.training import workdir


@dataclass(frozen=True, eq=False)
class Defined:
    """Two objects are equal if their definitions are: plain JSON of all that decides what the object is."""

    definition: ClassVar[Mapping[str, Any]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Defined) and type(self) is type(other) and self.definition == other.definition

    def __hash__(self) -> int:
        return hash(digest(self.definition))


@dataclass(frozen=True, eq=False)
class World(Defined):
    """A demo world, by the flags of `demo-world`; `settings` are the NAME=VALUE of --set."""

    seed: int
    accounts: int = 240
    posts: int = 80
    side: int = 48
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"seed{self.seed}"

    @property
    def next(self) -> "World":
        """The world whose full run gives this one its frozen ResNet: 1, 2, 0 for seeds 0, 1, 2; 4, 5, 3 for 3, 4, 5."""
        return replace(self, seed=self.seed - self.seed % 3 + (self.seed + 1) % 3)

    @cached_property
    def definition(self) -> dict[str, Any]:
        return asdict(self) | {"format": FORMAT}

    def folder(self, folder: Path) -> Path:
        """The world's folder below the folder of an experiment; `draw` fills it."""
        return folder / "worlds" / digest(self.definition)

    @property
    def flags(self) -> list[str]:
        """The flags of `demo-world`."""
        sizes = [f"--{name}={getattr(self, name)}" for name in ("accounts", "posts", "side", "seed")]
        return sizes + [f"--set={name}={value}" for name, value in self.settings.items()]

    @property
    def build_command(self) -> list[str]:
        """The command that builds a data set from this world, with its first flags."""
        return ["build"]

    def draw(self, folder: Path) -> Path:
        """Writes the world unless it exists; returns its folder. Raises StageError."""
        out = self.folder(folder)
        if not (out / "world.json").is_file():
            command("demo-world", f"--out={out}", *self.flags)
        return out


@dataclass(frozen=True, eq=False)
class BuiltData(Defined):
    """A data set that the command `build` wrote, in place of a world."""

    data_dir: Path
    seed: int = 0

    @property
    def name(self) -> str:
        return "data"

    @cached_property
    def definition(self) -> dict[str, Any]:
        return {"data": workdir.digest(GroupDataset(self.data_dir, "test"))}
