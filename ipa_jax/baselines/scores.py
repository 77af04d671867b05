"""Scores and figures of all baselines on a split."""

from pathlib import Path
from typing import Any

import polars as pl

from data_builders.dataset import GroupDataset
from ipa_jax.baselines.names import BASELINES
from ipa_jax.metrics.registry import with_interval
from ipa_jax.metrics.split_metrics import evaluate
from third_party_ports.checkpoints.checkpoint import attribute


def all_scores(
    dataset: GroupDataset,
    train: GroupDataset,
    world: Path | None = None,
    *,
    export: Path | None = None,
    seed: int = 0,
) -> dict[str, pl.DataFrame]:
    """Name -> scores of each baseline of BASELINES, in its order.

    Args:
      dataset: the split to score.
      train: the train split of the same data set.
      world: the folder of the demo world that the data set was built from; None leaves out what needs the truth.
      export: an export whose backbone finds the nearest images; None leaves that baseline out.
      seed: of chance.
    Raises:
      FileNotFoundError: the world or the export does not exist.
      ValueError: the world is another one, or the export has no backbone.
    """
    given = {"dataset": dataset, "train": train, "world": world, "export": export, "seed": seed}
    return {
        name: attribute(row.scores)(*(given[need] for need in row.needs))
        for name, row in BASELINES.items()
        if all(given[need] is not None for need in row.needs)
    }


def baseline_figures(
    dataset: GroupDataset,
    train: GroupDataset,
    world: Path | None = None,
    *,
    export: Path | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, dict[str, Any]]:
    """Name -> figures of each baseline over the valid pairs of the split.

    Args:
      dataset, train, world, export: as `all_scores` takes them, which also says what is raised.
      seed: of chance and of the bootstrap.
      draws: of the bootstrap.
    Returns:
      Each metric that has an interval; "accuracy_interval"; "pairs", "groups", "images" and "interval_over".
    """
    accuracy, *others = with_interval()
    kept = (accuracy, f"{accuracy}_interval", *others, "pairs", "groups", "images", "interval_over")
    ratio = dataset.options["pairs"]["min_ratio"]
    results = {}
    for name, scores in all_scores(dataset, train, world, export=export, seed=seed).items():
        result = evaluate(scores, ratio, draws=draws, seed=seed)
        results[name] = {figure: result[figure] for figure in kept}
    return results
