"""The parts of a batch that the peers alone read (inputs.py says what a part is and which keys each writes).

Imports no jax: reading processes import this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict

from ipa_jax.input import photos, texts
from ipa_jax.input.texts import field_text
from ipa_jax.input.vocabularies import Vocabularies
from ipa_jax.metrics.ranks import average_ranks
from third_party_ports.peers import musiq_patches

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset
    from ipa_jax.input.field import Batch

_UNKNOWN, _PATCHES = 3, 4  # fourth word of a draw's key: apart from the cut's (none) and from packing's


class Texts:
    """The words of the posts' texts."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        fields, words = texts.text_fields(config)
        return {f"words/{field}": np.ones((1, words), np.int32) for field in fields}

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, vocabularies: Vocabularies, **_):
        self.fields, self.words = texts.text_fields(config)
        self.comments, self.folder = config.texts.comments, dataset.folder
        if vocabularies.vocabulary is None:
            raise ValueError(f"model.network is {config.model.network!r}, but no vocabulary was given")
        self.vocabulary = vocabularies.vocabulary

    def empty(self, slots: int) -> Batch:
        return {f"words/{field}": np.zeros((slots, self.words), np.int32) for field in self.fields}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        for slot, position in zip(slots.tolist(), positions.tolist(), strict=True):
            for field, held in self.fields.items():
                text = field_text(example, position, held, self.comments, self.folder)
                batch[f"words/{field}"][slot] = self.vocabulary.numbers(text, self.words)


class Account:
    """The account's row; in training a share of the images has that of unknown accounts, so that it is trained."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        return {"account": np.zeros(1, np.int32)}

    def __init__(self, dataset: GroupDataset, config: ConfigDict, *, train: bool, vocabularies: Vocabularies, **_):
        self.seed, self.share = config.seed, config.uhan.unknown if train else 0.0
        if vocabularies.accounts is None:
            raise ValueError(f"model.network is {config.model.network!r}, but no table of accounts was given")
        self.row = {name: row for row, name in enumerate(vocabularies.accounts, 1)}

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

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        example = {name: np.zeros((1, 1), np.int32) for name in ("spatial", "scale")}
        example |= {"patch_mask": np.ones((1, 1), bool)}
        return example | {"patches": np.zeros((1, 1, 3 * config.musiq.patch**2), np.float32)}

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
                if rng is not None and self.flip and rng.integers(2):
                    photo = photo[:, ::-1]
                tokens = musiq_patches.padded(musiq_patches.sequence(photo, self.layout, rng), self.length)
            except ValueError as error:
                raise photos.unreadable(self.dataset, int(batch["record"][slot]), example, position, error) from error
            for key, value in zip(("patches", "spatial", "scale", "patch_mask"), tokens, strict=True):
                batch[key][slot] = value


class Quantile:
    """A label: where an image's likes stand among those of its account's images in this (the train) split."""

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        return {"quantile": np.full(1, 0.5, np.float32)}

    def __init__(self, dataset: GroupDataset, config: ConfigDict, **_):
        images = dataset.images
        self.first = np.searchsorted(images["record"].to_numpy(), np.arange(len(dataset.groups)))
        self.quantiles = quantiles(images["account"].to_numpy(), images["likes"].to_numpy())

    def empty(self, slots: int) -> Batch:
        return {"quantile": np.zeros(slots, np.float32)}

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        batch["quantile"][slots] = self.quantiles[self.first[batch["record"][slots]] + positions]


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
    assert layout.native_tokens is not None, "config.musiq gives a number"
    return sum((-(-side // layout.patch)) ** 2 for side in layout.longer_sides) + layout.native_tokens


def quantiles(accounts: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """float32 [I] in (0, 1): (rank - 1/2) / n of each image's likes among its account's n images, ties sharing theirs.

    Args: accounts [I], of any type that sorts; likes int [I].
    """
    out = np.empty(len(likes), np.float32)
    order = np.argsort(accounts, kind="stable")
    for rows in np.split(order, np.flatnonzero(accounts[order][1:] != accounts[order][:-1]) + 1):
        out[rows] = (average_ranks(likes[rows]) - 0.5) / max(len(rows), 1)
    return out
