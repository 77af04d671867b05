"""Reads packs of a plan into numpy batches with grain: the same steps whatever the processes, workers and threads.

A batch holds B packs of S slots (packing.py). Its keys, all arrays:

  log_likes         f32  [B, S]        natural logarithm
  slot_mask         bool [B, S]        False: an empty slot (zeros in every key, -1 in record and position)
  pair_weight       f32  [B, S, S]     weight of the valid pair (i, j), i < j; else 0 (section 3.5)
  slot              i32  [B, S]        number of the slot in the step over all processes: keys its random draws
  record, position  i32  [B, S]        which image of the index it is
and the keys of the parts that the network reads (inputs.py): photos, what was retrieved, depth, texts, ...

This module, and what reading processes import through it, never imports jax itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import grain
import numpy as np
from absl import flags, logging
from ml_collections import ConfigDict

from ipa_jax.input import caption_filter, fields, packing
from ipa_jax.input.caption_filter import CaptionFilter
from ipa_jax.input.field import Batch, Part
from ipa_jax.input.vocabularies import Vocabularies
from third_party_ports.worker_process import before_workers, end_with_parent, within_limits

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

NONE = Vocabularies()


@dataclass(frozen=True)
class Pack:
    """Rows of the image index, i32 [S], -1 = empty; the step and the pack's place in it over all processes."""

    rows: np.ndarray
    step: int
    place: int


@dataclass
class TrainPacks:
    """The packs that one process reads of steps start_step, start_step + 1, ...: a random-access source for grain.

    Of a step's packs, process p of n reads the p-th contiguous slice, which is the order of the devices.
    """

    plan: packing.TrainPlan
    epochs: float
    start_step: int
    process_index: int
    process_count: int
    _epochs: dict[int, np.ndarray] = field(default_factory=dict)  # made on first use, in each reading process

    @property
    def packs_per_process(self) -> int:
        """Packs of a step that this process reads."""
        return self.plan.packs_per_step // self.process_count

    def __len__(self) -> int:
        return max(packing.total_steps(self.plan, self.epochs) - self.start_step, 0) * self.packs_per_process

    def __getitem__(self, index: int) -> Pack:
        step, local = divmod(int(index), self.packs_per_process)
        step += self.start_step
        place = self.process_index * self.packs_per_process + local
        pack = step * self.plan.packs_per_step + place  # in the endless stream of epochs
        if pack >= packing.total_packs(self.plan, self.epochs):
            return Pack(np.full(self.plan.slots, -1, np.int32), step, place)
        epoch, row = divmod(pack, self.plan.packs_per_epoch)
        rows = self._epochs.get(epoch)
        if rows is None:
            rows = packing.epoch_rows(self.plan, epoch)
            # Two kept: threads are an epoch apart around its end. A new dict: none of them sees it half changed.
            self._epochs = dict(list(self._epochs.items())[-1:]) | {epoch: rows}
        return Pack(rows[row], step, place)


@dataclass
class ScorePacks:
    """The packs that one process scores: every `process_count`-th slice of `packs_per_process` packs."""

    rows: np.ndarray  # i32 [packs, S]
    packs_per_process: int
    process_index: int
    process_count: int

    def __len__(self) -> int:
        return len(self.rows) // self.process_count

    def __getitem__(self, index: int) -> Pack:
        step, local = divmod(int(index), self.packs_per_process)
        place = self.process_index * self.packs_per_process + local
        return Pack(self.rows[step * self.packs_per_process * self.process_count + place], step, place)


class LoadPack(grain.transforms.Map):
    """Pack -> batch of that pack alone, without the leading B. Raises ValueError naming an unreadable image.

    pairs: which valid pairs have a weight; all, unless given.
    """

    def __init__(self, dataset: GroupDataset, parts: Sequence[Part], pairs: CaptionFilter | None = None):
        self.dataset, self.parts, self.pairs = dataset, parts, pairs
        self.record = dataset.images["record"].to_numpy().astype(np.int32)
        self.position = dataset.images["position"].to_numpy().astype(np.int32)

    def map(self, pack: Pack) -> Batch:
        """Reads each group of the pack once and decodes only the images that are in it."""
        end_with_parent()
        batch = self._empty(pack)
        filled = np.flatnonzero(pack.rows >= 0)
        rows = pack.rows[filled]
        batch["slot_mask"][filled] = True
        batch["record"][filled] = self.record[rows]
        batch["position"][filled] = self.position[rows]
        records = np.unique(self.record[rows])
        for record, example in zip(records.tolist(), self.dataset.get(records.tolist()), strict=True):
            slots = filled[self.record[rows] == record]
            self._fill(batch, pack, example, slots, self.position[pack.rows[slots]])
        return batch

    def _empty(self, pack: Pack) -> Batch:
        slots = len(pack.rows)
        batch = {
            "log_likes": np.zeros(slots, np.float32),
            "slot_mask": np.zeros(slots, bool),
            "pair_weight": np.zeros((slots, slots), np.float32),
            "slot": np.arange(pack.place * slots, (pack.place + 1) * slots, dtype=np.int32),
            "record": np.full(slots, -1, np.int32),
            "position": np.full(slots, -1, np.int32),
        }
        for part in self.parts:
            batch |= part.empty(slots)
        return batch

    def _fill(self, batch: Batch, pack: Pack, example: dict, slots: np.ndarray, positions: np.ndarray):
        """Writes the images `positions` of one group into `slots`."""
        for part in self.parts:
            part.fill(batch, slots, example, positions, pack.step)
        batch["log_likes"][slots] = np.log(example["likes"][positions].astype(np.float64))
        slot_of = np.full(len(example["likes"]), -1)
        slot_of[positions] = slots
        pairs = example["pairs"].reshape(-1, 2)
        pairs = pairs[(slot_of[pairs] >= 0).all(axis=1)]  # in a pack of one pair: that pair alone
        if self.pairs:
            pairs = pairs[self.pairs.short(example["captions"])[pairs].all(axis=1)]
        weight = example["weight"]
        batch["pair_weight"][tuple(slot_of[pairs].T)] = weight[pairs[:, 0]] * weight[pairs[:, 1]]


