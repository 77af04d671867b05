"""Lists of runs that you can stop and resume. Each world, data set and model is made once, by its command.

FOLDER/worlds, FOLDER/data and FOLDER/runs hold what was made, in folders that are named by digests of definitions. A
finished run leaves a record (records.py). If the record exists, nothing of the run is made again, on any machine.
"""

import difflib
import importlib
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data_builders.cli import shipped_configs
from data_builders.dataset import version_folder
from ipa_jax.experiments.commands import command
from ipa_jax.experiments.records import Record, RecordError, compact, digest, load, plain, require_same, save
from ipa_jax.experiments.worlds import BuiltData, Defined, World
from ipa_jax.training import workdir as workdirs
from ipa_jax.training.export import save_resnet

Measure = Callable[["Run", Path, Path], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Run(Defined):
    """A training run, with the data that it is trained and evaluated on.

    Attributes:
      name: the name of the record, without the seeds.
      config: the name of a shipped config.
      fields: changed config fields by dotted name, {"data.memory.exclude": "post"}. Fields under `data.` also act when
        the data set is built.
      world: what to train on.
      seed: the training seed; by default the seed of the world.
      size: size of the config: full, demo or tiny.
      resnet: the run whose trained ResNet this run starts from (model.depth.resnet = frozen or cached). It is trained
        first.
      measured: keys that `Record.extra` must have, if the table measures more than scores.
    """

    name: str
    config: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    world: World | BuiltData = field(default_factory=lambda: World(0))
    seed: int | None = None
    size: str = "demo"
    resnet: "Run | None" = None
    measured: tuple[str, ...] = ()

    @property
    def training_seed(self) -> int:
        return self.world.seed if self.seed is None else self.seed

    @property
    def file(self) -> str:
        """The name of the record's file."""
        other = "" if self.training_seed == self.world.seed else f"-training{self.training_seed}"
        return f"{self.name}-seed{self.world.seed}{other}.json"

    @cached_property
    def definition(self) -> dict[str, Any]:
        """All that decides the figures, except for the config's defaults."""
        found = {
            "config": self.config,
            "size": self.size,
            "fields": dict(self.fields),
            "world": self.world.definition,
            "seed": self.training_seed,
        }
        return plain(found | ({"resnet": self.resnet.definition} if self.resnet else {}))

    @cached_property
    def resolved(self) -> ConfigDict:
        """The config with the fields set. Raises RecordError if the config or a field does not exist."""
        if self.config not in shipped_configs():
            raise RecordError(
                f"run {self.name}: no config {self.config}; the configs are {', '.join(shipped_configs())}"
            )
        try:
            config = importlib.import_module(f"configs.{self.config}").get_config(self.size)
            if unknown := sorted(self.fields.keys() - workdirs.flat(config).keys()):
                near = difflib.get_close_matches(unknown[0], workdirs.flat(config))
                raise KeyError(f"no field {', '.join(unknown)}" + (f"; {', '.join(near)}?" if near else ""))
            config.update_from_flattened_dict({**self.fields, "seed": self.training_seed})
        except (AttributeError, KeyError, TypeError) as error:
            reason = error.args[0]
            raise RecordError(f"run {self.name}: config {self.config} with {dict(self.fields)}: {reason}") from error
        return config

    @property
    def flags(self) -> list[str]:
        """--config and the changed fields, as the commands take them."""
        fields = [f"--config.{name}={value}" for name, value in self.fields.items()]
        return [f"--config={self.config}:{self.size}", *fields]

    def workdir(self, folder: Path) -> Path:
        return folder / "runs" / f"{self.name}-{digest(self.definition)}"

    def data_dir(self, folder: Path) -> Path:
        if isinstance(self.world, BuiltData):
            return self.world.data_dir
        return folder / "data" / digest({"world": self.world.definition, "data": self.resolved.data.to_dict()})


def build(run: Run, folder: Path) -> Path:
    """Builds the data set of a run. Runs with the same world and `data.` fields share it.

    Returns:
      The data_dir.
    Raises:
      StageError: a command failed.
    """
    data = run.data_dir(folder)
    if version_folder(data, missing_ok=True) is None and not isinstance(run.world, BuiltData):
        world = run.world.draw(folder)
        flags = [flag for flag in run.flags if flag.startswith(("--config=", "--config.data."))]
        paths = {"raw": world / "raw", "features": world / "features", "data_dir": data}
        command(*run.world.build_command, *flags, *(f"--{name}={path}" for name, path in paths.items()))
    return data


def train(run: Run, folder: Path, *, overwrite: bool = False) -> Path:
    """Trains, evaluates and exports a run, if that is still to be done. Returns the workdir.

    Args:
      overwrite: remove the workdir if it holds a run of another config.
    Raises:
      StageError: a command failed.
      RecordError: the workdir holds a run of another config.
    """
    workdir, data, config = run.workdir(folder), run.data_dir(folder), run.resolved.copy_and_resolve_references()
    more = {"data_dir": str(data), "train.compilation_cache": str(folder / "compiled")}
    if run.resnet:
        more["init.resnet"] = str(trained_resnet(run.resnet, folder))
    config.update_from_flattened_dict(more)
    if not finished(config, workdir, overwrite=overwrite):
        build(run, folder)
        flags = [f"--config.{name}={value}" for name, value in ({"seed": run.training_seed} | more).items()]
        command("train", *run.flags, *flags, f"--workdir={workdir}")
    return workdir


def finished(config: ConfigDict, workdir: Path, *, overwrite: bool = False) -> bool:
    """Whether the workdir holds a complete run of this config. Fields that the stored config lacks are not compared.

    Args:
      overwrite: remove a run of another config instead of raising.
    Raises:
      RecordError: the workdir holds a run of another config.
    """
    if not (workdir / "results.json").is_file():
        return False
    there = workdirs.flat(ConfigDict(workdirs.read_config(workdir)))
    here = plain(workdirs.flat(config))
    common = sorted(there.keys() & here.keys() - set(workdirs.FREE))
    different = [name for name in common if plain(there[name]) != here[name]]
    if different and overwrite:
        shutil.rmtree(workdir)
        return False
    if different:
        fields = "; ".join(f"config.{name} is {there[name]!r} there and {here[name]!r} here" for name in different)
        raise RecordError(f"{workdir} holds a run of another config: {fields}. Replace it with --overwrite")
    return True


def trained_resnet(run: Run, folder: Path) -> Path:
    """The trained ResNet of a run, as a file of weights under their published names.

    Raises:
      StageError, RecordError: from `train`.
      ExportError: the run has no ResNet.
    """
    workdir = train(run, folder)
    file = workdir / "resnet.safetensors"
    if not file.is_file():
        save_resnet(workdir / "export", file)
    return file


def record(run: Run, workdir: Path, extra: Mapping[str, Any]) -> Record:
    """The record of a run whose workdir is complete."""
    results = workdirs.read_results(workdir)
    return Record(
        name=run.name,
        run=run.definition,
        config=plain(workdirs.flat(run.resolved)),
        figures=results["test"],
        scores=compact(workdirs.read_scores(workdir, "test")),
        validation=compact(workdirs.read_scores(workdir, "validation")),
        extra=dict(extra),
        **{name: results[name] for name in ("steps", "best_step", "parameters", "seconds")},
    )


def stored(run: Run, records: Path, *, overwrite: bool = False) -> Record | None:
    """The record of a run; None if it is still to be made.

    Args:
      overwrite: return None instead of raising.
    Raises:
      RecordError: the file is the record of another run, or lacks what this table measures.
    """
    file = records / run.file
    try:
        found = load(file)
        if found:
            require_same(file, found, run.definition, workdirs.flat(run.resolved), workdirs.FREE)
            if missing := sorted(set(run.measured) - found.extra.keys()):
                raise RecordError(
                    f"{file} holds no {', '.join(missing)}: another table wrote it; give this table a --records folder "
                    "of its own, or replace the record with --overwrite"
                )
    except RecordError:
        if not overwrite:
            raise
        return None
    return found


def run_all(
    wanted: Sequence[Run], folder: Path, records: Path, *, overwrite: bool = False, measure: Measure | None = None
) -> dict[Run, Record]:
    """Makes those runs of a list that have no record yet. Prints what runs, how many are left and how long they take.

    Args:
      wanted: the runs; equal runs are made once.
      folder: for worlds, data sets and runs; used only if runs are missing.
      records: folder of the records, one per run.
      overwrite: make a run again if its record is of another run, instead of raising.
      measure: called as measure(run, workdir, data_dir) after a run; the result becomes its `Record.extra`.
    Returns:
      The record of each run, in order.
    Raises:
      RecordError: before anything runs.
      StageError: a command failed. The records of earlier runs are kept.
    """
    _require_distinct(wanted)
    found = {run: stored(run, records, overwrite=overwrite) for run in wanted}
    missing = [run for run, there in found.items() if there is None]
    done = len(found) - len(missing)
    print(f"{len(found)} runs: {done} done, {len(missing)} to do (records in {records})", flush=True)
    if missing:
        print("to do: " + ", ".join(run.file.removesuffix(".json") for run in missing))
        print("You can stop at any time: the same command resumes.", flush=True)
    began = time.monotonic()
    for number, run in enumerate(missing, 1):
        print(f"\nrun {done + number} of {len(found)}: {run.file.removesuffix('.json')}", flush=True)
        workdir = train(run, folder, overwrite=overwrite)
        extra = measure(run, workdir, build(run, folder)) if measure else {}
        found[run] = made = record(run, workdir, extra)
        save(records / run.file, made)
        each, left = (time.monotonic() - began) / number, len(missing) - number
        time_left = f", {each:.0f} s per run, about {each * left / 60:.0f} min" if left else ""
        print(f"\n{done + number} of {len(found)} runs done, {left} left{time_left}", flush=True)
    return {run: kept for run, kept in found.items() if kept is not None}


def _require_distinct(wanted: Iterable[Run]) -> None:
    by_file: dict[str, Run] = {}
    for run in wanted:
        other = by_file.setdefault(run.file, run)
        if other != run:
            raise RecordError(
                f"two runs would write one record, {run.file}: {other.definition} and {run.definition}; rename one"
            )
