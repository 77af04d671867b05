"""Which pairs a participant sees, and the digest that ties a study to its data set."""

import hashlib
import json
from typing import NamedTuple

import numpy as np

from data_builders.dataset import GroupDataset

_KEYS = ("record", "position", "account", "image_id", "post_id", "likes", "time")


class Pair(NamedTuple):
    """Two images of the group `record`, by their positions in it, as the page shows them."""

    record: int
    left: int
    right: int


def digest(dataset: GroupDataset) -> str:
    """The sha256 of a split's images (record, position, account, ids, likes, time), in hex."""
    total = hashlib.sha256()
    for row in dataset.images.select(_KEYS).sort("record", "position").iter_rows():
        total.update(json.dumps(row).encode() + b"\n")
    return total.hexdigest()


def require_enough(dataset: GroupDataset, count: int) -> None:
    """Raises ValueError if the split has fewer valid pairs than `count`, the pairs per participant."""
    valid = int(dataset.groups["pairs"].sum())
    if count > valid:
        raise ValueError(
            f"--pairs={count}: the {dataset.split} split of {dataset.folder} has {valid} valid pairs; ask for fewer"
        )


def draw(dataset: GroupDataset, count: int, seed: int, participant: int) -> list[Pair]:
    """Draws `count` different valid pairs (eq. 8), uniformly from those of the split, and shuffles their sides.

    The same arguments give the same pairs in the same order. Each participant's draw is independent of the others'.

    Args:
      dataset: the split.
      count: pairs to draw.
      seed: of the study.
      participant: their number, from 1.
    Raises:
      ValueError: the split has fewer valid pairs.
    """
    require_enough(dataset, count)
    rng = np.random.default_rng([seed, participant])
    ends = np.cumsum(dataset.groups["pairs"].to_numpy())
    chosen = rng.choice(int(ends[-1]), count, replace=False)
    rows = np.searchsorted(ends, chosen, side="right")
    records = dataset.groups["record"].to_numpy()[rows].tolist()
    within = chosen - ends[rows]  # negative: counted from the group's last pair
    swapped = rng.integers(0, 2, count).astype(bool)
    pairs = []
    for record, group, pair, swap in zip(records, dataset.get(records), within, swapped, strict=True):
        left, right = (int(position) for position in group["pairs"][pair][:: -1 if swap else 1])
        pairs.append(Pair(record, left, right))
    return pairs
