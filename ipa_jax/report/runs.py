"""What the report reads: the workdirs of finished runs, the splits of their data set, and its build report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.dataset import GroupDataset
from data_builders.groups import SPLITS

Splits = Mapping[str, GroupDataset]  # "train", "validation", "test" -> the split


@dataclass(frozen=True)
class Run:
    """What the workdir of a finished run holds.

    Attributes:
      name: the run's name on the page.
      results: results.json.
      scores: a row per image of the test split (see metrics/scored_pairs.py), sorted by record and image id.
      log: the lines of metrics.jsonl, as `read_log` gives them.
      config: config.json, nested.
    """

    name: str
    results: dict[str, Any]
    scores: pl.DataFrame
    log: list[dict[str, Any]]
    config: dict[str, Any]

    @property
    def test(self) -> dict[str, Any]:
        """Metrics of the test split (split_metrics.evaluate)."""
        return self.results["test"]

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of the log lines that have `key`."""
        lines = [line for line in self.log if line.get(key) is not None]
        return [line["step"] for line in lines], [line[key] for line in lines]


def read_run(name: str, workdir: Path) -> Run:
    """Reads a workdir.

    Raises:
      FileNotFoundError: a file is missing, so the run is not finished.
      ValueError: results.json has no field `test`.
    """

    def path(file: str) -> Path:
        if not (workdir / file).is_file():
            raise FileNotFoundError(
                f"{workdir / file} is missing: this is not the workdir of a finished run; "
                f"train first (python -m ipa_jax train --workdir={workdir} ...)"
            )
        return workdir / file

    results = json.loads(path("results.json").read_text())
    if "test" not in results:
        raise ValueError(f"{workdir / 'results.json'}: no field 'test'; train the run to its end")
    scores = pl.read_parquet(path("scores-test.parquet")).sort("record", "image_id")
    return Run(name, results, scores, read_log(workdir / "metrics.jsonl"), json.loads(path("config.json").read_text()))


def read_log(file: Path) -> list[dict[str, Any]]:
    """The scalars of metrics.jsonl with their step, one flat dict per line; [] without the file, as clu leaves it."""
    if not file.is_file():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [{"step": line["step"], **line["scalars"]} for line in lines if "scalars" in line]


def read_baselines(file: Path) -> dict[str, Any]:
    """Name -> accuracy, or a dict of metrics: what `ipa-jax baselines --json` printed, or the results.json of a demo.

    Raises:
      ValueError: the file holds no JSON object.
    """
    found = json.loads(file.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{file}: not a JSON object of baselines; write one with `ipa-jax baselines --json`")
    return found.get("yardsticks", found)


def open_splits(data_dir: Path) -> dict[str, GroupDataset]:
    """The splits of a data set, by name."""
    return {name: GroupDataset(data_dir, name) for name in SPLITS}


def read_build_report(info: Mapping[str, Any]) -> dict[str, Any] | None:
    """build_report.json from where the data set's metadata says it is; None if it was not copied along."""
    file = Path(info["build_report"])
    return json.loads(file.read_text()) if file.is_file() else None


def parse_workdirs(items: Sequence[str]) -> dict[str, Path]:
    """["runs/full", "other=runs/basic"] -> name (the folder's, unless one is given) -> workdir.

    Raises:
      ValueError: two runs have one name.
    """
    runs: dict[str, Path] = {}
    for item in items:
        name, _, path = item.rpartition("=")
        name = name or Path(path).name
        if name in runs:
            raise ValueError(f"--workdir: two runs are called {name!r}; write NAME=PATH for one of them")
        runs[name] = Path(path)
    return runs
