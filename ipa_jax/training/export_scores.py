"""Scores of exported models on a split, one model alone or several as an ensemble, and their metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from ml_collections import ConfigDict

from data_builders.dataset import GroupDataset
from ipa_jax.input import vocabularies
from ipa_jax.metrics.display import metric_lines
from ipa_jax.metrics.posts import pool_posts
from ipa_jax.metrics.split_metrics import paired_difference, rescale_factor
from ipa_jax.training import rescale
from ipa_jax.training.export import load_export
from ipa_jax.training.export_folder import REMEDY, ExportError, open_export
from ipa_jax.training.preflight import check_data
from ipa_jax.training.scorer import Scorer, mean_scores, split_metrics
from ipa_jax.training.workdir import digest


@dataclass(frozen=True)
class ExportScores:
    """Frames of scores (see metrics/scored_pairs.py), and the config that they are evaluated under.

    Attributes:
      split: of the split.
      validation: of validation, which fits the factor on z; None if `factor` is known.
      factor: the factor on z that the export holds; None if it is to be fitted.
      exact: of the split in float32, if `split` was computed in another dtype on request; else None.
      config: of the first export.
    """

    split: pl.DataFrame
    validation: pl.DataFrame | None
    factor: float | None
    exact: pl.DataFrame | None
    config: ConfigDict


def score_exports(
    exports: Sequence[Path],
    split: str,
    *,
    data_dir: str | None = None,
    dtype: str | None = None,
    images: int | None = None,
    pooled: bool = False,
    verify: str = "full",
) -> ExportScores:
    """Scores a split, and validation where that is needed. The z of several exports is the mean of theirs.

    Validation is scored only if no export holds the factor on z that it gives: not for an ensemble, another data set,
    dtype or version, nor for posts.

    Args:
      exports: export/ folders of finished runs, one or more.
      split: train, validation or test.
      data_dir: the data set; None for the one that the first export was trained on.
      dtype: of the computation; None for each config's eval.dtype. "bfloat16" also scores in float32, for comparison.
      images: that a device scores at once; None for each config's eval.images.
      pooled: whether `figures` is asked for posts, which have a factor of their own.
      verify: what of the data set is checked, as GroupDataset takes it.
    Raises:
      ExportError: an export is missing, incomplete or damaged.
      DatasetError: a file of the data set is damaged.
      FloatingPointError: a score is not finite.
      FileNotFoundError: no data set exists there.
      ValueError: the data set does not suit a config.
    """
    fit = pooled or len(exports) > 1
    members = [_score(exports[0], split, data_dir, dtype, images, fit, verify)]
    config = members[0].config
    members += [_score(export, split, config.data_dir, dtype, images, fit, "index") for export in exports[1:]]
    validation = [member.validation for member in members if member.validation is not None]
    exact = [member.exact for member in members if member.exact is not None]
    return ExportScores(
        split=mean_scores([member.split for member in members]),
        validation=mean_scores(validation) if validation else None,
        factor=members[0].factor,
        exact=mean_scores(exact) if exact else None,
        config=config,
    )


def _score(
    export: Path, split: str, data_dir: str | None, dtype: str | None, images: int | None, fit: bool, verify: str
) -> ExportScores:
    """One export's scores; `fit` asks for those of validation in any case."""
    variables, config, _ = load_export(export)
    with config.unlocked():
        config.data_dir = data_dir or config.data_dir
        config.eval.images = images or config.eval.images
    check_data(config)
    tables = vocabularies.load(export, config, ExportError, REMEDY)
    scorer = Scorer(config, dtype, tables)
    dataset, validation = (GroupDataset(config.data_dir, name, verify=verify) for name in (split, "validation"))
    dataset.verify()  # here: the threads that read would do it each
    scores = scorer.scores(variables, dataset)
    exact = Scorer(config, "float32", tables).scores(variables, dataset) if dtype == "bfloat16" else None
    if split == "validation":
        return ExportScores(scores, scores, None, exact, config)
    stored = None if fit or dtype not in (None, config.eval.dtype) else rescale.load(open_export(export))
    if stored and stored.validation == digest(validation):
        return ExportScores(scores, None, stored.factor, exact, config)
    validation.verify()
    return ExportScores(scores, scorer.scores(variables, validation), None, exact, config)


def figures(scores: ExportScores, posts: str | None = None) -> dict[str, Any]:
    """The metrics of the split.

    Args:
      scores: what `score_exports` returns; `pooled` if posts are asked for.
      posts: how to pool the images of a post (`metrics.posts.POOLS`); None to score images only.
    Returns:
      The figures of `split_metrics.evaluate`. With `posts`, "posts" has those of posts in place of images, and
      "pooled". With exact scores, "bfloat16_minus_float32" has the difference in "accuracy", and "largest_z".
    """
    config, factor = scores.config, scores.factor
    ratio = config.data.pairs.min_ratio
    if factor is None:
        assert scores.validation is not None, "scored where no factor is known"
        factor = rescale_factor(scores.validation, ratio)
    results = split_metrics(scores.split, config, factor)
    if posts:
        assert scores.validation is not None, "scored for posts"
        factor = rescale_factor(pool_posts(scores.validation, posts), ratio)
        results["posts"] = {"pooled": posts} | split_metrics(pool_posts(scores.split, posts), config, factor)
    if scores.exact is not None:
        difference = paired_difference(scores.split, scores.exact, ratio)
        z = (frame["z"].to_numpy() for frame in (scores.split, scores.exact))
        results["bfloat16_minus_float32"] = {
            "accuracy": difference["accuracy"]["difference"],
            "largest_z": float(np.abs(np.subtract(*z)).max()),
        }
    return results


def lines(results: Mapping[str, Any], split: str) -> list[str]:
    """What `figures` returns for a split, as text."""
    tables = {"images": results}
    if posts := results.get("posts"):
        tables[f"posts (z: {posts['pooled']} of their images)"] = posts
    text = []
    for items, table in tables.items():
        text.append(f"{split}: {table['images']} {items}, {table['groups']} groups, {table['pairs']} valid pairs")
        text += [f"  {line}" for line in metric_lines(table)]
    if cost := results.get("bfloat16_minus_float32"):
        text.append(
            f"  bfloat16 against float32: accuracy {cost['accuracy']:+.4f}, z by at most {cost['largest_z']:.4f}"
        )
    return text
