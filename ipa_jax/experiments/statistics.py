"""The figures of a row over its seeds, differences between two rows, and what they decide."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from ipa_jax.experiments.records import Recorded, pooled
from ipa_jax.metrics import bootstrap, split_metrics
from ipa_jax.metrics.registry import with_interval

TABLE_METRICS = ("accuracy", "plcc", "srcc", "ratio_mse", "ratio_mse_rescaled")
UNDECIDED = "undecided"
DRAWS = 1000  # of the bootstrap


def figures(runs: Recorded, min_ratio: float, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """TABLE_METRICS over the test groups of all seeds pooled, with 95 % intervals over accounts.

    Args:
      runs: the records of one row.
      min_ratio: the ratio of likes that a valid pair exceeds (eq. 8).
      draws, seed: of the bootstrap.
    Returns:
      Each metric and METRIC_interval, "interval_over", "pairs", "groups", "accounts", "seeds" (how many); "mean" and
      "std": metric -> mean and standard deviation over the seeds (std None for one seed); "seconds", the mean training
      time. "ratio_mse_rescaled" is Ratio MSE after one factor on z for each run, fitted on its validation pairs.
    """
    found = split_metrics.evaluate(pooled(runs.values()), min_ratio, draws=draws, seed=seed)
    rescaled = split_metrics.evaluate(pooled(runs.values(), rescaled=True), min_ratio, draws=draws, seed=seed)
    found |= {f"ratio_mse_rescaled{x}": rescaled[f"ratio_mse{x}"] for x in ("", "_interval")}
    each = {name: [record.figures[name] for _, record in runs.values()] for name in TABLE_METRICS}
    known = {name: values for name, values in each.items() if None not in values}
    intervals = (f"{name}_interval" for name in TABLE_METRICS)
    kept = (*TABLE_METRICS, *intervals, "interval_over", "pairs", "groups", "accounts")
    return {name: found[name] for name in kept} | {
        "seeds": len(runs),
        "mean": {name: statistics.mean(values) for name, values in known.items()},
        "std": {name: statistics.stdev(values) if len(values) > 1 else None for name, values in known.items()},
        "seconds": statistics.mean(record.seconds for _, record in runs.values()),
    }


def difference(ours: Recorded, theirs: Recorded, min_ratio: float, *, draws: int = DRAWS, seed: int = 0) -> dict:
    """Ours minus theirs over the seeds that both have, by paired bootstrap over accounts.

    Returns:
      split_metrics.paired_difference, with a "verdict" for each metric, "seeds", and "ahead": in how many of these
      seeds ours has the higher accuracy.
    Raises:
      ValueError: the rows share no seed, or a seed has other test images in one of them.
    """
    common = [key for key in ours if key in theirs]
    if not common:
        raise ValueError(f"no seed in common: {sorted(ours)} and {sorted(theirs)}")
    left, right = (pooled(runs[key] for key in common) for runs in (ours, theirs))
    found = split_metrics.paired_difference(left, right, min_ratio, draws=draws, seed=seed)
    for name in with_interval():
        found[name]["verdict"] = verdict(found[name]["interval"])
    ahead = sum(ours[key][1].figures["accuracy"] > theirs[key][1].figures["accuracy"] for key in common)
    return found | {"seeds": len(common), "ahead": ahead}


def difference_in_accuracy(ours: pl.DataFrame, theirs: pl.DataFrame, min_ratio: float, seed: int = 0) -> dict[str, Any]:
    """Ours minus theirs in accuracy. The two may differ in their pairs: the bootstrap draws the same accounts for both.

    Args:
      ours, theirs: frames of scores.
    Returns:
      {"difference", "interval"}; the interval is None where there are fewer accounts than bootstrap.MIN_ACCOUNTS.
    """
    tables = [split_metrics.by_account(scores, min_ratio) for scores in (ours, theirs)]
    names = sorted({name for table in tables for name in table["account"]})
    number = {name: i for i, name in enumerate(names)}
    times = bootstrap.draw(len(names), DRAWS, seed)
    accuracies, drawn = [], []
    for table in tables:
        place = [number[name] for name in table["account"]]
        pairs, correct = np.zeros(len(names)), np.zeros(len(names))
        pairs[place] = table["pairs"].to_numpy()
        correct[place] = np.nan_to_num(table["accuracy"].to_numpy()) * table["pairs"].to_numpy()
        accuracies.append(correct.sum() / pairs.sum())
        count = times @ pairs
        drawn.append(np.divide(times @ correct, count, out=np.full(len(count), np.nan), where=count > 0))
    few = len(names) < bootstrap.MIN_ACCOUNTS
    interval = None if few else bootstrap.interval(drawn[0] - drawn[1])
    return {"difference": float(accuracies[0] - accuracies[1]), "interval": interval}


def verdict(interval: Sequence[float] | None) -> str:
    """ "higher" or "lower" if the whole interval of a difference is on that side of 0, else "undecided"."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return UNDECIDED
    return "higher" if interval[0] > 0 else "lower"


def claim(text: str, found: Mapping[str, Any], paper: float | None, *, trainings: bool = False) -> dict[str, Any]:
    """A claim of the paper, tested by a difference in accuracy.

    An interval over accounts and training seeds decides alone. One over accounts does not include how much another
    training seed would move a figure: then the claim is undecided unless every run agrees with it.

    Args:
      text: the claim.
      found: the `difference` between the row that should be ahead and the other.
      paper: the paper's difference in accuracy, a fraction.
      trainings: whether the interval holds training seeds (training_seeds.difference).
    Returns:
      {"claim", "verdict", "difference", "interval", "ahead", "seeds", "trainings", "paper"}.
    """
    words = {"higher": "holds", "lower": "does not hold: measured the opposite", UNDECIDED: UNDECIDED}
    accuracy = found["accuracy"]
    decided = accuracy["verdict"]
    if not trainings and decided != UNDECIDED and found["ahead"] != (found["seeds"] if decided == "higher" else 0):
        decided = UNDECIDED
    return {
        "claim": text,
        "verdict": words[decided],
        "difference": accuracy["difference"],
        "interval": accuracy["interval"],
        "ahead": found["ahead"],
        "seeds": found["seeds"],
        "trainings": trainings,
        "paper": paper,
    }
