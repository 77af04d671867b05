"""MUSIQ's input: patches of a photo and of its resized copies, with their places and scales.

Written from a description of the published preprocessing (google-research/musiq, Apache-2.0). Runs in processes that
only read images, so it needs NumPy alone. Shapes: H W sides in pixels, C channels, P = patch, T tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RADIUS = np.float32(1.5)  # of the resize kernel, a Gaussian of sigma 0.5, both in pixels of the source


class Tokens(NamedTuple):
    """A photo's tokens, or those of a batch of photos with a leading axis.

    Attributes:
      patches: [T, P * P * C] float32 in [-1, 1] up to rounding: rows, columns, channels.
      spatial: [T] int32, the patch's cell in a raster of grid x grid cells over the image, whatever its size.
      scale: [T] int32, 0 for the smallest resized copy; the photo itself comes last.
      mask: [T] bool, False for padding, whose other values are 0.
    """

    patches: np.ndarray
    spatial: np.ndarray
    scale: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Layout:
    """Which copies of a photo become tokens.

    Attributes:
      longer_sides: of the resized copies, in pixels and in any order; smaller photos are enlarged.
      native: whether the photo itself is the last scale.
      native_tokens: how many tokens of the photo itself to keep; None keeps all, as evaluation should.
      patch: P.
      grid: rows, and columns, of the raster of places.
    """

    longer_sides: tuple[int, ...] = (224, 384)
    native: bool = True
    native_tokens: int | None = None
    patch: int = 32
    grid: int = 10

    @property
    def scales(self) -> int:
        return len(self.longer_sides) + self.native


def sequence(image: np.ndarray, layout: Layout = Layout(), rng: np.random.Generator | None = None) -> Tokens:
    """Makes the tokens of an RGB photo [H, W, C] uint8. `token_count` returns their number.

    Args:
      rng: if the photo has more than `layout.native_tokens`, draws which ones are kept, in raster order; None keeps the
        first ones, as the published code does.

    Raises ValueError for an image that is not [H, W, 3] uint8, has no pixels, or is so long that a side would become 0.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"MUSIQ: an image is {image.dtype} {list(image.shape)}; convert it to RGB, [H, W, 3] uint8")
    pixels = scaled(image)
    parts = []
    for scale, longer_side in enumerate(sorted(layout.longer_sides)):
        copy = resize(pixels, resized_size(image.shape[:2], longer_side))
        parts.append(padded(_part(copy, scale, layout), (-(-longer_side // layout.patch)) ** 2))
    if layout.native:
        part = _part(pixels, len(parts), layout)
        kept = _kept(len(part.mask), layout.native_tokens, rng)
        parts.append(Tokens(*(value[kept] for value in part)))
    return Tokens(*map(np.concatenate, zip(*parts, strict=True)))


def batch(tokens: Iterable[Tokens], length: int | None = None) -> Tokens:
    """Stacks photos of any sizes to [N, T, ...], padded to `length` or to the longest.

    Padding changes no output of the network. Raises ValueError for a photo with more than `length` tokens.
    """
    tokens = list(tokens)
    length = max(len(one.mask) for one in tokens) if length is None else length
    return Tokens(*map(np.stack, zip(*(padded(one, length) for one in tokens), strict=True)))


def token_count(size: tuple[int, int], layout: Layout = Layout()) -> int:
    """Returns the length of the `sequence` of a photo of size (H, W)."""
    count = sum((-(-side // layout.patch)) ** 2 for side in layout.longer_sides)
    if not layout.native:
        return count
    native = -(-size[0] // layout.patch) * -(-size[1] // layout.patch)
    return count + (native if layout.native_tokens is None else min(native, layout.native_tokens))


def padded(tokens: Tokens, length: int) -> Tokens:
    """Pads a photo's tokens [T, ...] to [length, ...]. Raises ValueError if there are more."""
    missing = length - len(tokens.mask)
    if missing < 0:
        raise ValueError(f"MUSIQ: a photo has {len(tokens.mask)} tokens, more than {length}; give a larger `length`")
    return Tokens(*(np.concatenate([value, np.zeros((missing, *value.shape[1:]), value.dtype)]) for value in tokens))


def scaled(image: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [-1, 1]. Do this before resizing and cutting, so that padding is a middle grey."""
    return image / np.float32(255) * np.float32(2) - np.float32(1)


def resized_size(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """Scales (H, W) so that the longer side is `longer_side`, in float32; halves are rounded to even.

    Raises ValueError if the shorter side would be 0.
    """
    ratio = np.float32(longer_side) / np.float32(max(size))
    height, width = (int(np.rint(np.float32(side) * ratio)) for side in size)
    if 0 in (height, width):
        raise ValueError(
            f"MUSIQ: an image of {size[0]} x {size[1]} px (height x width) would become {height} x {width} px; "
            f"crop it to an aspect below {2 * longer_side}:1"
        )
    return height, width


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W, C] float32 -> [*size, C] float32 by `resize_matrix`. It blurs an image that has this size already."""
    rows, columns = (resize_matrix(old, new) for old, new in zip(image.shape[:2], size, strict=True))
    return np.stack([rows @ channel @ columns.T for channel in np.moveaxis(image, -1, 0)], -1)


def resize_matrix(old: int, new: int) -> np.ndarray:
    """Returns weights [new, old] float32, rows of sum 1: a Gaussian cut at RADIUS, not wider for an image that shrinks.

    Positions are float32, as in the original. Their rounding decides whether a pixel at the radius counts. Such pixels
    are common, and make up to 0.01 of the result.
    """
    inverse = np.float32(1) / (np.float32(new) / np.float32(old))
    centres = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * inverse
    distance = np.abs((np.arange(old, dtype=np.float32) + np.float32(0.5)) - centres[:, None])
    weights = np.where(distance < RADIUS, np.exp(np.float32(-2) * distance * distance), np.float32(0))
    return weights / weights.sum(1, keepdims=True)


def patches(image: np.ndarray, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """[H, W, C] -> patches [rows * columns, side * side * C] in raster order, and (rows, columns).

    The image is padded with zeros to whole patches, the smaller half of them at the top and at the left.
    """
    rows, columns = (-(-length // side) for length in image.shape[:2])
    missing = [count * side - length for count, length in zip((rows, columns), image.shape[:2], strict=True)]
    image = np.pad(image, (*((total // 2, total - total // 2) for total in missing), (0, 0)))
    cut = image.reshape(rows, side, columns, side, -1).swapaxes(1, 2)  # [rows, columns, side, side, C]
    return cut.reshape(rows * columns, -1), (rows, columns)


def grid_index(shape: tuple[int, int], grid: int) -> np.ndarray:
    """Returns the cell [rows * columns] int32, in a raster of grid x grid, of each of rows x columns patches.

    Computed in float32 as in the original: from 205 patches per side on, some cells differ from the exact ones.
    """
    row, column = (
        np.minimum(np.floor(np.arange(count, dtype=np.float32) * (np.float32(grid) / np.float32(count))), grid - 1)
        for count in shape
    )
    return (grid * row[:, None] + column).ravel().astype(np.int32)


def _part(image: np.ndarray, scale: int, layout: Layout) -> Tokens:
    """Returns all tokens of one copy [H, W, C] float32."""
    cut, shape = patches(image, layout.patch)
    count = len(cut)
    return Tokens(cut, grid_index(shape, layout.grid), np.full(count, scale, np.int32), np.ones(count, bool))


def _kept(count: int, most: int | None, rng: np.random.Generator | None) -> np.ndarray | slice:
    """Returns which of `count` tokens are kept."""
    if most is None or count <= most or rng is None:
        return slice(most)
    return np.sort(rng.choice(count, most, replace=False))
