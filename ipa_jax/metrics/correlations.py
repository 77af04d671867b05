"""Correlations of scores with what people said of the same photos, with 95 % intervals by bootstrap.

A photo is drawn as often as its count says. A resampled correlation weighs it by that count, which is the same as
repeating it; ranks are made anew in each draw.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ipa_jax.metrics import bootstrap
from ipa_jax.metrics.ranks import average_ranks

DRAWS = 1000
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def pearson(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> float:
    """Pearson's r of float [N] and [N], each pair counted `times` [N]; NaN where either is constant.

    With a y of two values this is the point-biserial correlation.
    """
    kept = times > 0
    x, y, times = x[kept], y[kept], times[kept] / times.sum()
    if not len(x) or (x == x[0]).all() or (y == y[0]).all():  # rounding must not make a slope
        return float("nan")
    x, y = x - times @ x, y - times @ y
    return float(np.clip((times * x) @ y / np.sqrt((times * x) @ x * ((times * y) @ y)), -1, 1))


def spearman(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> float:
    """Spearman's r, that is Pearson's r of the average ranks; arguments as those of `pearson`."""
    return pearson(average_ranks(x, times), average_ranks(y, times), times)


def with_intervals(
    statistic: Statistic,
    scores: Mapping[str, np.ndarray],
    truth: np.ndarray,
    units: Mapping[str, np.ndarray],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """A correlation for several ways of scoring the same photos, and the first way's lead over each other one.

    Args:
      statistic: `pearson` or `spearman`.
      scores: way of scoring -> float [N].
      truth: float [N].
      units: name -> int [N], what is drawn as a whole, numbered from 0 without gaps, such as photos or sessions.
      draws, seed: of the bootstrap; all ways share the draws.
    Returns:
      For each way {"value", "NAME_interval" for each unit}, and for each but the first "FIRST - WAY" likewise. A value
      is None where it is not defined; an interval also for fewer than bootstrap.MIN_ACCOUNTS units.
    """
    ones = np.ones(len(truth))
    ways = list(scores)
    values = {way: np.array([statistic(scores[way], truth, ones)]) for way in ways}
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for name, unit in units.items():
        if unit.max(initial=-1) + 1 >= bootstrap.MIN_ACCOUNTS:
            times = bootstrap.draw(int(unit.max()) + 1, draws, seed)
            drawn[name] = {way: np.array([statistic(scores[way], truth, row[unit]) for row in times]) for way in ways}
    for table in (values, *drawn.values()):
        table |= {f"{ways[0]} - {way}": table[ways[0]] - table[way] for way in ways[1:]}
    return {
        way: {"value": None if np.isnan(value[0]) else float(value[0])}
        | {f"{name}_interval": bootstrap.interval(drawn[name][way]) if name in drawn else None for name in units}
        for way, value in values.items()
    }
