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
from typing import TYPE_CHECKING, Protocol

import numpy as np
from ml_collections import ConfigDict

from ipa_jax import networks, photos
from ipa_jax.lookups import Lookups
from ipa_jax.texts import field_text
from third_party_ports import musiq_patches

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

Batch = dict[str, np.ndarray]
_UNKNOWN, _PATCHES = 3, 4  # fourth word of a draw's key: apart from the cut's (none) and from packing's


class Part(Protocol):
    """One part, made as Part(dataset, config, **needs) with what `make` lists."""

    def empty(self, slots: int) -> Batch:
        """Its keys for empty slots."""

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        """Writes the images `positions` [n] of a group into `slots` [n]; random draws are keyed by the seed, the step
        and batch["slot"]. Raises ValueError naming what cannot be read."""


def make(
    dataset: GroupDataset, config: ConfigDict, *, train: bool, depth_vectors: Path | None, lookups: Lookups
) -> list[Part]:
    """The parts that the config's network reads. Raises ValueError where the data set or an argument lacks what one
    needs."""
    needs = {"train": train, "depth_vectors": depth_vectors, "lookups": lookups}
    return [PARTS[name](dataset, config, **needs) for name in networks.parts(config, train=train)]


class Photo:
    """The squeezed photo, cut at random and flipped in training, from the centre otherwise."""

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
                raise unreadable(self.dataset, int(batch["record"][slot]), example, position, error) from error
            batch["image"][slot] = photos.cut_out(image, cut, self.crop)
            batch["window"][slot] = np.array([cut.top, cut.left, self.crop]) / self.resize
            batch["flip"][slot] = cut.flip


class Retrieval:
    """What was retrieved from the account's memory bank."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        self.k = dataset.choices["retrieval"]["k"]
        self.flagged = config.data.memory.get("fallback", "none") != "none"

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

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        self.side = dataset.choices["depth"]["side"]
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

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, depth_vectors: Path | None, **_):
        if depth_vectors is None:
            raise ValueError("model.depth.resnet is 'cached', but no array of depth vectors was given")
        records = dataset.images["record"].to_numpy()
        self.first = np.searchsorted(records, np.arange(len(dataset.groups)))
        self.file = depth_vectors
        self._vectors: np.ndarray | None = None
        shape = self._mapped().shape
        self._vectors = None
        views = 5 if config.model.depth.views == "tokens" else 1
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
        if self._vectors is None:  # opened in each reading process
            self._vectors = np.load(self.file, mmap_mode="r")
        return self._vectors


class Texts:
    """The words of the posts' texts."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, lookups: Lookups, **_):
        self.fields, self.words = networks.texts(config)
        self.comments, self.vocabulary, self.folder = config.texts.comments, lookups.vocabulary, dataset.folder
        if self.vocabulary is None:
            raise ValueError(f"model.network is {config.model.network!r}, but no vocabulary was given")

    def empty(self, slots: int) -> Batch:
        return {f"words/{field}": np.zeros((slots, self.words), np.int32) for field in self.fields}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        for slot, position in zip(slots.tolist(), positions.tolist(), strict=True):
            for field in self.fields:
                text = field_text(example, position, field, self.comments, self.folder)
                batch[f"words/{field}"][slot] = self.vocabulary.numbers(text, self.words)


