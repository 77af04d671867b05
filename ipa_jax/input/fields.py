"""The parts of a batch beyond its labels: each writes its own keys for the images of one group at a time.

Which parts a batch has follows from the network and the loss (networks.py). Keys, for packs of S slots, zeros in empty
slots:

  photo          image    u8   [S, crop, crop, 3]  cut and flipped
                 window   f32  [S, 3]        top, left and size of the cut as fractions of the squeezed image
                 flip     bool [S]           flipped left to right after the cut
  retrieval      similarity, local, count    f32 [S, K], in order of rank (eq. 1 to 4; 0 where retrieved_mask is False)
                 retrieved_mask              bool [S, K]
                 foreign                     bool [S, K]    of another account; only where memory.fallback is on
  depth          depth    u16  [S, side, side]  the whole stored map; the device cuts, flips and thresholds
  depth_vectors  depth_vectors  f32 [S, V, D]   the ResNet's vectors of the un-augmented image: 5, or 1 of all views
  texts          words/FIELD    i32 [S, L]      numbers of the vocabulary, 0 = padding, which stands in front
  account        account  i32  [S]           row of the table of train accounts, 0 = unknown
  patches        patches  f32  [S, T, P * P * 3];  spatial, scale  i32 [S, T];  patch_mask  bool [S, T]  (MUSIQ)
  image_weight   image_weight  f32 [S]       1 / images of the post in its group
  quantile       quantile f32  [S]           of the image's likes among its account's train images, in (0, 1)

Imports no jax: reading processes import this.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from ipa_jax.input import peer_fields as peers
from ipa_jax.input import photos
from ipa_jax.input.field import Batch, Part
from ipa_jax.input.vocabularies import Vocabularies
from ipa_jax.models import registry
from ipa_jax.models.depth_layers import view_count

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset


def make(
    dataset: GroupDataset, config: ConfigDict, *, train: bool, depth_vectors: Path | None, vocabularies: Vocabularies
) -> list[Part]:
    """The parts that the config's network reads. Raises ValueError where the data set or an argument lacks what one
    needs."""
    needs = {"train": train, "depth_vectors": depth_vectors, "vocabularies": vocabularies}
    return [PARTS[name](dataset, config, **needs) for name in registry.parts(config, train=train)]


def has_fallback(config: ConfigDict) -> bool:
    """Whether free slots were filled from other accounts (data.memory.fallback), which a batch then marks."""
    return config.data.memory.get("fallback", "none") != "none"


class Photo:
    """The squeezed photo, cut at random and flipped in training, from the centre otherwise."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        crop = config.input.crop
        window, flip = np.array([[0, 0, 1]], np.float32), np.zeros(1, bool)
        return {"image": np.zeros((1, crop, crop, 3), np.uint8), "window": window, "flip": flip}

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, train: bool, **_):
        self.dataset, self.seed, self.train = dataset, config.seed, train
        self.resize, self.crop, self.flip = config.input.resize, config.input.crop, config.input.flip
        if self.crop > self.resize:
            raise ValueError(f"input.crop ({self.crop}) is larger than input.resize ({self.resize}): lower input.crop")

    def empty(self, slots: int) -> Batch:
        return {
            "image": np.zeros((slots, self.crop, self.crop, 3), np.uint8),
            "window": np.zeros((slots, 3), np.float32),
            "flip": np.zeros(slots, bool),
        }

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        for slot, position in zip(slots.tolist(), positions.tolist(), strict=True):
            key = (self.seed, step, int(batch["slot"][slot]))
            cut = (
                photos.draw_cut(key, self.resize, self.crop, self.flip)
                if self.train
                else photos.centre_cut(self.resize, self.crop)
            )
            try:
                image = photos.decode(example["images"][position], self.resize)
            except ValueError as error:
                raise photos.unreadable(self.dataset, int(batch["record"][slot]), example, position, error) from error
            photos.copy_cut(image, cut, batch["image"][slot])
            batch["window"][slot] = np.array([cut.top, cut.left, self.crop]) / self.resize
            batch["flip"][slot] = cut.flip


class Retrieval:
    """What was retrieved from the account's memory bank."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        k = config.data.retrieval.k
        example = {name: np.ones((1, k), np.float32) for name in ("similarity", "local", "count")}
        example |= {"retrieved_mask": np.ones((1, k), bool)}
        return example | ({"foreign": np.zeros((1, k), bool)} if has_fallback(config) else {})

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        self.k = dataset.options["retrieval"]["k"]
        self.flagged = has_fallback(config)

    def empty(self, slots: int) -> Batch:
        batch = {key: np.zeros((slots, self.k), np.float32) for key in ("similarity", "local", "count")}
        flags = ("retrieved_mask", *["foreign"] * self.flagged)
        return batch | {key: np.zeros((slots, self.k), bool) for key in flags}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["similarity"][slots] = example["similarity"][positions, :, 0]
        batch["local"][slots] = example["local_score"][positions]
        batch["count"][slots] = example["count"][positions]
        batch["retrieved_mask"][slots] = example["mask"][positions]
        if self.flagged:
            batch["foreign"][slots] = example["foreign"][positions]


class Depth:
    """The stored depth maps."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        side = config.data.depth.side
        return {"depth": np.zeros((1, side, side), np.uint16)}

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        self.side = dataset.options["depth"]["side"]
        if not self.side:
            raise ValueError(
                f"{dataset.folder} was built with data.depth.side=0 and holds no depth maps: build it again, or set "
                "--config.model.depth.enabled=False"
            )

    def empty(self, slots: int) -> Batch:
        return {"depth": np.zeros((slots, self.side, self.side), np.uint16)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["depth"][slots] = example["depth"][positions]


class DepthVectors:
    """The cached vectors of the depth branch, by row of the image index."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        raise ValueError("cached depth vectors are for training: initialise with model.depth.resnet 'frozen'")

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, depth_vectors: Path | None, **_):
        if depth_vectors is None:
            raise ValueError("model.depth.resnet is 'cached', but no array of depth vectors was given")
        records = dataset.images["record"].to_numpy()
        self.first = np.searchsorted(records, np.arange(len(dataset.groups)))
        self.file = depth_vectors
        self._vectors: np.ndarray | None = None
        shape = self._mapped().shape
        self._vectors = None
        views = view_count(config.model.depth.views)
        if len(shape) != 3 or shape[:2] != (len(records), views):
            raise ValueError(
                f"{depth_vectors} has shape {shape}, but split {dataset.split} needs ({len(records)}, {views}, D): "
                "delete the file so that it is made again from this data set"
            )

    def empty(self, slots: int) -> Batch:
        return {"depth_vectors": np.zeros((slots, *self._mapped().shape[1:]), np.float32)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["depth_vectors"][slots] = self._mapped()[self.first[batch["record"][slots]] + positions]

    def _mapped(self) -> np.ndarray:
        vectors = self._vectors
        if vectors is None:  # opened in each reading process
            vectors = self._vectors = np.load(self.file, mmap_mode="r")
        return vectors


class ImageWeight:
    """The weight of an image in losses of single images."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        return {"image_weight": np.ones(1, np.float32)}

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        pass

    def empty(self, slots: int) -> Batch:
        return {"image_weight": np.zeros(slots, np.float32)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["image_weight"][slots] = example["weight"][positions]


PARTS: dict[str, type[Part]] = {
    "photo": Photo,
    "retrieval": Retrieval,
    "depth": Depth,
    "depth_vectors": DepthVectors,
    "texts": peers.Texts,
    "account": peers.Account,
    "patches": peers.Patches,
    "image_weight": ImageWeight,
    "quantile": peers.Quantile,
}
