"""What each training step contains: valid pairs, or whole groups packed into fixed slots (section 3.5).

A plan is made from the data set's index alone, no record is read. A *pack* is a row of slots, each holding an image or
nothing; a step is a fixed number of packs. The packs of one epoch follow those of the one before in one endless
stream, so that step t is a pure function of (seed, t): any process can compute any step, in any order.

`pairs`: a pack is one valid pair, a fresh permutation of all of them each epoch.
`groups`: a pack is whole groups. Which sizes share a pack is settled once, so that every epoch has as many packs; which
groups of those sizes, and in which order the packs come, is drawn each epoch.
"""

import math
from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from data_builders.groups import is_valid

_EPOCH, _LAYOUT = 1, 2  # fourth word of a key: keeps these draws apart from those of [seed, step, slot]


@dataclass(frozen=True)
class GroupIndex:
    """A split's groups as rows of its image index (sorted by record and position).

    Attributes:
      first: i64 [G + 1], the images of group g are rows first[g] to first[g + 1].
      pairs: i32 [V, 2], all valid pairs (eq. 8) as rows i < j, in order of group.
      pair_weights: f64 [V], 1 / (n_a n_b) with the carousel's n images each, else 1 (section 3.5).
    """

    first: np.ndarray
    pairs: np.ndarray
    pair_weights: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """i64 [G], images a group."""
        return np.diff(self.first)


@dataclass(frozen=True)
class TrainPlan:
    """Packs of an epoch and how steps are cut from them.

    Attributes:
      index: the split's groups.
      seed: of every shuffle.
      slots: images a pack holds; 2 where a pack is a pair.
      packs_per_step: over all processes and devices.
      packs_per_epoch: the same for every epoch.
      layout: i32 [G, 3] of (size, pack, first slot), sorted by size: the places that groups of that size take turns
        in; None where a pack is a pair.
    """

    index: GroupIndex
    seed: int
    slots: int
    packs_per_step: int
    packs_per_epoch: int
    layout: np.ndarray | None


def group_index(records: np.ndarray, likes: np.ndarray, weights: np.ndarray, min_ratio: float) -> GroupIndex:
    """Groups and valid pairs of a split from its image index.

    Args:
      records: int [I], ascending: the group each image is of.
      likes: i64 [I].
      weights: float [I], 1 / images of its post in the group.
      min_ratio: of valid pairs, see data_builders.groups.is_valid (eq. 8).
    """
    first = np.flatnonzero(np.r_[True, records[1:] != records[:-1], True]) if len(records) else np.zeros(1, np.int64)
    sizes = np.diff(first)
    found = [np.zeros((0, 2), np.int64)]
    for size in np.unique(sizes):
        rows = first[:-1][sizes == size][:, None] + np.arange(size)  # [groups of this size, size]
        left, right = np.triu_indices(size, k=1)
        a, b = rows[:, left], rows[:, right]  # [groups of this size, size * (size - 1) / 2]
        # Images of one post share its likes, so they never pair.
        valid = is_valid(likes[a], likes[b], min_ratio)
        found.append(np.stack([a[valid], b[valid]], axis=1))
    pairs = np.concatenate(found)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    weights = np.asarray(weights, np.float64)
    return GroupIndex(first, pairs.astype(np.int32), weights[pairs[:, 0]] * weights[pairs[:, 1]])


def train_plan(index: GroupIndex, batch: ConfigDict, seed: int) -> TrainPlan:
    """The plan of `config.batch` for a split.

    Raises ValueError for an unknown `batch.by`, a split without a valid pair, and slots too few for the largest group.
    """
    if not len(index.pairs):
        raise ValueError("the training split has no valid pair: build the data set from more posts (see build_report)")
    if batch.by == "pairs":
        return TrainPlan(index, seed, 2, batch.pairs, len(index.pairs), None)
    if batch.by != "groups":
        raise ValueError(f"batch.by is {batch.by!r}: set it to 'pairs' or 'groups'")
    largest = int(index.sizes.max())
    if largest > batch.slots:
        raise ValueError(
            f"batch.slots is {batch.slots}, but group {int(index.sizes.argmax())} of the index has {largest} images: "
            f"set --config.batch.slots={largest} or more"
        )
    layout = _layout(index.sizes, batch.slots, np.random.default_rng([seed, 0, 0, _LAYOUT]))
    return TrainPlan(index, seed, batch.slots, batch.packs, int(layout[:, 1].max()) + 1, layout)


