"""Lists of runs, resumable run by run: worlds drawn, data sets built, models trained, each once and by its command.

FOLDER/worlds, FOLDER/data and FOLDER/runs hold what was made, named by digests of what defines it. A finished run
leaves a record (run_records.py); where its record is there, nothing of it is made again, on whatever machine.
"""

import difflib
import importlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa_jax.experiments import records as run_records
from ipa_jax.experiments.commands import command
from ipa_jax.experiments.records import Record, RecordError, digest
from ipa_jax.experiments.worlds import BuiltData, Defined, World
from ipa_jax.training import workdir as workdirs

if TYPE_CHECKING:
    from ml_collections import ConfigDict

Measure = Callable[["Run", Path, Path], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Run(Defined):
    """One training run, and what it is evaluated on.

    Attributes:
      name: of its record, without the seeds.
      config: a file of configs/, without .py.
      fields: overrides by dotted names, {"data.memory.exclude": "post"}; those under `data.` act at build time too.
      world: what it is trained on; `seed`: of the training, the world's unless given.
      size: of the config: full, demo or tiny.
      resnet: the run whose trained ResNet this one starts from (model.depth.resnet = frozen or cached); it is made
        first.
    """

    name: str
    config: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    world: World | BuiltData = field(default_factory=lambda: World(0))
    seed: int | None = None
    size: str = "demo"
    resnet: "Run | None" = None

    @property
    def training_seed(self) -> int:
        return self.world.seed if self.seed is None else self.seed

    @property
    def file(self) -> str:
        """Name of its record."""
        other = "" if self.training_seed == self.world.seed else f"-training{self.training_seed}"
        return f"{self.name.replace('/', '-')}-seed{self.world.seed}{other}.json"

    @cached_property
    def definition(self) -> dict[str, Any]:
        """All that decides its figures but for the defaults of its config."""
        found = {
            "config": self.config,
            "size": self.size,
            "fields": dict(self.fields),
            "world": self.world.definition,
            "seed": self.training_seed,
        }
        return run_records.plain(found | ({"resnet": self.resnet.definition} if self.resnet else {}))

    @cached_property
    def resolved(self) -> "ConfigDict":
        """Its config with its fields set. Raises RecordError for a file or field that is not there."""
        try:
            config = importlib.import_module(f"configs.{self.config.replace('/', '.')}").get_config(self.size)
            if unknown := sorted(self.fields.keys() - workdirs.flat(config).keys()):
                near = difflib.get_close_matches(unknown[0], workdirs.flat(config))
                raise KeyError(f"no field {', '.join(unknown)}" + (f"; {', '.join(near)}?" if near else ""))
            config.update_from_flattened_dict({**self.fields, "seed": self.training_seed})
        except (ModuleNotFoundError, AttributeError, KeyError, TypeError) as error:
            told = error.args[0]
            raise RecordError(f"run {self.name}: configs/{self.config}.py with {dict(self.fields)}: {told}") from error
        return config

    @property
    def flags(self) -> list[str]:
        """--config and its fields, as the commands take them."""
        fields = [f"--config.{name}={value}" for name, value in self.fields.items()]
        return [f"--config=configs/{self.config}.py:{self.size}", *fields]

    def workdir(self, folder: Path) -> Path:
        return folder / "runs" / f"{self.name.replace('/', '-')}-{digest(self.definition)}"

    def data_dir(self, folder: Path) -> Path:
        if isinstance(self.world, BuiltData):
            return self.world.data_dir
        return folder / "data" / digest({"world": self.world.definition, "data": self.resolved.data.to_dict()})


def build(run: Run, folder: Path) -> Path:
    """The data set of a run, built once for all runs of the same world and `data.` fields. Raises StageError."""
    from data_builders.dataset import version_folder

    data = run.data_dir(folder)
    if version_folder(data, missing_ok=True) is None and not isinstance(run.world, BuiltData):
        world = run.world.draw(folder)
        flags = [flag for flag in run.flags if flag.startswith(("--config=", "--config.data."))]
        paths = {"raw": world / "raw", "features": world / "features", "data_dir": data}
        command(*run.world.build_command, *flags, *(f"--{name}={path}" for name, path in paths.items()))
    return data


def train(run: Run, folder: Path, *, overwrite: bool = False) -> Path:
    """Trains, evaluates and exports a run unless that is done; returns its workdir.

    Raises StageError, and RecordError where the workdir is another config's, which `overwrite` removes.
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


def finished(config: "ConfigDict", workdir: Path, *, overwrite: bool = False) -> bool:
    """Whether a run of this config ended in the folder; fields that its config did not have yet do not count.

    Raises RecordError where it is another config's; `overwrite` removes that in place of it.
    """
    from ml_collections import ConfigDict

    if not (workdir / "results.json").is_file():
        return False
    there = workdirs.flat(ConfigDict(json.loads((workdir / "config.json").read_text())))
    here = run_records.plain(workdirs.flat(config))
    different = [
        f for f in sorted(there.keys() & here.keys() - set(workdirs.FREE)) if run_records.plain(there[f]) != here[f]
    ]
    if different and overwrite:
        shutil.rmtree(workdir)
        return False
    if different:
        fields = "; ".join(f"config.{name} is {there[name]!r} there and {here[name]!r} here" for name in different)
        raise RecordError(f"{workdir} holds a run of another config: {fields}. Make it again with --overwrite")
    return True


def trained_resnet(run: Run, folder: Path) -> Path:
    """The ResNet of a run's export as a converted file, in official names. Raises as `train`, ExportError."""
    from ipa_jax.training.export import save_resnet

    workdir = train(run, folder)
    file = workdir / "resnet.safetensors"
    if not file.is_file():
        save_resnet(workdir / "export", file)
    return file


def record(run: Run, workdir: Path, extra: Mapping[str, Any]) -> Record:
    """What is kept of a run that ended in a folder."""
    import polars as pl

    results = json.loads((workdir / "results.json").read_text())
    return Record(
        name=run.name,
        run=run.definition,
        config=run_records.plain(workdirs.flat(run.resolved)),
        figures=results["test"],
        scores=run_records.compact(pl.read_parquet(workdir / "scores-test.parquet")),
        validation=run_records.compact(pl.read_parquet(workdir / "scores-validation.parquet")),
        extra=dict(extra),
        **{name: results[name] for name in ("steps", "best_step", "parameters", "seconds")},
    )


def stored(run: Run, records: Path, *, overwrite: bool = False) -> Record | None:
    """The record of a run, None where it is still to be made.

    Raises RecordError for that of another run, which `overwrite` takes for none.
    """
    file = records / run.file
    try:
        found = run_records.load(file)
        if found:
            run_records.require_same(file, found, run.definition, workdirs.flat(run.resolved), workdirs.FREE)
    except RecordError:
        if not overwrite:
            raise
        return None
    return found


def run(
    runs: Sequence[Run], folder: Path, records: Path, *, overwrite: bool = False, measure: Measure | None = None
) -> dict[Run, Record]:
    """Makes what is missing of a list of runs; prints what it will run, how many are done, rate and time left.

    Args:
      folder: of all that is made; needed only while runs are missing.
      records: folder of the records, one a run.
      overwrite: make a run again whose record is that of another one, in place of an error.
      measure: called as measure(run, workdir, data_dir) when a run has ended; what it returns is its `Record.extra`.
    Returns the record of each run, in order. Raises RecordError before anything is run, StageError when a stage fails.
    """
    _require_distinct(runs)
    found = {run: stored(run, records, overwrite=overwrite) for run in runs}
    missing = [run for run, there in found.items() if there is None]
    print(f"{len(found)} runs, {len(found) - len(missing)} of them done (records in {records})", flush=True)
    if missing:
        print("to run: " + ", ".join(run.file.removesuffix(".json") for run in missing), flush=True)
    began = time.monotonic()
    for number, run in enumerate(missing, 1):
        workdir = train(run, folder, overwrite=overwrite)
        extra = measure(run, workdir, build(run, folder)) if measure else {}
        found[run] = record(run, workdir, extra)
        run_records.save(records / run.file, found[run])
        each = (time.monotonic() - began) / number
        left = each * (len(missing) - number) / 60
        done = len(found) - len(missing) + number
        print(f"\n{done} of {len(found)} runs done, {each:.0f} s a run, about {left:.0f} min left", flush=True)
    return found


def _require_distinct(runs: Iterable[Run]) -> None:
    files: dict[str, Run] = {}
    for run in runs:
        other = files.setdefault(run.file, run)
        if other != run:
            raise RecordError(
                f"two runs have one record, {run.file}: {other.definition} and {run.definition}; rename one"
            )
