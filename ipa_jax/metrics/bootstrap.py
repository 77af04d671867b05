"""95 % intervals by bootstrap over accounts (section 4.1.2): as many drawn as there are, repeats count twice.

Pairs and groups of one account are not independent, so accounts are what is drawn; under 10 accounts, groups.
Every statistic is a ratio of sums over groups, so a draw is one row of counts times the sums of each unit.
"""

import statistics
from collections.abc import Sequence

import numpy as np

MIN_ACCOUNTS = 10  # fewer say too little of how accounts differ

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
      group: int [G], likewise the group of each: one group may have several rows, each a run's.
      draws, seed: 1000 draws by default everywhere; 0 gives empty results.
    Returns "accounts" or "groups" (what was drawn), and for each table: statistic -> float64 [draws], NaN for a draw
    whose denominator is 0.
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
    """The central 95 % of resampled values (linear percentiles, NaN left out): [low, high]; None when none are left."""
    values = values[~np.isnan(values)]
    return [float(x) for x in np.percentile(values, [2.5, 97.5])] if len(values) else None


def standard_error(values: np.ndarray) -> float | None:
    """Standard deviation of resampled values; None when fewer than two are numbers."""
    values = values[~np.isnan(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else None


def over_runs(values: Sequence[float]) -> list[float] | None:
    """95 % interval (Student's t) of the mean over runs; None below three, whose interval would hold anything.

    The interval of a control on shuffled likes: what one shuffle happens to teach shows on all accounts alike, so the
    accuracy of one run lies further from 50 % than a bootstrap over accounts expects.
    """
    from scipy.stats import t

    if len(values) < 3:
        return None
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return [statistics.mean(values) - half, statistics.mean(values) + half]