def epoch_rows(plan: TrainPlan, epoch: int) -> np.ndarray:
    """i32 [packs_per_epoch, slots]: rows of the image index in each pack of an epoch (from 0), -1 in empty slots."""
    rng = np.random.default_rng([plan.seed, epoch, 0, _EPOCH])
    if plan.layout is None:
        return rng.permutation(plan.index.pairs)
    sizes = plan.index.sizes
    shuffled = rng.permutation(len(sizes))
    groups = shuffled[np.argsort(sizes[shuffled], kind="stable")]  # by size, as the layout is; shuffled within a size
    size, pack, slot = plan.layout.T
    within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)  # 0 .. size - 1 in each group
    rows = np.full((plan.packs_per_epoch, plan.slots), -1, np.int32)
    rows[np.repeat(pack, size), np.repeat(slot, size) + within] = np.repeat(plan.index.first[groups], size) + within
    return rng.permutation(rows)


def total_packs(plan: TrainPlan, epochs: float) -> int:
    """Packs of a whole training; a part of an epoch is rounded up to a pack."""
    return math.ceil(round(epochs * plan.packs_per_epoch, 6))  # 0.1 epochs of 30 packs are 3, not 3.0000000000000004


def total_steps(plan: TrainPlan, epochs: float) -> int:
    """Steps of a whole training; the last one is filled up with empty packs."""
    return math.ceil(total_packs(plan, epochs) / plan.packs_per_step)


def loss_scale(plan: TrainPlan) -> float:
    """What a step's summed weighted pair loss is divided by: the mean weighted number of valid pairs a step.

    A constant of the data, not of the step: so that either way of batching has the same expected gradient
    (section 3.5: the mean over all valid pairs, weighted).
    """
    return float(plan.index.pair_weights.sum() * plan.packs_per_step / plan.packs_per_epoch)


def image_loss_scale(plan: TrainPlan, weights: np.ndarray) -> float:
    """What a step's summed weighted loss of single images is divided by: the mean weight of a step's images.

    weights float [I]: of the images, in order of the index.
    """
    shown = weights[plan.index.pairs] if plan.layout is None else weights
    return float(shown.sum() * plan.packs_per_step / plan.packs_per_epoch)


def images_per_epoch(plan: TrainPlan) -> int:
    """Image forwards an epoch takes: two a valid pair, or each image once."""
    return 2 * len(plan.index.pairs) if plan.layout is None else int(plan.index.first[-1])


def efficiency(plan: TrainPlan) -> float:
    """Share of slots that hold an image, 0 to 1."""
    return images_per_epoch(plan) / (plan.packs_per_epoch * plan.slots)


def score_rows(rows: np.ndarray, slots: int, packs: int) -> np.ndarray:
    """i32 [packs of the split, slots]: these rows of the image index in order, then -1.

    No pairs are needed here, so groups may be cut. The number of packs is a multiple of `packs`.
    """
    padded = np.full(math.ceil(len(rows) / (slots * packs)) * slots * packs, -1, np.int32)
    padded[: len(rows)] = rows
    return padded.reshape(-1, slots)


def _layout(sizes: np.ndarray, slots: int, rng: np.random.Generator) -> np.ndarray:
    """Places (size, pack, first slot) for groups of these sizes, i32 [G, 3], sorted by size.

    Best fit over a shuffled order mixes large and small groups in every pack, where a decreasing order would leave
    packs of small groups only, whose losses are a tenth of the others'. The decreasing order is taken where it saves
    over 2 % of the packs.
    """
    mixed = _best_fit(rng.permutation(sizes), slots)
    dense = _best_fit(np.sort(sizes)[::-1], slots)
    places = mixed if mixed[:, 1].max() + 1 <= 1.02 * (dense[:, 1].max() + 1) else dense
    return places[np.argsort(places[:, 0], kind="stable")]


def _best_fit(sizes: np.ndarray, slots: int) -> np.ndarray:
    """Puts each size, in order, into the fullest pack that has room: (size, pack, first slot), i32 [G, 3]."""
    packs = 0
    with_room: list[list[int]] = [[] for _ in range(slots + 1)]  # by free slots
    places = np.empty((len(sizes), 3), np.int32)
    for k, size in enumerate(sizes.tolist()):
        room = next((free for free in range(size, slots) if with_room[free]), slots)
        if room == slots:
            pack, packs = packs, packs + 1
        else:
            pack = with_room[room].pop()
        with_room[room - size].append(pack)
        places[k] = size, pack, slots - room
    return places
