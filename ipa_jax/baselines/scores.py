"""Yardsticks beside the model: what a score must beat, and in a demo world what it can reach.

    python -m ipa_jax baselines --data_dir=DATA [--world=WORLD] [--export=EXPORT] [--split=test]

Each gives a table of scores, a row an image in the order of the split's index (metrics.py reads them).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from data_builders.dataset import GroupDataset

BATCH = 256  # groups read at once
FIGURES = ("accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "pairs", "groups", "images", "interval_over")


def chance(dataset: "GroupDataset", seed: int) -> "pl.DataFrame":
    """A uniform random number an image."""
    import numpy as np

    from ipa_jax.metrics.scored_pairs import score_table

    return score_table(dataset.images, np.random.default_rng(seed).uniform(size=len(dataset.images)))


def retrieval_only(dataset: "GroupDataset") -> "pl.DataFrame":
    """z = sum_k S_k log local_k / sum_k S_k over what was retrieved (eq. 1, 3); 0 where nothing similar was."""
    import numpy as np

    from ipa_jax.metrics.scored_pairs import score_table

    z = [
        similarity_weighted(example["similarity"][..., 0], example["local_score"], example["mask"])
        for example in _examples(dataset, range(len(dataset)), "retrieval-only")
    ]
    return score_table(dataset.images, np.concatenate(z))


def similarity_weighted(similarity: "np.ndarray", local: "np.ndarray", mask: "np.ndarray") -> "np.ndarray":
    """float64 [N] from S and local score, float [N, K], and their mask, bool [N, K]."""
    import numpy as np

    weight = np.where(mask, similarity, 0)
    total = weight.sum(axis=1)
    logs = (weight * np.log(np.where(mask, local, 1))).sum(axis=1)
    return np.divide(logs, total, out=np.zeros(len(total)), where=total > 0)


def _examples(dataset: "GroupDataset", records: range, what: str) -> Iterator[dict]:
    """The groups at `records` in order, a batch read at once, with rate and time left."""
    from tqdm import tqdm

    with tqdm(total=len(records), desc=what, unit="group", disable=None) as bar:
        for begin in range(0, len(records), BATCH):
            batch = dataset.get(list(records[begin : begin + BATCH]))
            yield from batch
            bar.update(len(batch))


def truth_scores(dataset: "GroupDataset", world: Path) -> "dict[str, pl.DataFrame]":
    """What the demo world's truth says: bayes knows all but the noise, universal_only the quality that all share.

    Args:
      world: folder that `data_builders.demo_world` wrote.
    Raises:
      FileNotFoundError, ValueError: no truth.parquet there, or that of another world.
    """
    from data_builders.demo_world import truth
    from ipa_jax.metrics.scored_pairs import score_table

    known = truth.load(world)
    scores = {}
    for name, rule in (("bayes", truth.bayes_scores), ("universal_only", truth.universal_scores)):
        joined = dataset.images.join(rule(known), on=truth.KEY, how="left", maintain_order="left")
        if missing := joined["z"].null_count():
            raise ValueError(f"{world}/truth.parquet: {missing} images of the data set are not in it: another world")
        scores[name] = score_table(dataset.images, joined["z"].to_numpy())
    return scores


def all_scores(
    dataset: "GroupDataset",
    train: "GroupDataset",
    world: Path | None = None,
    *,
    export: Path | None = None,
    seed: int = 0,
) -> "dict[str, pl.DataFrame]":
    """Name -> scores: with a demo world bayes and universal_only, then those without a network; with an export
    backbone_knn too."""
    from ipa_jax.baselines import metadata as content
    from ipa_jax.baselines import neighbours

    scores = {} if world is None else truth_scores(dataset, world)
    scores["retrieval_only"] = retrieval_only(dataset)
    if export is not None:
        scores["backbone_knn"] = neighbours.backbone_knn(dataset, train, export)
    scores["pixel_knn"] = neighbours.pixel_knn(dataset, train)
    scores["caption_only"] = content.caption_only(dataset, train)
    scores["content_type"] = content.content_type(dataset, train)
    scores["newer"] = content.newer(dataset)
    scores["older"] = content.newer(dataset, -1)
    scores["account_constant"] = content.account_constant(dataset, train)
    scores["chance"] = chance(dataset, seed)
    return scores


def yardsticks(
    dataset: "GroupDataset",
    train: "GroupDataset",
    world: Path | None = None,
    *,
    export: Path | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> dict[str, dict]:
    """Name -> accuracy, its 95 % interval and the other figures of FIGURES, over the valid pairs of the split.

    Args:
      dataset, train: the split to judge, and the train split of the same data.
      world: folder of the demo world that the data was built from; None leaves out what needs the truth.
      export: whose backbone's features find the nearest images; None leaves that row out.
      seed, draws: of chance and of the bootstrap.
    """
    from ipa_jax.metrics.split_metrics import evaluate

    ratio = dataset.options["pairs"]["min_ratio"]
    results = {}
    for name, scores in all_scores(dataset, train, world, export=export, seed=seed).items():
        result = evaluate(scores, ratio, draws=draws, seed=seed)
        results[name] = {figure: result[figure] for figure in FIGURES}
    return results
