"""Two rows compared over several trainings on each world, with intervals that hold accounts and training seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ipa_jax.experiments import records
from ipa_jax.experiments.records import Record, Recorded, RecordError, pooled
from ipa_jax.experiments.statistics import DRAWS, verdict
from ipa_jax.metrics import bootstrap, split_metrics
from ipa_jax.training import workdir

# World -> float64 [trainings, accounts of the world, 2]: correct pairs and pairs.
Counts = Mapping[str, np.ndarray]


def by_world(runs: Recorded) -> dict[str, dict[int, Record]]:
    """World -> training seed -> record."""
    found: dict[str, dict[int, Record]] = {}
    for world, record in runs.values():
        found.setdefault(world, {})[record.run["seed"]] = record
    return found


def again(folder: Path, found: Mapping[str, Recorded]) -> dict[str, dict[str, tuple[str, Record]]]:
    """The rows of `found` with the records of a folder that are of the same runs with other training seeds.

    A record of other rows, worlds, fields or config is passed over.

    Raises:
      RecordError: a record is damaged.
    """
    rows = {name: dict(runs) for name, runs in found.items()}
    for file in sorted(folder.glob("*.json")):
        if (record := records.load(file)) is None:
            continue
        for world, known in found.get(record.name, {}).values():
            wanted = known.run | {"seed": record.run.get("seed")}
            try:
                records.require_same(file, record, wanted, known.config, (*workdir.FREE, "seed"))
            except RecordError:
                continue
            rows[record.name][f"{world}/{record.run['seed']}"] = (world, record)
    return rows


def difference(ours: Recorded, theirs: Recorded, min_ratio: float, *, draws: int = DRAWS, seed: int = 0) -> dict:
    """Ours minus theirs in accuracy, over the worlds and training seeds that both have.

    Two bootstraps, both over accounts, drawn within each world and alike for both rows. The second one also draws
    training seeds, for each row and world by themselves: of n seeds n - 1, with replacement, so that the spread of the
    mean is neither too small nor too large (McCarthy and Snowden, 1985, "The bootstrap and finite population
    sampling"). With three seeds that spread is itself known roughly.

    Args:
      ours, theirs: records of two rows.
      min_ratio: the ratio of likes that a valid pair exceeds (eq. 8).
      draws, seed: of the bootstrap.
    Returns:
      As `statistics.difference` does, of accuracy alone: "accuracy" has "difference", "interval" over accounts and
      training seeds (None where a world has a single training), "verdict" by it, and "over_accounts", the interval
      over accounts. "ahead" says in how many trainings ours is ahead, of "seeds" trainings.
    Raises:
      ValueError: the rows share no training, or were trained with other seeds in another world.
    """
    keys = [key for key in ours if key in theirs]
    if not keys:
        raise ValueError(f"no training in common: {sorted(ours)} and {sorted(theirs)}")
    left, right = (counts({key: row[key] for key in keys}, min_ratio) for row in (ours, theirs))
    rng = np.random.default_rng(seed)
    times = {world: _times(rng, table.shape[1], draws) for world, table in left.items()}
    accounts = drawn(left, times, None) - drawn(right, times, None)
    several = all(len(table) > 1 for table in left.values())
    both = drawn(left, times, rng) - drawn(right, times, rng) if several else None
    interval = None if both is None else bootstrap.interval(both)
    ahead = sum(ours[key][1].figures["accuracy"] > theirs[key][1].figures["accuracy"] for key in keys)
    return {
        "accuracy": {
            "difference": accuracy(left) - accuracy(right),
            "over_accounts": bootstrap.interval(accounts),
            "interval": interval,
            "verdict": verdict(interval),
        },
        "ahead": ahead,
        "seeds": len(keys),
    }


def counts(runs: Recorded, min_ratio: float) -> dict[str, np.ndarray]:
    """Correct pairs and pairs of each account in each training, world by world (`Counts`)."""
    found = {}
    for world, trainings in by_world(runs).items():
        tables = []
        for record in trainings.values():
            table = split_metrics.by_account(pooled([(world, record)]), min_ratio).sort("account")
            pairs = table["pairs"].to_numpy().astype(np.float64)
            tables.append(np.stack([np.nan_to_num(table["accuracy"].to_numpy()) * pairs, pairs], axis=1))
        if len({table.shape for table in tables}) > 1:
            raise ValueError(f"the trainings on {world} have other accounts in their test groups")
        found[world] = np.stack(tables)
    return found


def accuracy(table: Counts) -> float:
    """The accuracy over all worlds; each training of a world weighs the same."""
    correct, pairs = np.sum([world.mean(0).sum(0) for world in table.values()], axis=0)
    return float(correct / pairs)


def spread(runs: Recorded) -> float | None:
    """The standard deviation of the accuracy between the trainings of a world, as a mean over worlds; None for one."""
    each = [[record.figures["accuracy"] for record in trainings.values()] for trainings in by_world(runs).values()]
    if any(len(found) < 2 for found in each):
        return None
    return float(np.sqrt(np.mean([np.var(found, ddof=1) for found in each])))


def _times(rng: np.random.Generator, units: int, draws: int) -> np.ndarray:
    """How often each account is drawn: float64 [draws, units]."""
    return bootstrap.draw(units, draws, int(rng.integers(2**31)))


def drawn(table: Counts, times: Mapping[str, np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
    """The accuracy in each draw, float64 [draws]; `rng` draws training seeds too."""
    total: Any = 0.0
    for world, found in table.items():
        trainings, draws = len(found), len(times[world])
        weights = np.full((draws, trainings), 1 / trainings)
        if rng is not None:
            weights = rng.multinomial(trainings - 1, weights[0], draws) / (trainings - 1)
        total = total + np.einsum("dt,da,tac->dc", weights, times[world], found, optimize=True)
    return total[:, 0] / total[:, 1]
