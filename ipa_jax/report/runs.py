"""What the report reads: workdirs of finished runs, the splits of their data set, and what its build reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Run:
    """What a workdir holds. `scores` are those of the test split, sorted by record and image id."""

    name: str
    results: dict
    scores: pl.DataFrame
    log: list[dict]
    config: dict

    @property
    def test(self) -> dict:
        return self.results["test"]

    def series(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of the log lines that have `key`."""
        lines = [line for line in self.log if line.get(key) is not None]
        return [line["step"] for line in lines], [line[key] for line in lines]


def read_run(name: str, workdir: Path) -> Run:
    """Raises FileNotFoundError for a missing file, KeyError for a results.json without a test part."""
    import polars as pl

    def path(file: str) -> Path:
        if not (workdir / file).is_file():
            raise FileNotFoundError(
                f"{workdir / file} is missing: not the workdir of a finished run; "
                f"train and evaluate first (python -m ipa_jax train --workdir={workdir} ...)"
            )
        return workdir / file

    results = json.loads(path("results.json").read_text())
    if "test" not in results:
        raise KeyError(f"{workdir / 'results.json'}: no field 'test'; evaluate the run's test split")
    scores = pl.read_parquet(path("scores-test.parquet")).sort("record", "image_id")
    return Run(name, results, scores, read_log(workdir / "metrics.jsonl"), json.loads(path("config.json").read_text()))


def read_log(file: Path) -> list[dict]:
    """The scalars of metrics.jsonl with their step, flat, a dict a line; none where the run was logged by clu."""
    if not file.is_file():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [{"step": line["step"], **line["scalars"]} for line in lines if "scalars" in line]


def open_splits(data_dir: Path) -> dict[str, object]:
    """Split name -> GroupDataset."""
    from data_builders.dataset import GroupDataset

    return {name: GroupDataset(data_dir, name) for name in ("train", "validation", "test")}


def read_build_report(info: Mapping) -> dict | None:
    """build_report.json where the data set's metadata says it is; None when it was not copied along."""
    file = Path(info["build_report"])
    return json.loads(file.read_text()) if file.is_file() else None


def parse_workdirs(items: Sequence[str]) -> dict[str, Path]:
    """["runs/full", "other=runs/basic"] -> name (the folder's, unless given) -> workdir.

    Raises ValueError where two runs have one name.
    """
    runs: dict[str, Path] = {}
    for item in filter(None, items):
        name, _, path = item.rpartition("=")
        name = name or Path(path).name
        if name in runs:
            raise ValueError(f"--workdir: two runs are called {name!r}; write NAME=PATH for one of them")
        runs[name] = Path(path)
    return runs
