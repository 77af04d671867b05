"""Relative position tables for a window of another size."""

import numpy as np


def resize_table(table: np.ndarray, side: int) -> np.ndarray:
    """A relative position table [old * old, heads] of another window -> [side * side, heads], side = 2 * window - 1.

    The interpolation is the original's: PyTorch's bicubic, kernel parameter -0.75, without antialias, pixel centres
    aligned by area and border values repeated. (`jax.image.resize` has -0.5.)
    """
    old = round(len(table) ** 0.5)
    matrix = _bicubic(old, side)
    grid = table.reshape(old, old, -1).astype(np.float64)
    resized = np.einsum("ya,xb,abh->yxh", matrix, matrix, grid, optimize=True)
    return resized.reshape(side * side, -1).astype(table.dtype)


def _bicubic(old: int, new: int) -> np.ndarray:
    """[new, old]: the weights of each old sample in each new one, along one axis."""
    place = (np.arange(new) + 0.5) * old / new - 0.5
    taps = np.floor(place).astype(int)[:, None] + np.arange(-1, 3)  # [new, 4]
    weights = _cubic(np.abs(place[:, None] - taps))
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], taps.clip(0, old - 1)), weights)
    return matrix


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))