def train_plan(dataset: GroupDataset, config: ConfigDict) -> packing.TrainPlan:
    """The plan of a training split under `config.batch` and `config.seed`; see caption_filter.py for what it may leave
    out. Raises ValueError as packing.train_plan."""
    images = dataset.images
    index = packing.group_index(
        images["record"].to_numpy(),
        images["likes"].to_numpy(),
        images["weight"].to_numpy(),
        dataset.options["pairs"]["min_ratio"],
    )
    listed = int(dataset.groups["pairs"].sum())
    if len(index.pairs) != listed:
        raise ValueError(
            f"the index of {dataset.folder}, split {dataset.split}, lists {listed} valid pairs, but its likes give "
            f"{len(index.pairs)}: build the data set again"
        )
    if chosen := caption_filter.for_config(config):
        kept = chosen.short_images(dataset)[index.pairs].all(axis=1)
        logging.warning("i2pa.caption_filter keeps %d of %d train pairs", kept.sum(), kept.size)
        if not kept.any():
            raise ValueError(
                f"config.i2pa.caption_filter leaves none of the {kept.size} train pairs: raise i2pa.caption_words "
                f"({chosen.words}) or i2pa.caption_tags ({chosen.tags})"
            )
        index = replace(index, pairs=index.pairs[kept], pair_weights=index.pair_weights[kept])
    return packing.train_plan(index, config.batch, config.seed)


def train_batches(
    dataset: GroupDataset,
    config: ConfigDict,
    *,
    start_step: int,
    process_index: int,
    process_count: int,
    depth_vectors: Path | None = None,
    vocabularies: Vocabularies = NONE,
    plan: packing.TrainPlan | None = None,
) -> Iterator[Batch]:
    """This process's share of steps start_step, start_step + 1, ... until `config.train.epochs` are over.

    Step t holds what it holds whether or not training was stopped before it. `depth_vectors`: a .npy file, float
    [images of the split, 5, D] in order of the index; used where model.depth.resnet is "cached". `vocabularies`: of the
    networks that read texts or accounts. `plan`: what `train_plan` gives, where it is there already.

    Raises ValueError as packing.train_plan, and where the processes do not divide the packs of a step.
    """
    plan = plan or train_plan(dataset, config)
    if plan.packs_per_step % process_count:
        name = "batch.pairs" if config.batch.by == "pairs" else "batch.packs"
        raise ValueError(f"{name} is {plan.packs_per_step}: set it to a multiple of the {process_count} processes")
    source = TrainPacks(plan, config.train.epochs, start_step, process_index, process_count)
    parts = fields.make(dataset, config, train=True, depth_vectors=depth_vectors, vocabularies=vocabularies)
    load = LoadPack(dataset, parts, caption_filter.for_config(config))
    return _read(source, load, config)


def score_batches(
    dataset: GroupDataset,
    config: ConfigDict,
    images_per_batch: int,
    *,
    packs: int = 1,
    process_index: int = 0,
    process_count: int = 1,
    depth_vectors: Path | None = None,
    vocabularies: Vocabularies = NONE,
    rows: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Every image of the split, or of some rows of its index, once and in order, centre cut, without augmentation.

    A batch of a process holds `packs` packs (its devices) of images_per_batch / packs slots. All processes get as many
    batches; the last ones are filled with empty slots. pair_weight holds only pairs that a batch has whole: take pairs
    from the index.
    """
    if images_per_batch % packs:
        raise ValueError(f"images_per_batch ({images_per_batch}) must be a multiple of packs ({packs})")
    wanted = np.arange(len(dataset.images)) if rows is None else rows
    placed = packing.score_rows(wanted, images_per_batch // packs, packs * process_count)
    parts = fields.make(dataset, config, train=False, depth_vectors=depth_vectors, vocabularies=vocabularies)
    load = LoadPack(dataset, parts)
    return _read(ScorePacks(placed, packs, process_index, process_count), load, config)


def _read(source: TrainPacks | ScorePacks, load: LoadPack, config: ConfigDict) -> Iterator[Batch]:
    threads, ahead = config.input.threads, config.input.prefetch
    workers = within_limits(config.input.workers)
    steps = grain.MapDataset.source(source).map(load).batch(source.packs_per_process)
    read = steps.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead, threads)))
    if workers:
        before_workers()
        if not flags.FLAGS.is_parsed():  # commands that parse with argparse; grain reads its own flags
            flags.FLAGS.mark_as_parsed()
        read = read.mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=-(-ahead // workers)))
    return iter(read)
