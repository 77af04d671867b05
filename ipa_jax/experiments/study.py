"""From rows to records: what `tables`, `protocols` and `choices` share.

Each of these commands says which rows it wants and how its page looks. This module turns the rows into runs on the
worlds of the flags, and the runs into records. A run whose record exists is not made again, and a row without records
has a reason.
"""

from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipa_jax.experiments import records, runs
from ipa_jax.experiments.records import Record, Recorded, RecordError
from ipa_jax.experiments.runs import Measure, Run
from ipa_jax.experiments.worlds import BuiltData, World
from ipa_jax.training import workdir

FULL = "full"  # the config of the paper's model, and the name of its row
NOT_ASKED = "not asked for"


@dataclass(frozen=True)
class Row:
    """A row of a page, and what is trained for it.

    Attributes:
      name: the name of its records, and of the row in --only and --configs.
      label: as printed.
      config: the name of a shipped config; "" for a row that is not trained.
      fields: changed config fields by dotted name.
      other_resnet: start the ResNet from the full model of another world.
      measured: what the table measures on the run besides its scores (`Run.measured`).
    """

    name: str
    label: str
    config: str = FULL
    fields: Mapping[str, Any] = field(default_factory=dict)
    other_resnet: bool = False
    measured: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """What all runs of one command share.

    Attributes:
      out: folder for worlds, data sets and runs.
      records: folder of the records, one per run.
      places: (what to train on, training seed): demo worlds, by default each with its own seed, or one built data set
        with several seeds.
      size: size of the models.
      overwrite: make a run again if its record is of another run, instead of raising.
    """

    out: Path
    records: Path
    places: Sequence[tuple[World | BuiltData, int]]
    size: str = "demo"
    overwrite: bool = False

    @classmethod
    def for_args(cls, name: str, args: Namespace) -> "Study":
        """The study that a command's flags ask for (flags.py)."""
        if data_dir := getattr(args, "data_dir", None):
            places = [(BuiltData(data_dir), seed) for seed in args.seeds]
        else:
            worlds = [World(seed, args.accounts, args.posts) for seed in args.seeds]
            again = getattr(args, "training_seeds", None)
            places = [(world, seed) for world in worlds for seed in again or [world.seed]]
        return cls(args.out, args.records or args.out / "records" / name, places, args.size, args.overwrite)

    @property
    def worlds(self) -> list[World]:
        """The demo worlds; [] with a built data set."""
        return [world for world, _ in self.places if isinstance(world, World)]

    def runs_of(self, rows: Sequence[Row], shared: Mapping[str, Any] | None = None) -> list[Run]:
        """A run for each row and place, place by place.

        Args:
          rows: rows that are trained.
          shared: config fields of every run; the fields of a row come on top.
        """
        shared, made = dict(shared or {}), []
        for world, seed in self.places:
            for row in rows:
                resnet = None
                if row.other_resnet and isinstance(world, World):
                    resnet = Run(FULL, FULL, shared, world.next, size=self.size)
                made.append(Run(row.name, row.config, shared | dict(row.fields), world, seed, self.size, resnet,
                                row.measured))  # fmt: skip
        return made

    def collect(
        self, every: Sequence[Run], asked: Collection[str] | None = None, measure: Measure | None = None
    ) -> tuple[dict[str, Recorded], dict[str, str]]:
        """The records of a list of runs by name, and why the other names have none.

        A name has records only if all its runs have: a row that lacks a world would be compared on other accounts.

        Args:
          every: the runs of all rows.
          asked: names of the rows whose missing runs are made, all by default. Other rows only use stored records.
          measure: see runs.run_all.
        Returns:
          name -> records, name -> reason. No name is in both.
        Raises:
          RecordError: before anything runs, if a row that was asked for has the record of another run.
          StageError: a command failed.
        """
        wanted = [run for run in every if asked is None or run.name in asked]
        made = runs.run_all(wanted, self.out, self.records, overwrite=self.overwrite, measure=measure)
        reasons = {}
        for run in every:
            if run in made:
                continue
            try:
                if record := runs.stored(run, self.records):
                    made[run] = record
                    continue
                reasons.setdefault(run.name, NOT_ASKED)
            except RecordError as error:
                print(f"left out: {run.name} ({error})")
                reasons[run.name] = "its record is of another run"
        found: dict[str, dict[str, tuple[str, Record]]] = {}
        for run in every:
            if run.name not in reasons:
                found.setdefault(run.name, {})[key(run)] = (run.world.name, made[run])
        return dict(found), reasons

    def take(self, every: Sequence[Run], others: Sequence[Path]) -> list[str]:
        """Copies missing records of the same runs from the folders of other tables; returns the names of the files."""
        taken = []
        for run in every:
            for folder in others:
                file = folder / run.file
                if (self.records / run.file).is_file() or not (found := records.load(file)):
                    continue
                try:
                    records.require_same(file, found, run.definition, workdir.flat(run.resolved), workdir.FREE)
                except RecordError:
                    continue
                records.save(self.records / run.file, found)
                taken.append(run.file)
        return taken


def key(run: Run) -> str:
    """The key of a run's record in `Recorded`: "WORLD/SEED"."""
    return f"{run.world.name}/{run.training_seed}"
