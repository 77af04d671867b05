"""A stored photo -> the uint8 square that the network sees: upright, squeezed, cut, flipped (section 4.1.3).

Imports Pillow and numpy only: reading processes start quickly and stay small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from data_builders.photos import read, upright

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset


class Cut(NamedTuple):
    """Where a square is cut from the squeezed image: pixels from its top and left edge; flipped left to right after."""

    top: int
    left: int
    flip: bool


def decode(photo: bytes, resize: int) -> np.ndarray:
    """Decodes a photo to u8 [resize, resize, 3] RGB: EXIF-upright, squeezed whatever its aspect ratio.

    Raises PhotoError, a ValueError, for a file that is broken, cut short, too large or of another format.
    """
    image = upright(photo, near=resize)
    if image.size != (resize, resize):
        image = image.resize((resize, resize), Image.Resampling.BILINEAR)
    return np.asarray(image)


def decode_whole(photo: bytes) -> np.ndarray:
    """Decodes a photo to u8 [H, W, 3] RGB of its own size, EXIF-upright. Raises as `decode`."""
    return read(photo)


def draw_cut(key: tuple[int, int, int], resize: int, crop: int, flip: bool) -> Cut:
    """The random cut of one slot; the key is (seed, step, slot), so it depends on nothing else."""
    rng = np.random.default_rng(key)
    top, left = rng.integers(0, resize - crop, size=2, endpoint=True).tolist()
    return Cut(top, left, flip and bool(rng.integers(2)))


def centre_cut(resize: int, crop: int) -> Cut:
    """The cut for scoring."""
    return Cut((resize - crop) // 2, (resize - crop) // 2, False)


def cut_out(image: np.ndarray, cut: Cut, crop: int) -> np.ndarray:
    """A view u8 [crop, crop, 3] of a squeezed image [resize, resize, 3]."""
    square = image[cut.top : cut.top + crop, cut.left : cut.left + crop]
    return square[:, ::-1] if cut.flip else square


def copy_cut(image: np.ndarray, cut: Cut, out: np.ndarray) -> None:
    """Copies `cut_out` of an image u8 [resize, resize, 3] into `out`, u8 [crop, crop, 3]."""
    square = cut_out(image, cut, len(out))
    if cut.flip:  # numpy copies a flipped colour five times as fast as flipped pixels
        for colour in range(square.shape[2]):
            out[:, :, colour] = square[:, :, colour]
    else:
        out[:] = square


def unreadable(dataset: GroupDataset, record: int, example: dict, position: int, error: ValueError) -> ValueError:
    """The error of an image, with its place and the remedy."""
    return ValueError(
        f"record {record} (group {example['group_id']}), image {example['image_ids'][position]} in "
        f"{dataset.folder}, split {dataset.split}: {error}. Rebuild the data set with "
        "data_builders.build, which leaves unreadable images out by name"
    )
