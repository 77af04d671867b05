"""Rows that are not trained: baselines, public weights and people. Each is scored once per data set, with a record."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.dataset import GroupDataset
from data_builders.features.weight_files import weights_path
from ipa_jax.baselines import scores as baseline_scores
from ipa_jax.baselines.names import BASELINES
from ipa_jax.experiments import records, runs
from ipa_jax.experiments.records import Record, Recorded, RecordError
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.study import Study, key
from ipa_jax.experiments.worlds import BuiltData
from ipa_jax.human_study.pairs import digest
from ipa_jax.metrics import split_metrics
from ipa_jax.peers import zero_shot
from ipa_jax.training import workdir

PEERS = tuple(zero_shot.NAMES)  # those with public weights

Scores = Callable[[str, str], pl.DataFrame]  # (name, split) -> frame of scores


def collect(full: Sequence[Run], study: Study, weights: Path | None, peers: Sequence[str]) -> dict[str, Recorded]:
    """The records of baselines and public weights, under the keys of the full model's runs.

    The seeds of one built data set share a record, which is listed under each of their keys.

    Args:
      full: the runs of the full model. `backbone_knn` finds the nearest photos with the backbone of each.
      study: where the records are.
      weights: folder of the peers' public weights.
      peers: which peers to score (PEERS).
    """
    found: dict[str, dict[str, tuple[str, Record]]] = {}
    for run in full:
        source = source_of(run, full)
        made = baselines(source, study) | {f"zero_shot_{name}": peer(name, source, weights, study) for name in peers}
        for name, record in made.items():
            found.setdefault(name, {})[key(run)] = (run.world.name, record)
    return dict(found)


def source_of(run: Run, full: Sequence[Run]) -> Run:
    """The run whose data set and backbone are used for what is not trained: the first run of one built data set."""
    return full[0] if isinstance(run.world, BuiltData) else run


def baselines(run: Run, study: Study) -> dict[str, Record]:
    """Name -> record of every baseline on the data set of a run, whose backbone finds the nearest photos.

    Nothing is built or trained if all records exist. Raises what runs.run_all raises.
    """
    real = isinstance(run.world, BuiltData)  # nobody knows the truth behind real likes
    names = [name for name, row in BASELINES.items() if not (real and "world" in row.needs)]
    tables: dict[str, dict] = {}

    def scores(name: str, split: str) -> pl.DataFrame:
        if split not in tables:
            dataset, train = _splits(run, study.out, split)
            world = None if isinstance(run.world, BuiltData) else run.world.draw(study.out)
            export = runs.train(run, study.out) / "export"
            tables[split] = baseline_scores.all_scores(dataset, train, world, export=export, seed=run.training_seed)
        return tables[split][name]

    found = {}
    for name in names:
        more = {"backbone": run.definition} if name == "backbone_knn" else {}
        found[name] = _scored(name, {"yardstick": name} | more, scores, run, study)
    return found


def peer(name: str, run: Run, weights: Path | None, study: Study) -> Record:
    """The record of a peer's public weights on the data set of a run. Raises what zero_shot.scores raises."""

    def scores(_: str, split: str) -> pl.DataFrame:
        return zero_shot.scores(name, weights, _splits(run, study.out, split)[0])

    with weights_path(str(weights), zero_shot.NAMES[name]).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return _scored(f"zero_shot_{name}", {"zero_shot": name, "sha256": sha256}, scores, run, study)


def absent_peers(weights: Path | None) -> dict[str, str]:
    """Name -> why the public weights of a peer are not scored. All other peers can be scored.

    Raises:
      WeightsError: a file holds another network. You learn it now, not after hours of training.
    """
    absent = {}
    for name in PEERS:
        if reason := zero_shot.missing(name, weights):
            print(f"left out: zero_shot_{name} ({reason})")
            absent[name] = reason.split(";")[0]
        else:
            zero_shot.load(name, weights)
    return absent


def _splits(run: Run, folder: Path, split: str) -> tuple[GroupDataset, GroupDataset]:
    """(the split, the train split) of a run's data set."""
    data = runs.build(run, folder)
    return GroupDataset(data, split, depth=False), GroupDataset(data, "train", depth=False)


def _scored(name: str, definition: Mapping[str, Any], scores: Scores, run: Run, study: Study) -> Record:
    """The record of scores on the data set of a run: the stored one, else a new one.

    Args:
      name: of the record.
      definition: what is scored; the size, data fields and world of the run are added.
      scores: gives the scores of a split. The factor on z is fitted on validation.
    """
    of_data = {"size": run.size, "fields": {k: v for k, v in run.fields.items() if k.startswith("data.")}}
    whole = records.plain({**definition, **of_data, "world": run.world.definition})
    config = {k: v for k, v in workdir.flat(run.resolved).items() if k.startswith("data.")}
    file = study.records / f"{name}-seed{run.world.seed}.json"
    try:
        if found := records.load(file):
            records.require_same(file, found, whole, config, workdir.FREE)
            return found
    except RecordError:
        if not study.overwrite:
            raise
    ratio, test = run.resolved.data.pairs.min_ratio, scores(name, "test")
    factor = split_metrics.rescale_factor(scores(name, "validation"), ratio)
    figures = split_metrics.evaluate(test, ratio, factor=factor, seed=run.training_seed)
    made = Record(name, whole, records.plain(config), figures, records.compact(test))
    records.save(file, made)
    return made


def human_score(file: Path, data_dir: Path | None) -> dict[str, Any]:
    """Reads what `human-study score --json` printed.

    Args:
      file: the JSON.
      data_dir: the data set of the other rows; None for demo worlds.
    Raises:
      ValueError: the file is something else, or its study is on another split than test, on other data, or unfinished.
    """
    kinds = {"participants": list, "answers": int, "mean": float, "trimmed_mean": float | None,
             "mean_interval": list | None, "trimmed_mean_interval": list | None, "split": str, "data": str,
             "digest": str}  # fmt: skip
    try:
        score = json.loads(file.read_text())
        if score["participants"] == []:
            raise ValueError("no participant has finished")
        if wrong := [name for name, kind in kinds.items() if not isinstance(score[name], kind)]:
            raise ValueError(f"{', '.join(wrong)}: wrong type")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"--human: {file} is not what human-study score --json prints ({error})") from error
    if score["split"] != "test":
        raise ValueError(
            f"--human: {file} is about the split {score['split']}, the other rows about test: serve the study with "
            "--split=test"
        )
    if data_dir and score["digest"] != digest(GroupDataset(data_dir, "test", depth=False)):
        raise ValueError(f"--human: {file} is of a study on {score['data']}; the other rows are on {data_dir}")
    return score
