"""The runs of the tables of protocols and of leaks, and what is measured on each besides its scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data_builders.demo_world.plants import PLANTS
from ipa_jax.experiments.commands import command
from ipa_jax.experiments.flags import UsageError
from ipa_jax.experiments.records import Record, digest
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.study import FULL, Row, Study
from ipa_jax.experiments.worlds import World
from ipa_jax.leakage import checklist

PAPER = FULL  # the paper's protocol is the run of Table 1 itself: with the same --out, it is trained once for both
PAST = "past_only"
SIBLING_HONEST = "sibling_honest"
PAST_FIELDS = {"data.memory.past_only": True}
CHECKED, NEAR = ("checklist",), ("checklist", "near")  # what is measured on a run
PROTOCOLS = (
    Row(PAPER, "**paper**: random groups, the bank holds past and future", measured=NEAR),
    Row(PAST, "past only: the bank and the means end `min_lag_days` before the query", fields=PAST_FIELDS,
        measured=CHECKED),
    Row("account_disjoint", "account-disjoint: accounts never trained on", fields={"data.split.by": "account"},
        measured=CHECKED),
    Row("exclude_post", "a leak: `exclude = post`, train queries see their group",
        fields={"data.memory.exclude": "post"}, measured=CHECKED),
    Row("exclude_none", "a leak: `exclude = none`, train queries see themselves",
        fields={"data.memory.exclude": "none", "allow_leak": True}, measured=CHECKED),
)  # fmt: skip
DUPLICATES = "duplicates"  # the plant that is compared with its own run, without images that have a near-duplicate
COMPARED = {  # every other plant: the run without the leak
    "no_test": PAPER,
    "preprocessing": PAPER,
    "feature_selection": PAPER,
    "own_group": PAPER,
    "temporal": PAST,
    "sibling": SIBLING_HONEST,
    "sampling": PAPER,
}


@dataclass(frozen=True, eq=False)
class PlantedWorld(World):
    """A demo world with a planted leak.

    A leak in the posts is drawn with the world. A leak in the build is planted when the data set is built, unless
    `leaky` is off.
    """

    plant: str = ""
    leaky: bool = True

    @cached_property
    def drawn(self) -> World:
        """The world without the plant. It is what is drawn if the plant acts in the build alone."""
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


def planted(plant: str) -> str:
    """The name of the run with a leak."""
    return f"plant_{plant}"


def leak_runs(study: Study) -> list[Run]:
    """The runs of the table of leaks, world by world: a run per plant, and the honest runs to compare them with."""
    runs = study.runs_of([row for row in PROTOCOLS if row.name in COMPARED.values()])
    for world in study.worlds:
        sizes = asdict(world)
        for plant in PLANTS:
            fields = PAST_FIELDS if COMPARED.get(plant) == PAST else {}
            there, measured = PlantedWorld(**sizes, plant=plant), NEAR if plant == DUPLICATES else CHECKED
            runs.append(Run(planted(plant), FULL, fields, there, size=study.size, measured=measured))
        honest = PlantedWorld(**sizes, plant="sibling", leaky=False)
        runs.append(Run(SIBLING_HONEST, FULL, {}, honest, size=study.size, measured=CHECKED))
    return runs


def needed(only: Sequence[str], *, plants: bool) -> set[str]:
    """The names of the runs behind some rows.

    Args:
      only: names of protocols, or of plants.
      plants: whether the rows are those of the table of leaks.
    Raises:
      UsageError: the table has no such row.
    """
    known = [*COMPARED, DUPLICATES] if plants else [row.name for row in PROTOCOLS]
    if unknown := [name for name in only if name not in known]:
        where = "" if plants else "; the rows of leaks need --plants"
        raise UsageError(f"--only: no row {', '.join(unknown)}; the rows are {', '.join(known)}{where}")
    if not plants:
        return {PAPER, *only}
    return {planted(name) for name in only} | {COMPARED[name] for name in only if name in COMPARED}


def measure(run: Run, workdir: Path, data_dir: Path) -> dict[str, Any]:
    """`Record.extra` of a run.

    Returns:
      "checklist": [title, verdict] of each line. Where `run.measured` asks for it, also "near": how close each test
      image is to a train image.
    Raises:
      StageError: the command near-duplicates failed.
    """
    extra: dict[str, Any] = {"checklist": [[line.title, line.verdict] for line in checklist.make(data_dir, workdir)]}
    if "near" in run.measured:
        file = workdir / "near_duplicates.json"
        command("near-duplicates", f"--export={workdir}/export", f"--data_dir={data_dir}", f"--out={file}")
        extra["near"] = json.loads(file.read_text())
    return extra


def far_images(
    record: Record, max_bits: int, *, max_cosine: float | None = None, any_account: bool = False
) -> np.ndarray:
    """Which test images have no near-duplicate among train images.

    Args:
      record: a record with "near".
      max_bits: images whose perceptual hashes differ in at most this many bits are near-duplicates.
      max_cosine: so are images whose backbone features have a larger cosine than this; None ignores features.
      any_account: compare features with the images of all accounts, not only with those of the image's account.
    Returns:
      bool [I], in the order of records.scores.
    """
    keep = []
    near: Mapping[str, Any] = record.extra["near"]
    for account, groups in record.scores.items():
        for group in groups:
            bits, own, anywhere = (np.array(values) for values in near[account][group])
            far = bits > max_bits
            if max_cosine is not None:
                far &= (anywhere if any_account else own) <= max_cosine
            keep.append(far)
    return np.concatenate(keep)
