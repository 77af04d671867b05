"""The metrics of a split from its scores, in numpy float64, exact on every image (section 4.1.2, eq. 9).

`evaluate` gives all of them, `paired_difference` compares two models. The metrics themselves: registry.py; what a frame
of scores holds and what a valid pair is: scored_pairs.py.
"""

from typing import Any

import numpy as np
import polars as pl

from ipa_jax.metrics import bootstrap
from ipa_jax.metrics.registry import METRICS, Scored, with_interval
from ipa_jax.metrics.scored_pairs import Pairs, all_pairs, read_scores

# low < max / min <= high; as fractions, so that likes are compared as integers.
RATIO_BANDS = {"1.1-1.5": ((11, 10), (3, 2)), "1.5-2": ((3, 2), (2, 1)), "2-4": ((2, 1), (4, 1)), "4+": ((4, 1), None)}


def rescale_factor(validation_scores: pl.DataFrame, min_ratio: float) -> float:
    """The factor on z that minimises Ratio MSE (eq. 9) over all valid pairs: least squares through 0; 1 if all z tie.

    Args:
      validation_scores: fit it on validation, then pass it to `evaluate` on test.
      min_ratio: of eq. 8.
    """
    pairs = all_pairs(read_scores(validation_scores)).valid(min_ratio)
    square = float(pairs.d @ pairs.d)
    return float(pairs.d @ pairs.t) / square if square > 0 else 1.0


def pair_figures(pairs: Pairs) -> dict[str, Any]:
    """{"accuracy", "ratio_mse", "pairs"} of some pairs; without any, the first two are None."""
    n = len(pairs.d)
    return {
        "accuracy": float(pairs.correct.mean()) if n else None,
        "ratio_mse": float(pairs.squared_error().mean()) if n else None,
        "pairs": n,
    }


def by_ratio(pairs: Pairs) -> dict[str, dict[str, Any]]:
    """`pair_figures` of each band of RATIO_BANDS. Give all pairs: the lower bands hold pairs that are not valid."""
    bands = {}
    for name, (low, high) in RATIO_BANDS.items():
        inside = pairs.larger * low[1] > pairs.smaller * low[0]
        if high is not None:
            inside &= pairs.larger * high[1] <= pairs.smaller * high[0]
        bands[name] = pair_figures(pairs.take(inside))
    return bands


def by_account(scores: pl.DataFrame, min_ratio: float) -> pl.DataFrame:
    """Accuracy of each account over its valid pairs.

    Returns:
      Columns account, groups, images, pairs and accuracy (NaN without a valid pair), sorted by account.
    """
    table = read_scores(scores)
    pairs = all_pairs(table).valid(min_ratio)
    number, n = table.account[pairs.group], len(table.accounts)
    counts = np.bincount(number, minlength=n)
    correct = np.bincount(number, pairs.correct, minlength=n)
    return pl.DataFrame(
        {
            "account": table.accounts,
            "groups": np.bincount(table.account, minlength=n),
            "images": np.bincount(table.account, table.size, minlength=n).astype(np.int64),
            "pairs": counts,
            "accuracy": np.divide(correct, counts, out=np.full(n, np.nan), where=counts > 0),
        }
    )


def group_sums(scored: Scored) -> bootstrap.Sums:
    """Metric -> float64 [G, 2]: what each group adds to its numerator and denominator; of metrics with an interval."""
    sums = {}
    for name in with_interval():
        if (values := METRICS[name].values(scored)) is not None:
            sums[name] = values.sums(len(scored.table.size))
    return sums


def by_group_size(scored: Scored) -> dict[str, dict[str, Any]]:
    """Images in a group -> `pair_figures`, plcc, srcc and groups, over the groups of that size."""
    sizes = {}
    for groups, images in scored.table.blocks():
        figures = pair_figures(scored.pairs.take(np.isin(scored.pairs.group, groups)))
        means = {name: float(getattr(scored.correlations, name)[groups].mean()) for name in ("plcc", "srcc")}
        sizes[str(images.shape[1])] = figures | means | {"groups": len(groups)}
    return sizes


