"""The metrics of section 4.1.2 and eq. 9 over the scores of a split, in numpy float64, exact on every image.

What a frame of scores holds, and what a valid pair is: scored_pairs.py.
"""

import numpy as np
import polars as pl

from ipa_jax.metrics import bootstrap
from ipa_jax.metrics.scored_pairs import Pairs, Table, all_pairs, read_scores

# low < max / min <= high; as fractions, so that likes are compared as integers.
RATIO_BANDS = {"1.1-1.5": ((11, 10), (3, 2)), "1.5-2": ((3, 2), (2, 1)), "2-4": ((2, 1), (4, 1)), "4+": ((4, 1), None)}
STATISTICS = ("accuracy", "plcc", "srcc", "ratio_mse")


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each row, float64 [g] from [g, n] twice; 0 where either row is constant."""
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.clip(np.divide((x * y).sum(axis=1), norms, out=np.zeros(len(x)), where=norms > 0), -1, 1)


def group_correlations(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PLCC (of likes and s = exp(z - max z)) and SRCC (average ranks of likes and z) of every group.

    Returns plcc and srcc, float64 [G], and constant, bool [G]: groups whose z are all equal, which count 0 in both.
    """
    from scipy.stats import rankdata  # 1.4 s to import

    plcc, srcc, constant = np.zeros(len(table.size)), np.zeros(len(table.size)), np.zeros(len(table.size), bool)
    for groups, images in table.blocks():
        likes, z = table.likes[images].astype(np.float64), table.z[images]
        top = z.max(axis=1, keepdims=True)
        flat = (likes == likes[:, :1]).all(axis=1) | (z == z[:, :1]).all(axis=1)  # rounding must not make a slope
        plcc[groups] = np.where(flat, 0, correlation(likes, np.exp(z - top)))
        srcc[groups] = np.where(flat, 0, correlation(rankdata(likes, axis=1), rankdata(z, axis=1)))
        constant[groups] = (z == top).all(axis=1)
    return plcc, srcc, constant


def rescale_factor(validation_scores: pl.DataFrame, min_ratio: float) -> float:
    """The factor on z that minimises Ratio MSE over the pooled valid pairs: least squares through 0; 1 if all tie."""
    pairs = all_pairs(read_scores(validation_scores)).valid(min_ratio)
    square = float(pairs.d @ pairs.d)
    return float(pairs.d @ pairs.t) / square if square > 0 else 1.0


def pair_figures(pairs: Pairs) -> dict:
    """{"accuracy", "ratio_mse", "pairs"} of these pairs; the first two None when there are none."""
    n = len(pairs.d)
    return {
        "accuracy": float(pairs.correct.mean()) if n else None,
        "ratio_mse": float(pairs.squared_error().mean()) if n else None,
        "pairs": n,
    }


def by_ratio(pairs: Pairs) -> dict[str, dict]:
    """`pair_figures` of all pairs of kept groups by likes ratio, low < max / min <= high, compared in integers."""
    bands = {}
    for name, (low, high) in RATIO_BANDS.items():
        inside = pairs.larger * low[1] > pairs.smaller * low[0]
        if high is not None:
            inside &= pairs.larger * high[1] <= pairs.smaller * high[0]
        bands[name] = pair_figures(pairs.take(inside))
    return bands


def by_account(scores: pl.DataFrame, min_ratio: float) -> pl.DataFrame:
    """Accuracy of each account over its valid pairs: account, groups, images, pairs, accuracy; sorted by account."""
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


def group_sums(table: Table, pairs: Pairs, plcc: np.ndarray, srcc: np.ndarray) -> dict[str, np.ndarray]:
    """Statistic -> float64 [G, 2]: what the group adds to its numerator and to its denominator."""
    g = len(table.size)
    count = np.bincount(pairs.group, minlength=g)
    return {
        "accuracy": np.stack([np.bincount(pairs.group, pairs.correct, minlength=g), count], axis=1),
        "plcc": np.stack([plcc, np.ones(g)], axis=1),
        "srcc": np.stack([srcc, np.ones(g)], axis=1),
        "ratio_mse": np.stack([np.bincount(pairs.group, pairs.squared_error(), minlength=g), count], axis=1),
    }


