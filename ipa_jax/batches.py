"""Reads packs of a plan into numpy batches with grain: the same steps whatever the processes, workers and threads.

A batch holds B packs of S slots (packing.py). Its keys, all arrays:

  image             u8   [B, S, crop, crop, 3]  cut and flipped
  log_likes         f32  [B, S]        natural logarithm
  slot_mask         bool [B, S]        False: an empty slot (zeros in every key, -1 in record and position)
  pair_weight       f32  [B, S, S]     weight of the valid pair (i, j), i < j; else 0 (section 3.5)
  slot              i32  [B, S]        number of the slot in the step over all processes: keys its random draws
  record, position  i32  [B, S]        which image of the index it is
  window            f32  [B, S, 3]     top, left and size of the cut as fractions of the squeezed image
  flip              bool [B, S]        flipped left to right after the cut
where config.model.retrieval.enabled, in order of rank (eq. 1 to 4; 0 where retrieved_mask is False):
  similarity, local, count             f32  [B, S, K];  retrieved_mask  bool [B, S, K]
where config.model.depth.enabled, by config.model.depth.resnet:
  depth             u16  [B, S, side, side]  train, frozen: the whole stored map; the device cuts, flips and thresholds
  depth_vectors     f32  [B, S, 5, D]        cached: the ResNet's five vectors of the un-augmented image

This module, and what reading processes import through it, never imports jax itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grain
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from data_builders.reading_processes import end_with_parent
from ipa_jax import packing, photos

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

Batch = dict[str, np.ndarray]


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

    def __getitem__(self, number: int) -> Pack:
        step, local = divmod(int(number), self.packs_per_process)
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

    def __getitem__(self, number: int) -> Pack:
        step, local = divmod(int(number), self.packs_per_process)
        place = self.process_index * self.packs_per_process + local
        return Pack(self.rows[step * self.packs_per_process * self.process_count + place], step, place)


class LoadPack(grain.transforms.Map):
    """Pack -> batch of that pack alone, without the leading B. Raises ValueError naming an unreadable image."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, train: bool, depth_vectors: Path | None):
        images = dataset.images
        self.dataset = dataset
        self.record = images["record"].to_numpy().astype(np.int32)
        self.position = images["position"].to_numpy().astype(np.int32)
        self.k = dataset.choices["retrieval"]["k"]
        self.depth_side = dataset.choices["depth"]["side"]
        self.seed, self.train = config.seed, train
        self.resize, self.crop, self.flip = config.input.resize, config.input.crop, config.input.flip
        self.retrieval = config.model.retrieval.enabled
        self.cached = config.model.depth.enabled and config.model.depth.resnet == "cached"
        self.depth = config.model.depth.enabled and not self.cached
        self.depth_vectors = depth_vectors
        self._vectors: np.ndarray | None = None
        if self.crop > self.resize:
            raise ValueError(f"input.crop ({self.crop}) is larger than input.resize ({self.resize}): lower input.crop")
        if self.depth and not self.depth_side:
            raise ValueError(
                f"{dataset.folder} was built with data.depth.side=0 and holds no depth maps: build it again, or set "
                "--config.model.depth.enabled=False"
            )
        if self.cached:
            self._check_vectors(len(images))

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
            self._fill(batch, pack, record, example, slots, self.position[pack.rows[slots]])
        if self.cached and len(rows):
            batch["depth_vectors"][filled] = self._mapped()[rows]
        return batch

    def _empty(self, pack: Pack) -> Batch:
        slots = len(pack.rows)
        batch = {
            "image": np.zeros((slots, self.crop, self.crop, 3), np.uint8),
            "log_likes": np.zeros(slots, np.float32),
            "slot_mask": np.zeros(slots, bool),
            "pair_weight": np.zeros((slots, slots), np.float32),
            "slot": np.arange(pack.place * slots, (pack.place + 1) * slots, dtype=np.int32),
            "record": np.full(slots, -1, np.int32),
            "position": np.full(slots, -1, np.int32),
            "window": np.zeros((slots, 3), np.float32),
            "flip": np.zeros(slots, bool),
        }
        if self.retrieval:
            batch |= {key: np.zeros((slots, self.k), np.float32) for key in ("similarity", "local", "count")}
            batch["retrieved_mask"] = np.zeros((slots, self.k), bool)
        if self.depth:
            batch["depth"] = np.zeros((slots, self.depth_side, self.depth_side), np.uint16)
        if self.cached:
            batch["depth_vectors"] = np.zeros((slots, *self._mapped().shape[1:]), np.float32)
        return batch

    def _fill(self, batch: Batch, pack: Pack, record: int, example: dict, slots: np.ndarray, positions: np.ndarray):
        """Writes the images `positions` of one group into `slots`."""
        for slot, position in zip(slots.tolist(), positions.tolist(), strict=True):
            key = (self.seed, pack.step, int(batch["slot"][slot]))
            cut = (
                photos.draw_cut(key, self.resize, self.crop, self.flip)
                if self.train
                else photos.centre_cut(self.resize, self.crop)
            )
            image = self._decode(record, example, position)
            batch["image"][slot] = photos.cut_out(image, cut, self.crop)
            batch["window"][slot] = np.array([cut.top, cut.left, self.crop]) / self.resize
            batch["flip"][slot] = cut.flip
        batch["log_likes"][slots] = np.log(example["likes"][positions].astype(np.float64))
        if self.retrieval:
            batch["similarity"][slots] = example["similarity"][positions, :, 0]
            batch["local"][slots] = example["local_score"][positions]
            batch["count"][slots] = example["count"][positions]
            batch["retrieved_mask"][slots] = example["mask"][positions]
        if self.depth:
            batch["depth"][slots] = example["depth"][positions]
        slot_of = np.full(len(example["likes"]), -1)
        slot_of[positions] = slots
        pairs = example["pairs"].reshape(-1, 2)
        pairs = pairs[(slot_of[pairs] >= 0).all(axis=1)]  # in a pack of one pair: that pair alone
        weight = example["weight"]
        batch["pair_weight"][tuple(slot_of[pairs].T)] = weight[pairs[:, 0]] * weight[pairs[:, 1]]

    def _decode(self, record: int, example: dict, position: int) -> np.ndarray:
        try:
            return photos.decode(example["images"][position], self.resize)
        except ValueError as error:
            raise ValueError(
                f"record {record} (group {example['group_id']}), image {example['image_ids'][position]} in "
                f"{self.dataset.folder}, split {self.dataset.split}: {error}. Rebuild the data set with "
                "data_builders.build, which leaves unreadable images out by name"
            ) from error

    def _mapped(self) -> np.ndarray:
        if self._vectors is None:  # opened in each reading process
            self._vectors = np.load(self.depth_vectors, mmap_mode="r")
        return self._vectors

    def _check_vectors(self, images: int) -> None:
        if self.depth_vectors is None:
            raise ValueError("model.depth.resnet is 'cached', but no array of depth vectors was given")
        shape = self._mapped().shape
        self._vectors = None
        if len(shape) != 3 or shape[:2] != (images, 5):
            raise ValueError(
                f"{self.depth_vectors} has shape {shape}, but split {self.dataset.split} needs ({images}, 5, D): "
                "delete the file so that it is made again from this data set"
            )