def evaluate(
    scores: pl.DataFrame, min_ratio: float, *, factor: float | None = None, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """All metrics of a split, as a run's results.json holds them.

    Args:
      scores: a row per image of the split (see scored_pairs.py).
      min_ratio: of eq. 8 (`config.data.pairs.min_ratio`).
      factor: on z, of `rescale_factor` on validation scores; None leaves `ratio_mse_rescaled` None.
      draws: of the bootstrap; 0 leaves the intervals None.
      seed: of the bootstrap.
    Returns:
      Each metric of METRICS, and NAME_interval, [low, high], of those with an interval; "interval_over": "accounts" or
      "groups"; "rescale_factor"; the numbers of "pairs", "groups", "images", "accounts" and "constant_groups" (whose z
      are all equal); "by_ratio" and "by_group_size".
    Raises:
      ValueError: no group has a valid pair.
    """
    table = read_scores(scores)
    everything = all_pairs(table)
    scored = Scored(table, everything.valid(min_ratio), factor)
    if not len(scored.pairs.d):
        raise ValueError(
            f"scores: no group has a valid pair (max likes > {min_ratio} * min likes, data.pairs.min_ratio); "
            "evaluate a split with more groups"
        )
    over, (drawn,) = bootstrap.resample(table.account, table.group, [group_sums(scored)], draws, seed)
    values = {name: metric.values(scored) for name, metric in METRICS.items()}
    return {
        **{name: None if found is None else found.mean() for name, found in values.items()},
        **{f"{name}_interval": bootstrap.interval(drawn[name]) if name in drawn else None for name in with_interval()},
        "interval_over": over,
        "rescale_factor": factor,
        "pairs": len(scored.pairs.d),
        "groups": len(table.size),
        "images": len(table.z),
        "accounts": len(table.accounts),
        "constant_groups": int(scored.correlations.constant.sum()),
        "by_ratio": by_ratio(everything),
        "by_group_size": by_group_size(scored),
    }


def paired_difference(
    ours: pl.DataFrame, theirs: pl.DataFrame, min_ratio: float, *, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Ours minus theirs on the same images, groups and pairs, both resampled by the same draws.

    Args:
      ours, theirs: scores of two models on one split.
      min_ratio: of eq. 8.
      draws, seed: of the bootstrap.
    Returns:
      For each metric with an interval {"difference", "interval": [low, high], "standard_error"}; "interval_over":
      "accounts" or "groups"; "pairs" and "groups".
    Raises:
      ValueError: the frames differ in an image, or in its group, post or likes.
    """
    keys = ["record", "image_id", "account", "post_id", "likes"]
    kept = [*keys, "z", *(["group"] if "group" in ours.columns else [])]
    left, right = (scores.select(kept).sort("record", "image_id") for scores in (ours, theirs))
    if left.height != right.height or not all((left[key] == right[key]).all() for key in keys):
        raise ValueError(
            f"scores: the two tables ({left.height} and {right.height} images) do not hold the same images, groups and "
            "likes; score both models on the same split of the same data set"
        )
    tables = [read_scores(scores) for scores in (left, right)]
    scored = [Scored(table, all_pairs(table).valid(min_ratio)) for table in tables]
    sums = [group_sums(one) for one in scored]
    over, (a, b) = bootstrap.resample(tables[0].account, tables[0].group, sums, draws, seed)
    result: dict[str, Any] = {}
    for name in sums[0]:
        here, there = (s[name][:, 0].sum() / s[name][:, 1].sum() for s in sums)
        drawn = a[name] - b[name]
        result[name] = {
            "difference": float(here - there),
            "interval": bootstrap.interval(drawn),
            "standard_error": bootstrap.standard_error(drawn),
        }
    return result | {"interval_over": over, "pairs": len(scored[0].pairs.d), "groups": len(tables[0].size)}
