"""The files of a run's folder beside its checkpoints: config.json, parameters.txt, results.json, scores-*.parquet."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from configs import full
from data_builders.options import ABSENT, differences
from ipa_jax.metrics import score_files
from third_party_ports import disks, files, seals
from third_party_ports.reading import damaged, reading

if TYPE_CHECKING:
    import polars as pl

    from data_builders.dataset import GroupDataset

# What may change between two starts of one run: nothing here touches a parameter or a metric (remat: their rounding).
FREE = ("data_dir", "train.log_every", "train.writers", "train.compilation_cache", "train.checkpoint_every",
        "train.checkpoint_minutes", "extract.workers", "extract.shard_rows", "input.workers", "input.threads",
        "input.prefetch", "eval.images", "train.remat")  # fmt: skip
# What a version did that had no such field, where the field's default now does something else.
BEFORE = {"eval.part": 0}

CONFIG, RESULTS = "config.json", "results.json"
SHA256 = "sha256"  # the field of results.json that names the files of scores


class WorkdirError(ValueError):
    """The folder holds another run, whose fields differ, or a damaged file. The message names them, and what to do."""


@contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Holds the folder alone while it lasts. Raises WorkdirError where another process does."""
    with disks.writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    try:
        with files.lock(workdir):
            yield
    except BlockingIOError as error:
        raise WorkdirError(str(error)) from error
    finally:
        with suppress(OSError):
            workdir.rmdir()  # goes where nothing was written


def finished(config: ConfigDict, workdir: Path) -> dict | None:
    """results.json of the run that ended in this folder, or None. Raises WorkdirError where it is another config's."""
    file = workdir / CONFIG
    if not file.is_file() or not any((workdir / "checkpoints").glob("[0-9]*")):
        return None  # a run that never saved a step is none
    different, earlier = [], flat(full.get_config(config.size)) | BEFORE
    for field, old, new in differences(read_config(workdir), _plain(config), "config"):
        name = field.removeprefix("config.")
        old = earlier.get(name) if old == ABSENT else old  # a field that an earlier version did not have
        if name not in FREE and old != new:
            different.append((field, old, new))
    if different:
        lines = "; ".join(f"{field}: there {old!r}, here {new!r}" for field, old, new in different)
        raise WorkdirError(
            f"{workdir} holds a run of another config ({lines}): take a new --workdir or delete this one"
        )
    return read_results(workdir) if (workdir / RESULTS).is_file() else None


def start(config: ConfigDict, params: dict, workdir: Path) -> None:
    """config.json, and parameters.txt: every leaf with its shape, size and statistics."""
    from clu import parameter_overview

    workdir.mkdir(parents=True, exist_ok=True)
    seals.write_json(workdir / CONFIG, config.to_dict())
    files.write_text(workdir / "parameters.txt", parameter_overview.get_parameter_overview(params))


def digest(dataset: "GroupDataset") -> str:
    """12 hex digits that name what a split holds: its index, likes and groups included."""
    return hashlib.sha256(dataset.read(f"images-{dataset.split}.parquet")).hexdigest()[:12]


def same_data(fresh: dict, stored: dict, workdir: Path) -> dict:
    """The stored data position. Raises WorkdirError where it counts through other data than the config's."""
    for name in ("seed", "data"):
        if fresh[name] != stored[name]:
            raise WorkdirError(
                f"{workdir}/checkpoints stands in other data ({name} {stored[name]}, now {fresh[name]}): the data set "
                "was rebuilt; take a new --workdir"
            )
    return dict(stored)


def finish(results: dict, scores: dict[str, "pl.DataFrame"], workdir: Path) -> None:
    """results.json last: where it is, the run is whole. It names the files of scores by their sha256."""
    named = {}
    for split, table in scores.items():
        file = workdir / f"scores-{split}.parquet"
        score_files.save(table, file)
        named[file.name] = files.sha256(file)
    seals.write_json(workdir / RESULTS, results | {SHA256: named})


def read_results(workdir: Path) -> dict:
    """results.json of a finished run. Raises WorkdirError if it is missing or damaged, or lacks the test figures."""
    return {name: value for name, value in _results(workdir).items() if name != SHA256}


def _results(workdir: Path) -> dict:
    results = seals.read_json(workdir / RESULTS, WorkdirError, again(workdir / RESULTS))
    with reading(workdir / RESULTS, WorkdirError, again(workdir / RESULTS)):
        for name, value in (("test", results["test"]), (SHA256, results.get(SHA256, {}))):
            if not isinstance(value, dict):
                raise ValueError(f"the field {name!r} is {value!r}")
    return results


def read_config(workdir: Path) -> dict:
    """config.json of a run, as nested dicts. Raises WorkdirError if it is missing or damaged."""
    config = seals.read_json(workdir / CONFIG, WorkdirError, again(workdir / CONFIG))
    with reading(workdir / CONFIG, WorkdirError, again(workdir / CONFIG)):
        if not isinstance(config["model"], dict):
            raise ValueError(f"the field 'model' is {config['model']!r}")
    return config


def read_scores(workdir: Path, split: str) -> "pl.DataFrame":
    """The scores of a split by a finished run.

    Raises:
      ScoresError: they are missing or damaged, or another split's or run's.
      WorkdirError: results.json, which names them, is damaged.
    """
    file, remedy = workdir / f"scores-{split}.parquet", again(workdir / RESULTS)
    scores = score_files.load(file, remedy)
    named = _results(workdir).get(SHA256, {}) if (workdir / RESULTS).is_file() else {}
    if named.get(file.name) not in (None, files.sha256(file)):
        raise damaged(file, score_files.ScoresError, f"it is not the file that {RESULTS} names", remedy)
    return scores


def again(file: Path) -> str:
    """How to make a file of a workdir again; the run's checkpoints are kept."""
    return f"delete {file} and run the same ipa-jax train command again: it resumes from its checkpoints"


def flat(config: ConfigDict, prefix: str = "") -> dict:
    """{"model.swin.width": 128, ...} of a config."""
    out = {}
    for name, value in config.items():
        inside = isinstance(value, ConfigDict)
        out |= flat(value, f"{prefix}{name}.") if inside else {prefix + name: value}
    return out


def _plain(config: ConfigDict) -> dict:
    return json.loads(json.dumps(config.to_dict()))
