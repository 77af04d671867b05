"""The metrics of section 4.1.2: what each one is the mean of, and how it is shown.

Every metric is a mean over the valid pairs or over the groups of a split. To add one, write a function of a `Scored`
and a row of METRICS: `split_metrics.evaluate`, the report and the printed tables learn it from the row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ipa_jax.metrics.ranks import average_ranks
from ipa_jax.metrics.scored_pairs import Pairs, Table


class Correlations(NamedTuple):
    """Correlations of scores and likes within each group, [G].

    Attributes:
      plcc: float64, Pearson's r of likes and s = exp(z - max z).
      srcc: float64, Spearman's r: Pearson's r of the average ranks of likes and z.
      constant: bool, groups whose z are all equal. They count 0 in both.
    """

    plcc: np.ndarray
    srcc: np.ndarray
    constant: np.ndarray


@dataclass(frozen=True)
class Scored:
    """The scores of a split, as metrics read them.

    Attributes:
      table: the images and groups.
      pairs: the valid pairs (eq. 8).
      factor: multiplies z in rescaled metrics; None if it is not known.
    """

    table: Table
    pairs: Pairs
    factor: float | None = None

    @cached_property
    def correlations(self) -> Correlations:
        """Computed once for the metrics that need them."""
        return group_correlations(self.table)


class Values(NamedTuple):
    """What a metric is the mean of: a value float64 [N] per pair or group, and the group int64 [N] that it is in."""

    value: np.ndarray
    group: np.ndarray

    def mean(self) -> float:
        """The metric."""
        return float(self.value.mean())

    def sums(self, groups: int) -> np.ndarray:
        """float64 [groups, 2]: the sum and the number of the values in each group."""
        total = np.bincount(self.group, self.value, minlength=groups)
        return np.stack([total, np.bincount(self.group, minlength=groups)], axis=1)


@dataclass(frozen=True)
class Metric:
    """A row of METRICS.

    Attributes:
      heading: the metric's name in tables.
      values: what it is the mean of; returns None where it cannot be computed.
      digits: digits after the point in a report.
      table_digits: the same in tables over several seeds, whose intervals are wide.
      percent: shown in percent.
      larger_is_better: False for errors.
      interval: results also hold its 95 % interval, as NAME_interval, and differences between two models.
    """

    heading: str
    values: Callable[[Scored], Values | None]
    digits: int = 4
    table_digits: int = 3
    percent: bool = False
    larger_is_better: bool = True
    interval: bool = True


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each row, float64 [g] from [g, n] twice; 0 where either row is constant."""
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.clip(np.divide((x * y).sum(axis=1), norms, out=np.zeros(len(x)), where=norms > 0), -1, 1)


def group_correlations(table: Table) -> Correlations:
    """PLCC and SRCC of every group (section 4.1.2)."""
    plcc, srcc, constant = np.zeros(len(table.size)), np.zeros(len(table.size)), np.zeros(len(table.size), bool)
    for groups, images in table.blocks():
        likes, z = table.likes[images].astype(np.float64), table.z[images]
        top = z.max(axis=1, keepdims=True)
        flat = (likes == likes[:, :1]).all(axis=1) | (z == z[:, :1]).all(axis=1)  # rounding must not make a slope
        plcc[groups] = np.where(flat, 0, correlation(likes, np.exp(z - top)))
        srcc[groups] = np.where(flat, 0, correlation(average_ranks(likes), average_ranks(z)))
        constant[groups] = (z == top).all(axis=1)
    return Correlations(plcc, srcc, constant)


def accuracy(scored: Scored) -> Values:
    """The share of valid pairs whose more liked image has the higher score; a tie counts 1/2."""
    return Values(scored.pairs.correct, scored.pairs.group)


def plcc(scored: Scored) -> Values:
    """The mean over groups of the linear correlation of scores and likes."""
    return Values(scored.correlations.plcc, np.arange(len(scored.table.size)))


def srcc(scored: Scored) -> Values:
    """The mean over groups of the rank correlation of scores and likes."""
    return Values(scored.correlations.srcc, np.arange(len(scored.table.size)))


def ratio_mse(scored: Scored) -> Values:
    """Ratio MSE (eq. 9): the mean over valid pairs of the squared error of the log2 ratio."""
    return Values(scored.pairs.squared_error(), scored.pairs.group)


def ratio_mse_rescaled(scored: Scored) -> Values | None:
    """Ratio MSE after `scored.factor` on z, which says what a wrong scale of z costs; None without a factor."""
    if scored.factor is None:
        return None
    return Values(scored.pairs.squared_error(scored.factor), scored.pairs.group)


def group_accuracy(scored: Scored) -> Values:
    """The mean over groups of each group's accuracy: large groups count no more than small ones."""
    groups = len(scored.table.size)
    correct, count = Values(scored.pairs.correct, scored.pairs.group).sums(groups).T
    paired = np.flatnonzero(count > 0)
    return Values(correct[paired] / count[paired], paired)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", accuracy, digits=2, table_digits=1, percent=True),
    "plcc": Metric("PLCC", plcc),
    "srcc": Metric("SRCC", srcc),
    "ratio_mse": Metric("Ratio MSE", ratio_mse, table_digits=2, larger_is_better=False),
    "ratio_mse_rescaled": Metric(
        "Ratio MSE rescaled", ratio_mse_rescaled, table_digits=2, larger_is_better=False, interval=False
    ),
    "group_accuracy": Metric(
        "Group-mean accuracy", group_accuracy, digits=2, table_digits=1, percent=True, interval=False
    ),
}


def with_interval() -> list[str]:
    """Names of the metrics whose intervals, and differences between two models, are computed."""
    return [name for name, metric in METRICS.items() if metric.interval]
