"""The figures of a row over its seeds, differences of two rows, and what they decide."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ipa_jax.experiments import records
from ipa_jax.experiments.records import Record
from ipa_jax.metrics import split_metrics

Runs = Mapping[str, tuple[str, Record]]  # key of the seed -> (name of the world, record)
METRICS = ("accuracy", "plcc", "srcc", "ratio_mse", "ratio_mse_rescaled")
UNDECIDED = "undecided"


def figures(runs: Runs, min_ratio: float, *, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """METRICS over the test groups of all seeds pooled, their 95 % intervals over accounts, and beside them `mean` and
    `spread`: metric -> mean and standard deviation over the seeds (None for one seed).

    Ratio MSE "rescaled" is that after one factor on z for each run, fitted on its validation pairs.
    """
    found = split_metrics.evaluate(records.pooled(runs.values()), min_ratio, draws=draws, seed=seed)
    rescaled = split_metrics.evaluate(records.pooled(runs.values(), rescaled=True), min_ratio, draws=draws, seed=seed)
    found |= {f"ratio_mse_rescaled{x}": rescaled[f"ratio_mse{x}"] for x in ("", "_interval")}
    each = {name: [record.figures[name] for _, record in runs.values()] for name in METRICS}
    known = {name: values for name, values in each.items() if None not in values}
    kept = (*METRICS, *(f"{name}_interval" for name in METRICS), "interval_over", "pairs", "groups", "accounts")
    return {name: found[name] for name in kept} | {
        "seeds": len(runs),
        "mean": {name: statistics.mean(values) for name, values in known.items()},
        "spread": {name: statistics.stdev(values) if len(values) > 1 else None for name, values in known.items()},
        "seconds": statistics.mean(record.seconds for _, record in runs.values()),
    }


def difference(ours: Runs, theirs: Runs, min_ratio: float, *, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Ours minus theirs over the seeds that both have, by paired bootstrap over accounts.

    Returns metrics.paired_difference with "seeds", in how many of them ours is "ahead" in accuracy, and for each metric
    its `verdict`. Raises ValueError where they
    share no seed, or where the same seed has other test images.
    """
    common = [key for key in ours if key in theirs]
    if not common:
        raise ValueError(f"no seed in common: {sorted(ours)} and {sorted(theirs)}")
    frames: Sequence = [records.pooled(runs[key] for key in common) for runs in (ours, theirs)]
    found = split_metrics.paired_difference(*frames, min_ratio, draws=draws, seed=seed)
    for name in split_metrics.STATISTICS:
        found[name]["verdict"] = verdict(found[name]["interval"])
    ahead = sum(ours[key][1].figures["accuracy"] > theirs[key][1].figures["accuracy"] for key in common)
    return found | {"seeds": len(common), "ahead": ahead}


def verdict(interval: Sequence[float] | None) -> str:
    """ "higher" or "lower" where the whole interval of a difference is, "undecided" where it holds 0."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return UNDECIDED
    return "higher" if interval[0] > 0 else "lower"


def claim(text: str, found: Mapping[str, Any], paper: float | None) -> dict[str, Any]:
    """A claim judged by a difference in accuracy: {"claim", "verdict", "difference", "interval", "ahead", "seeds",
    "paper"}.

    The interval is over accounts and knows nothing of how far one training lies from another, so every run has to agree
    with it; else the claim is undecided.
    """
    words = {"higher": "holds", "lower": "does not hold: the opposite is measured", UNDECIDED: UNDECIDED}
    accuracy = found["accuracy"]
    decided = accuracy["verdict"]
    if decided != UNDECIDED and found["ahead"] != (found["seeds"] if decided == "higher" else 0):
        decided = UNDECIDED
    return {
        "claim": text,
        "verdict": words[decided],
        "difference": accuracy["difference"],
        "interval": accuracy["interval"],
        "ahead": found["ahead"],
        "seeds": found["seeds"],
        "paper": paper,
    }


def points(found: Mapping[str, Any]) -> str:
    """A difference in points with its interval; one that holds 0 is undecided."""
    if found["interval"] is None:
        return f"{100 * found['difference']:+.1f} (too few accounts for an interval), undecided"
    low, high = (100 * value for value in found["interval"])
    text = f"{100 * found['difference']:+.1f} ({low:+.1f} to {high:+.1f})"
    return text + (", undecided" if low <= 0 <= high else "")
