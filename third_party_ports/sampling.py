"""Samples photos at fractional positions along both axes.

The result is made in blocks of a few rows, so that what is computed in between stays in the processor's caches. Loads
NumPy only, as the processes that read photos import it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

ROWS = 32  # of the result, in a block


class Taps(NamedTuple):
    """The two pixels that each of n positions along an axis lies between.

    Attributes:
      low, high: int [n], the pixels before and after a position.
      weights: float32 [n] each, as the function that blends them takes them.
    """

    low: np.ndarray
    high: np.ndarray
    weights: tuple[np.ndarray, ...]


Blend = Callable[..., np.ndarray]  # (low, high, *weights) -> the result, in the memory of low or of high


def blocks(
    image: np.ndarray, rows: Taps, columns: Taps, blend: Blend, *, minus: np.ndarray | None = None, flip: bool = False
) -> Iterator[tuple[slice, np.ndarray]]:
    """Samples along the rows, then along the columns, all in float32.

    Args:
      image: uint8 [h, w, c].
      rows, columns: the positions.
      blend: blends two arrays float32 [n, m] with weights that broadcast to them.
      minus: float32 [c], is subtracted from the image first.
      flip: reverses the order of the channels.

    Yields:
      A slice of the result's rows, and float32 [n, number of columns, c], which the next block overwrites.
    """
    height, width, channels = image.shape
    flat = image.reshape(height, width * channels)
    below = None if minus is None else np.tile(minus, width)
    order = np.arange(channels)[:: -1 if flip else 1]
    left, right = ((channels * place[:, None] + order).ravel() for place in (columns.low, columns.high))
    across = [np.repeat(weight, channels) for weight in columns.weights]
    tall = [np.empty((ROWS, flat.shape[1]), np.float32) for _ in range(2)]
    wide = [np.empty((ROWS, len(left)), np.float32) for _ in range(2)]
    for first in range(0, len(rows.low), ROWS):
        part = slice(first, min(first + ROWS, len(rows.low)))
        n = part.stop - first
        for buffer, place in zip(tall, (rows.low, rows.high), strict=True):
            if below is None:
                buffer[:n] = flat[place[part]]
            else:
                np.subtract(flat[place[part]], below, out=buffer[:n])
        sampled = blend(tall[0][:n], tall[1][:n], *(weight[part, None] for weight in rows.weights))
        for buffer, place in zip(wide, (left, right), strict=True):
            sampled.take(place, axis=1, out=buffer[:n], mode="clip")  # other modes fill `out` through a copy
        yield part, blend(wide[0][:n], wide[1][:n], *across).reshape(n, -1, channels)
