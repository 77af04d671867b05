"""95 % intervals by bootstrap over accounts (section 4.1.2).

Pairs and groups of one account are not independent, so whole accounts are drawn, with replacement, as many as the data
has. Fewer than MIN_ACCOUNTS accounts say too little of how accounts differ: then groups are drawn. Every statistic is a
ratio of sums over groups, so a draw is one row of counts times the sums of each unit.
"""

import statistics
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit  # its parent scipy.stats takes 0.4 s to load

MIN_ACCOUNTS = 10

Sums = dict[str, np.ndarray]  # statistic -> float64 [G, 2]: what a group adds to its numerator and denominator


def draw(units: int, draws: int, seed: int) -> np.ndarray:
    """How often each unit is drawn: float64 [draws, units], each row summing to `units`."""
    chosen = np.random.default_rng(seed).integers(0, units, (draws, units))
    rows = np.arange(draws)[:, None] * units
    times = np.bincount((rows + chosen).ravel(), minlength=draws * units)
    return times.reshape(draws, units).astype(np.float64)


def resample(
    account: np.ndarray, group: np.ndarray, tables: Sequence[Sums], draws: int, seed: int
) -> tuple[str, list[Sums]]:
    """Applies the same draws to the sums of each of `tables`.

    Args:
      account: int [G], the account of each row of the tables, numbered from 0 without gaps.
      group: int [G], the group of each row, numbered likewise. A group that several runs have scored has several rows.
      tables: one per model to compare.
      draws: how many; 0 gives empty results.
      seed: of the draws.
    Returns:
      What was drawn, "accounts" or "groups"; and for each table: statistic -> float64 [draws], NaN for a draw whose
      denominator is 0.
    """
    over, unit = "accounts", account
    if account.max() + 1 < MIN_ACCOUNTS:
        over, unit = "groups", group
    units = int(unit.max()) + 1
    times = draw(units, draws, seed)
    resampled = []
    for sums in tables:
        values = {}
        for name, parts in sums.items():
            top, bottom = (times @ np.bincount(unit, column, minlength=units) for column in parts.T)
            values[name] = np.divide(top, bottom, out=np.full(draws, np.nan), where=bottom > 0)
        resampled.append(values)
    return over, resampled


def interval(values: np.ndarray) -> list[float] | None:
    """The central 95 % of resampled values, [low, high], by linear percentiles, without NaN; None if all are NaN."""
    values = values[~np.isnan(values)]
    return [float(x) for x in np.percentile(values, [2.5, 97.5])] if len(values) else None


def standard_error(values: np.ndarray) -> float | None:
    """The standard deviation of resampled values, NaN left out; None for fewer than two numbers."""
    values = values[~np.isnan(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else None


def over_runs(values: Sequence[float]) -> list[float] | None:
    """95 % interval (Student's t) of the mean over runs, [low, high]; None for fewer than three runs.

    Use it for a control on shuffled likes. What one shuffle happens to teach shows on all accounts alike, so the
    accuracy of a single run can lie further from 50 % than a bootstrap over accounts expects.
    """
    if len(values) < 3:
        return None
    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / len(values) ** 0.5
    return [statistics.mean(values) - half, statistics.mean(values) + half]