def evaluate(
    scores: pl.DataFrame, min_ratio: float, *, factor: float | None = None, draws: int = 1000, seed: int = 0
) -> dict:
    """All metrics of a split: the "results.json" part of a run's evaluation.

    Args:
      scores: see the module; one row an image of the split.
      min_ratio: of eq. 8 (`config.data.pairs.min_ratio`).
      factor: of `rescale_factor` on validation scores; None leaves `ratio_mse_rescaled` None.
      draws, seed: of the bootstrap; 0 draws leave the intervals None.
    Raises ValueError when no group has a valid pair.
    """
    table = read_scores(scores)
    everything = all_pairs(table)
    pairs = everything.valid(min_ratio)
    if not len(pairs.d):
        raise ValueError(
            f"scores: no group has a valid pair (max likes > {min_ratio} * min likes, data.pairs.min_ratio); "
            "evaluate a split with more groups"
        )
    plcc, srcc, constant = group_correlations(table)
    count = np.bincount(pairs.group, minlength=len(table.size))
    correct = np.bincount(pairs.group, pairs.correct, minlength=len(table.size))
    paired = count > 0
    sums = group_sums(table, pairs, plcc, srcc)
    over, (drawn,) = bootstrap.resample(table.account, table.group, [sums], draws, seed)
    sizes = {}
    for groups, images in table.blocks():
        inside = np.isin(pairs.group, groups)
        figures = pair_figures(pairs.take(inside))
        figures |= {"plcc": float(plcc[groups].mean()), "srcc": float(srcc[groups].mean()), "groups": len(groups)}
        sizes[str(images.shape[1])] = figures
    return {
        "accuracy": float(pairs.correct.mean()),
        "plcc": float(plcc.mean()),
        "srcc": float(srcc.mean()),
        "ratio_mse": float(pairs.squared_error().mean()),
        **{f"{name}_interval": bootstrap.interval(drawn[name]) for name in STATISTICS},
        "interval_over": over,
        "ratio_mse_rescaled": None if factor is None else float(pairs.squared_error(factor).mean()),
        "rescale_factor": factor,
        "group_accuracy": float((correct[paired] / count[paired]).mean()),
        "pairs": len(pairs.d),
        "groups": len(table.size),
        "images": len(table.z),
        "accounts": len(table.accounts),
        "constant_groups": int(constant.sum()),
        "by_ratio": by_ratio(everything),
        "by_group_size": sizes,
    }


def paired_difference(
    ours: pl.DataFrame, theirs: pl.DataFrame, min_ratio: float, *, draws: int = 1000, seed: int = 0
) -> dict:
    """Ours minus theirs on the same images, groups and pairs, both resampled by the same draws.

    Returns {"accuracy" | "plcc" | "srcc" | "ratio_mse": {"difference", "interval": [low, high], "standard_error"},
    "interval_over": "accounts" | "groups", "pairs", "groups"}.
    Raises ValueError when the tables differ in an image, its group, post or likes.
    """
    keys = ["record", "image_id", "account", "post_id", "likes"]
    kept = [*keys, "z", *(["group"] if "group" in ours.columns else [])]
    left, right = (scores.select(kept).sort("record", "image_id") for scores in (ours, theirs))
    if left.height != right.height or not all((left[key] == right[key]).all() for key in keys):
        raise ValueError(
            f"scores: the two tables ({left.height} and {right.height} images) do not hold the same images, groups and "
            "likes; score both models on the same split of the same data set"
        )
    sums = []
    for scores in (left, right):
        table = read_scores(scores)
        pairs = all_pairs(table).valid(min_ratio)
        plcc, srcc, _ = group_correlations(table)
        sums.append(group_sums(table, pairs, plcc, srcc))
    over, (a, b) = bootstrap.resample(table.account, table.group, sums, draws, seed)
    result = {}
    for name in STATISTICS:
        here, there = (s[name][:, 0].sum() / s[name][:, 1].sum() for s in sums)
        drawn = a[name] - b[name]
        result[name] = {
            "difference": float(here - there),
            "interval": bootstrap.interval(drawn),
            "standard_error": bootstrap.standard_error(drawn),
        }
    return result | {"interval_over": over, "pairs": len(pairs.d), "groups": len(table.size)}
