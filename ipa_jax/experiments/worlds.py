"""What a run is trained and judged on: a demo world, drawn once, or a data set that is built already."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from ipa_jax.experiments.commands import command
from ipa_jax.experiments.records import digest


@dataclass(frozen=True, eq=False)
class Defined:
    """Equal where the definitions are: plain JSON of all that decides what it is."""

    definition: ClassVar[Mapping[str, Any]]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.definition == other.definition

    def __hash__(self) -> int:
        return hash(digest(self.definition))


@dataclass(frozen=True, eq=False)
class World(Defined):
    """A demo world, by the arguments of data_builders.demo_world; `settings`: its --set NAME=VALUE."""

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
        """The world whose full run gives this one's frozen ResNet: of seeds 0, 1, 2 the next, around; so of 3, 4, 5."""
        return replace(self, seed=self.seed - self.seed % 3 + (self.seed + 1) % 3)

    @cached_property
    def definition(self) -> dict[str, Any]:
        from data_builders.demo_world.write import FORMAT

        return asdict(self) | {"format": FORMAT}

    def folder(self, folder: Path) -> Path:
        """Where it is, below the folder of an experiment; see `draw`."""
        return folder / "worlds" / digest(self.definition)

    @property
    def flags(self) -> list[str]:
        """What data_builders.demo_world is told."""
        sizes = [f"--{name}={getattr(self, name)}" for name in ("accounts", "posts", "side", "seed")]
        return sizes + [f"--set={name}={value}" for name, value in self.settings.items()]

    @property
    def build_command(self) -> list[str]:
        """The module that builds a data set from it, and its first arguments."""
        return ["build"]

    def draw(self, folder: Path) -> Path:
        """Writes the world unless it is there; returns its folder. Raises StageError."""
        out = self.folder(folder)
        if not (out / "world.json").is_file():
            command("demo-world", str(out), *self.flags)
        return out


@dataclass(frozen=True, eq=False)
class BuiltData(Defined):
    """A data set that data_builders.build wrote already, in the place of a world: real posts."""

    data_dir: Path
    seed: int = 0

    @property
    def name(self) -> str:
        return "data"

    @cached_property
    def definition(self) -> dict[str, Any]:
        from data_builders.dataset import GroupDataset
        from ipa_jax.training import workdir

        return {"data": workdir.digest(GroupDataset(self.data_dir, "test"))}
