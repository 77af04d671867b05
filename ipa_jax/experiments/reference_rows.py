"""What stands in a table beside the trained rows: yardsticks and public weights, scored once a data set, recorded."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa_jax.experiments import records as run_records
from ipa_jax.experiments import runs
from ipa_jax.experiments.records import Record, RecordError
from ipa_jax.experiments.runs import BuiltData, Run
from ipa_jax.training import workdir

if TYPE_CHECKING:
    import polars as pl

TRUTH = ("bayes", "universal_only")  # of a demo world
YARDSTICKS = ("retrieval_only", "backbone_knn", "pixel_knn", "caption_only", "content_type", "newer", "older",
              "account_constant", "chance")  # fmt: skip

Scores = Callable[[str, str], "pl.DataFrame"]  # (name, split) -> scores frame


def yardsticks(run: Run, folder: Path, records: Path, *, overwrite: bool = False) -> dict[str, Record]:
    """Name -> record of every yardstick on the data set of a run, whose backbone finds the neighbours.

    Raises as experiments.run; nothing is built or trained where all records are there.
    """
    names = YARDSTICKS if isinstance(run.world, BuiltData) else (*TRUTH, *YARDSTICKS)
    tables: dict[str, dict] = {}

    def scores(name: str, split: str) -> "pl.DataFrame":
        if split not in tables:
            from ipa_jax.baselines import scores as baselines

            dataset, train = _splits(run, folder, split)
            world = None if isinstance(run.world, BuiltData) else run.world.draw(folder)
            export = runs.train(run, folder) / "export"
            tables[split] = baselines.all_scores(dataset, train, world, export=export, seed=run.training_seed)
        return tables[split][name]

    found = {}
    for name in names:
        more = {"backbone": run.definition} if name == "backbone_knn" else {}
        found[name] = _scored(name, {"yardstick": name} | more, scores, run, records, overwrite=overwrite)
    return found


def zero_shot(name: str, run: Run, weights: Path, folder: Path, records: Path, *, overwrite: bool = False) -> Record:
    """The record of a peer's public weights on the data set of a run. Raises as the peer's own reader of weights."""

    from data_builders.features.weight_files import weights_path
    from ipa_jax.peers.zero_shot import NAMES

    def scores(_: str, split: str) -> "pl.DataFrame":
        from ipa_jax.peers import zero_shot

        return zero_shot.scores(name, weights, _splits(run, folder, split)[0])

    with weights_path(str(weights), NAMES[name]).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return _scored(
        f"zero_shot_{name}", {"zero_shot": name, "sha256": sha256}, scores, run, records, overwrite=overwrite
    )


def _splits(run: Run, folder: Path, split: str) -> tuple:
    from data_builders.dataset import GroupDataset

    data = runs.build(run, folder)
    return GroupDataset(data, split, depth=False), GroupDataset(data, "train", depth=False)


def _scored(
    name: str, definition: Mapping[str, Any], scores: Scores, run: Run, records: Path, *, overwrite: bool
) -> Record:
    """The record of scores on the data set of a run, made unless it is there; its factor is fitted on validation."""
    from ipa_jax.metrics import split_metrics

    of_data = {"size": run.size, "fields": {k: v for k, v in run.fields.items() if k.startswith("data.")}}
    definition = run_records.plain({**definition, **of_data, "world": run.world.definition})
    config = {k: v for k, v in workdir.flat(run.resolved).items() if k.startswith("data.")}
    file = records / f"{name}-seed{run.world.seed}.json"
    try:
        if found := run_records.load(file):
            run_records.require_same(file, found, definition, config, workdir.FREE)
            return found
    except RecordError:
        if not overwrite:
            raise
    ratio, test = run.resolved.data.pairs.min_ratio, scores(name, "test")
    factor = split_metrics.rescale_factor(scores(name, "validation"), ratio)
    figures = split_metrics.evaluate(test, ratio, factor=factor, seed=run.training_seed)
    made = Record(name, definition, run_records.plain(config), figures, run_records.compact(test))
    run_records.save(file, made)
    return made
