"""What the report reads: the workdirs of finished runs, the splits of their data set, and its build report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.dataset import REMEDY, DatasetError, GroupDataset, open_checksums
from data_builders.groups import SPLITS
from ipa_jax.training import workdir as workdirs
from third_party_ports import seals
from third_party_ports.reading import reading

Splits = Mapping[str, GroupDataset]  # "train", "validation", "test" -> the split


class ReportError(ValueError):
    """A file given to the report is missing, damaged or something else. The message names it, and what to do."""


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
      WorkdirError, ScoresError: a file is damaged.
    """
    for file in (workdirs.RESULTS, workdirs.CONFIG, "scores-test.parquet"):
        if not (workdir / file).is_file():
            raise FileNotFoundError(
                f"{workdir / file} is missing: this is not the workdir of a finished run; "
                f"train first (python -m ipa_jax train --workdir={workdir} ...)"
            )
    results, scores = workdirs.read_results(workdir), workdirs.read_scores(workdir, "test")
    log = read_log(workdir / "metrics.jsonl")
    return Run(name, results, scores.sort("record", "image_id"), log, workdirs.read_config(workdir))


def read_log(file: Path) -> list[dict[str, Any]]:
    """The scalars of metrics.jsonl with their step, one flat dict per line; [] without the file, as clu leaves it."""
    if not file.is_file():
        return []
    with reading(file, ReportError, "delete it to leave out the curves"):
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [{"step": line["step"], **line["scalars"]} for line in lines if "scalars" in line]


def read_baselines(file: Path) -> dict[str, Any]:
    """Name -> accuracy, or a dict of metrics: what `ipa-jax baselines --json` printed, or the results.json of a demo.

    Raises:
      ReportError: the file is missing or damaged, or holds no JSON object.
    """
    found = seals.read_json(file, ReportError, "write it with `ipa-jax baselines --json`", ours=False)
    return found.get("yardsticks", found)


def read_checklist(file: Path) -> list[dict[str, str]]:
    """The lines that `ipa-jax checklist --json` printed. Raises ReportError if the file holds something else."""
    with reading(file, ReportError, "write it with `ipa-jax checklist --json`"):
        lines = json.loads(file.read_bytes())
        return [{str(name): str(value) for name, value in line.items()} for line in lines]


def open_splits(data_dir: Path) -> dict[str, GroupDataset]:
    """The splits of a data set, by name."""
    return {name: GroupDataset(data_dir, name) for name in SPLITS}


def check_images(name: str, scores: pl.DataFrame, dataset: GroupDataset, split: str) -> None:
    """Raises ReportError unless a run's scores, sorted by record and image id, are those of the split's images.

    name: of the run, for the message.
    """
    images = dataset.images.sort("record", "image_id")
    if scores.height != images.height or not all(
        (scores[key].cast(images[key].dtype) == images[key]).all() for key in ("record", "image_id", "account")
    ):
        raise ReportError(
            f"{name}: scores-{split}.parquet holds {scores.height} images that are not the {images.height} of the "
            f"{split} split of --data_dir; give the data set that this run was trained on, or evaluate the run again"
        )


def is_drawn(info: Mapping[str, Any]) -> bool:
    """Whether a data set was built from a demo world, by its metadata: its features are the world's truth, or its
    raw posts lie beside world.json."""
    extractors = info.get("features", {}).get("extractors", {}).values()
    if any(str(part.get("name")).startswith("demo-world") for part in extractors):
        return True
    raw = info.get("source", {}).get("raw")
    return raw is not None and (Path(raw).parent / "world.json").is_file()


def read_build_report(info: Mapping[str, Any]) -> dict[str, Any] | None:
    """build_report.json from where the data set's metadata says it is; None if an earlier version's was not copied.

    Raises:
      DatasetError: the file is damaged, or missing where the data set's checksums list it.
    """
    file = Path(info["build_report"])
    sums = open_checksums(file.parent)
    if not sums.has(file.name):
        return None
    content = sums.read(file.name)
    with reading(file, DatasetError, REMEDY):
        return json.loads(content)


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