class Account:
    """The account's row; in training a share of the images has that of unknown accounts, so that it is trained."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, train: bool, lookups: Lookups, **_):
        self.seed, self.share = config.seed, config.uhan.unknown if train else 0.0
        if lookups.accounts is None:
            raise ValueError(f"model.network is {config.model.network!r}, but no table of accounts was given")
        self.row = {name: row for row, name in enumerate(lookups.accounts, 1)}

    def empty(self, slots: int) -> Batch:
        return {"account": np.zeros(slots, np.int32)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        row = self.row.get(example["account"], 0)
        for slot in slots.tolist():
            key = (self.seed, step, int(batch["slot"][slot]), _UNKNOWN)
            unknown = self.share and np.random.default_rng(key).random() < self.share
            batch["account"][slot] = 0 if unknown else row


class Patches:
    """MUSIQ's tokens: in training, some of the photo's own drawn at random, and half of the photos flipped."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, train: bool, **_):
        self.dataset, self.seed, self.train = dataset, config.seed, train
        self.flip = config.input.flip and train
        self.layout = layout(config, train=train)
        self.length = token_count(self.layout)

    def empty(self, slots: int) -> Batch:
        shape = (slots, self.length)
        return {
            "patches": np.zeros((*shape, 3 * self.layout.patch**2), np.float32),
            "spatial": np.zeros(shape, np.int32),
            "scale": np.zeros(shape, np.int32),
            "patch_mask": np.zeros(shape, bool),
        }

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        for slot, position in zip(slots.tolist(), positions.tolist(), strict=True):
            rng = np.random.default_rng((self.seed, step, int(batch["slot"][slot]), _PATCHES)) if self.train else None
            try:
                photo = photos.decode_whole(example["images"][position])
                if self.flip and rng.integers(2):
                    photo = photo[:, ::-1]
                tokens = musiq_patches.padded(musiq_patches.sequence(photo, self.layout, rng), self.length)
            except ValueError as error:
                raise unreadable(self.dataset, int(batch["record"][slot]), example, position, error) from error
            for key, value in zip(("patches", "spatial", "scale", "patch_mask"), tokens, strict=True):
                batch[key][slot] = value


class ImageWeight:
    """The weight of an image in losses of single images."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        pass

    def empty(self, slots: int) -> Batch:
        return {"image_weight": np.zeros(slots, np.float32)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["image_weight"][slots] = example["weight"][positions]


class Quantile:
    """A label: where an image's likes stand among those of its account's images in this (the train) split."""

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        images = dataset.images
        self.first = np.searchsorted(images["record"].to_numpy(), np.arange(len(dataset.groups)))
        self.quantiles = quantiles(images["account"].to_numpy(), images["likes"].to_numpy())

    def empty(self, slots: int) -> Batch:
        return {"quantile": np.zeros(slots, np.float32)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["quantile"][slots] = self.quantiles[self.first[batch["record"][slots]] + positions]


PARTS: dict[str, type[Part]] = {
    "photo": Photo,
    "retrieval": Retrieval,
    "depth": Depth,
    "depth_vectors": DepthVectors,
    "texts": Texts,
    "account": Account,
    "patches": Patches,
    "image_weight": ImageWeight,
    "quantile": Quantile,
}


def layout(config: ConfigDict, *, train: bool) -> musiq_patches.Layout:
    """The copies of a photo that config.musiq asks for."""
    musiq = config.musiq
    return musiq_patches.Layout(
        longer_sides=musiq.longer_sides,
        native_tokens=musiq.train_tokens if train else musiq.score_tokens,
        patch=musiq.patch,
        grid=musiq.grid,
    )


def token_count(layout: musiq_patches.Layout) -> int:
    """T: of the largest photos."""
    return sum((-(-side // layout.patch)) ** 2 for side in layout.longer_sides) + layout.native_tokens


def quantiles(accounts: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """float32 [I] in (0, 1): (rank - 1/2) / n of each image's likes among its account's n images, ties sharing theirs.

    Args: accounts [I], of any type that sorts; likes int [I].
    """
    from scipy.stats import rankdata

    out = np.empty(len(likes), np.float32)
    order = np.argsort(accounts, kind="stable")
    for rows in np.split(order, np.flatnonzero(accounts[order][1:] != accounts[order][:-1]) + 1):
        out[rows] = (rankdata(likes[rows]) - 0.5) / max(len(rows), 1)
    return out


def unreadable(dataset: GroupDataset, record: int, example: dict, position: int, error: ValueError) -> ValueError:
    """The error of an image, with its place and the remedy."""
    return ValueError(
        f"record {record} (group {example['group_id']}), image {example['image_ids'][position]} in "
        f"{dataset.folder}, split {dataset.split}: {error}. Rebuild the data set with "
        "data_builders.build, which leaves unreadable images out by name"
    )
