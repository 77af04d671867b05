"""The runs behind the tables of protocols and leaks, and what is measured on each beside its scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data_builders.demo_world.plants import PLANTS
from ipa_jax.experiments.commands import command
from ipa_jax.experiments.records import Record, RecordError, digest
from ipa_jax.experiments.runs import Run, World

PAPER = "full"  # the very run of Table 1: trained once where both commands have the same --out
PAST, ACCOUNTS = "past_only", "account_disjoint"
EXCLUDE_POST, EXCLUDE_NONE = "exclude_post", "exclude_none"
SIBLING_HONEST = "sibling_honest"
PROTOCOLS: dict[str, Mapping[str, Any]] = {  # name: fields over full.py
    PAPER: {},
    PAST: {"data.memory.past_only": True},
    ACCOUNTS: {"data.split.by": "account"},
    EXCLUDE_POST: {"data.memory.exclude": "post"},
    EXCLUDE_NONE: {"data.memory.exclude": "none", "allow_leak": True},
}
PLANT_FIELDS: dict[str, Mapping[str, Any]] = {"temporal": PROTOCOLS[PAST]}


@dataclass(frozen=True, eq=False)
class PlantedWorld(World):
    """A demo world with a leak: one of its posts is drawn, one of the build is built (unless `leaky` is off)."""

    plant: str = ""
    leaky: bool = True

    @cached_property
    def drawn(self) -> World:
        """What is drawn: without a plant that acts in the build alone."""
        sizes = {name: getattr(self, name) for name in ("seed", "accounts", "posts", "side", "settings")}
        return World(**sizes)

    def folder(self, folder: Path) -> Path:
        if not PLANTS[self.plant].posts:
            return self.drawn.folder(folder)
        definition = {name: value for name, value in self.definition.items() if name != "leaky"}
        return folder / "worlds" / digest(definition)

    @property
    def flags(self) -> list[str]:
        return self.drawn.flags + ([f"--plant={self.plant}"] if PLANTS[self.plant].posts else [])

    @property
    def build_command(self) -> list[str]:
        if not (self.leaky and PLANTS[self.plant].build):
            return super().build_command
        return ["planted-build", f"--plant={self.plant}"]


def protocols(worlds: Sequence[World], size: str) -> list[Run]:
    """The runs of the table of protocols, world by world."""
    return [Run(name, "full", fields, world, size=size) for world in worlds for name, fields in PROTOCOLS.items()]


def plants(worlds: Sequence[World], size: str) -> list[Run]:
    """Further runs of the table of leaks: one a plant, and the honest build of the world of siblings."""
    runs = []
    for world in worlds:
        sizes = asdict(world)
        for name in PLANTS:
            fields = PLANT_FIELDS.get(name, {})
            runs.append(Run(f"plant_{name}", "full", fields, PlantedWorld(**sizes, plant=name), size=size))
        honest = PlantedWorld(**sizes, plant="sibling", leaky=False)
        runs.append(Run(SIBLING_HONEST, "full", {}, honest, size=size))
    return runs


NEAR = (PAPER, "plant_duplicates")  # runs whose images with a near-duplicate are left out


def require_measured(file: Path, run: Run, record: Record) -> None:
    """Raises RecordError for the record of a run that another table made, which holds its scores alone."""
    if missing := {"checklist", *(["near"] if run.name in NEAR else [])} - record.extra.keys():
        raise RecordError(
            f"{file} holds no {', '.join(sorted(missing))}: another table made it; give these runs a folder of their "
            "own (--records)"
        )


def measure(run: Run, workdir: Path, data_dir: Path) -> dict[str, Any]:
    """Record.extra: "checklist", the verdict of each line, and "near", how near each test image comes to train (where
    the table leaves near ones out)."""
    from ipa_jax.leakage import checklist

    extra: dict[str, Any] = {"checklist": [[line.title, line.verdict] for line in checklist.make(data_dir, workdir)]}
    if run.name in NEAR:
        file = workdir / "near_duplicates.json"
        command("near-duplicates", f"--export={workdir}/export", f"--data_dir={data_dir}", f"--out={file}")
        extra["near"] = json.loads(file.read_text())
    return extra


def far_images(
    record: Record, max_bits: int, *, max_cosine: float | None = None, any_account: bool = False
) -> np.ndarray:
    """bool [I], in the order of run_records.scores: test images without a near-duplicate by hash and, where a limit is
    given, by cosine: in their account, or in all of train."""
    keep = []
    for account, groups in record.scores.items():
        for group in groups:
            bits, own, anywhere = (np.array(values) for values in record.extra["near"][account][group])
            far = bits > max_bits
            if max_cosine is not None:
                far &= (anywhere if any_account else own) <= max_cosine
            keep.append(far)
    return np.concatenate(keep)
