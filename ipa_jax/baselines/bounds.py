"""Chance, below which no model should be, and what a demo world's truth says, above which none can be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from data_builders.dataset import GroupDataset
from data_builders.demo_world import truth
from ipa_jax.metrics.scored_pairs import score_table


def chance(dataset: GroupDataset, seed: int) -> pl.DataFrame:
    """A uniform random number per image."""
    return score_table(dataset.images, np.random.default_rng(seed).uniform(size=len(dataset.images)))


def bayes(dataset: GroupDataset, world: Path) -> pl.DataFrame:
    """z = log likes without the noise: no model can order pairs better on average. Raises as `_from_truth`."""
    return _from_truth(dataset, world, truth.bayes_scores)


def universal_only(dataset: GroupDataset, world: Path) -> pl.DataFrame:
    """z = the quality that all accounts share: the most a model can know without the account. Raises as `bayes`."""
    return _from_truth(dataset, world, truth.universal_scores)


def _from_truth(dataset: GroupDataset, world: Path, rule: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    """Scores by a rule of demo_world/truth.py.

    Args:
      world: the folder that `demo-world` wrote.
    Raises:
      FileNotFoundError: the folder has no truth.parquet.
      ValueError: the truth is that of another world.
    """
    joined = dataset.images.join(rule(truth.load(world)), on=truth.KEY, how="left", maintain_order="left")
    if missing := joined["z"].null_count():
        raise ValueError(f"{world}/truth.parquet: {missing} images of the data set are not in it: it is another world")
    return score_table(dataset.images, joined["z"].to_numpy())
