"""Which pairs a participant sees, and the digest that ties a study to its data set."""

import hashlib
import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

_KEYS = ("record", "position", "account", "image_id", "post_id", "likes", "time")


class Pair(NamedTuple):
    """Two images of one group, by their positions in it, as they stand on the page."""

    record: int
    left: int
    right: int


def digest(dataset: "GroupDataset") -> str:
    """sha256 over the images of the split (record, position, account, ids, likes, time): equal for equal contents."""
    total = hashlib.sha256()
    for row in dataset.images.select(_KEYS).sort("record", "position").iter_rows():
        total.update(json.dumps(row).encode() + b"\n")
    return total.hexdigest()


def require_enough(dataset: "GroupDataset", count: int) -> None:
    """Raises ValueError where the split has fewer valid pairs than a participant is to see."""
    there = int(dataset.groups["pairs"].sum())
    if count > there:
        raise ValueError(
            f"--pairs={count}: the {dataset.split} split of {dataset.folder} has {there} valid pairs; ask for fewer"
        )


def draw(dataset: "GroupDataset", count: int, seed: int, participant: int) -> list[Pair]:
    """`count` different valid pairs (eq. 8), any pair of the split as likely as any other, sides shuffled.

    The same numbers give the same pairs in the same order; participants are drawn independently of one another.

    Raises:
      ValueError: the split has fewer valid pairs.
    """
    require_enough(dataset, count)
    rng = np.random.default_rng([seed, participant])
    ends = np.cumsum(dataset.groups["pairs"].to_numpy())
    chosen = rng.choice(int(ends[-1]), count, replace=False)
    rows = np.searchsorted(ends, chosen, side="right")
    records = dataset.groups["record"].to_numpy()[rows]
    within = chosen - ends[rows]  # negative: counted from the group's last pair
    swapped = rng.integers(0, 2, count).astype(bool)
    pairs = []
    for record, group, pair, swap in zip(records, dataset.get(records), within, swapped, strict=True):
        left, right = (int(position) for position in group["pairs"][pair][:: -1 if swap else 1])
        pairs.append(Pair(int(record), left, right))
    return pairs