def train_plan(dataset: GroupDataset, config: ConfigDict) -> packing.TrainPlan:
    """The plan of a training split under `config.batch` and `config.seed`. Raises ValueError as packing.train_plan."""
    images = dataset.images
    index = packing.group_index(
        images["record"].to_numpy(),
        images["likes"].to_numpy(),
        images["weight"].to_numpy(),
        dataset.choices["pairs"]["min_ratio"],
    )
    listed = int(dataset.groups["pairs"].sum())
    if len(index.pairs) != listed:
        raise ValueError(
            f"the index of {dataset.folder}, split {dataset.split}, lists {listed} valid pairs, but its likes give "
            f"{len(index.pairs)}: build the data set again"
        )
    return packing.train_plan(index, config.batch, config.seed)


def train_batches(
    dataset: GroupDataset,
    config: ConfigDict,
    *,
    start_step: int,
    process_index: int,
    process_count: int,
    depth_vectors: Path | None = None,
) -> Iterator[Batch]:
    """This process's share of steps start_step, start_step + 1, ... until `config.train.epochs` are over.

    Step t holds what it holds whether or not training was stopped before it. `depth_vectors`: a .npy file, float
    [images of the split, 5, D] in order of the index; used where model.depth.resnet is "cached".

    Raises ValueError as packing.train_plan, and where the processes do not divide the packs of a step.
    """
    plan = train_plan(dataset, config)
    if plan.packs_per_step % process_count:
        name = "batch.pairs" if config.batch.by == "pairs" else "batch.packs"
        raise ValueError(f"{name} is {plan.packs_per_step}: set it to a multiple of the {process_count} processes")
    source = TrainPacks(plan, config.train.epochs, start_step, process_index, process_count)
    load = LoadPack(dataset, config, train=True, depth_vectors=depth_vectors)
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
) -> Iterator[Batch]:
    """Every image of the split once, in order of the index, centre cut, without augmentation.

    A batch of a process holds `packs` packs (its devices) of images_per_batch / packs slots. All processes get as many
    batches; the last ones are filled with empty slots. pair_weight holds only pairs that a batch has whole: take pairs
    from the index.
    """
    if images_per_batch % packs:
        raise ValueError(f"images_per_batch ({images_per_batch}) must be a multiple of packs ({packs})")
    rows = packing.score_rows(len(dataset.images), images_per_batch // packs, packs * process_count)
    load = LoadPack(dataset, config, train=False, depth_vectors=depth_vectors)
    return _read(ScorePacks(rows, packs, process_index, process_count), load, config)


def _read(source: TrainPacks | ScorePacks, load: LoadPack, config: ConfigDict) -> Iterator[Batch]:
    threads, workers, ahead = config.input.threads, config.input.workers, config.input.prefetch
    steps = grain.MapDataset.source(source).map(load).batch(source.packs_per_process)
    read = steps.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead, threads)))
    if workers:
        if not flags.FLAGS.is_parsed():  # commands that parse with argparse; grain reads its own flags
            flags.FLAGS.mark_as_parsed()
        read = read.mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=-(-ahead // workers)))
    return iter(read)
