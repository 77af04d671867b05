"""Puts photos on canvases for DEKR, resized with equal factors and with black bands, and converts points back.

Follows HRNet/DEKR (MIT; "Bottom-Up Human Pose Estimation Via Disentangled Keypoint Regression", CVPR 2021), in closed
form. Loads NumPy only, because the processes that read photos import it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from third_party_ports.sampling import Taps, blocks

MULTIPLE = 32  # px: the branch at 1/32 must upsample exactly to the others' size


class AspectError(ValueError):
    """The photo is too long for a canvas. Store it without people."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of a photo and its canvases, and the maps between them.

    The photo's pixel (x, y) is at x' = k (x - c_x) + W_s / 2, y' = k (y - c_y) + H_s / 2 on the canvas of scale s.
    These are pixel indices, without half-pixel shift or rotation.

    Attributes:
      height, width: of the photo, in pixels.
      side: the wanted shorter side, in pixels (512 for the W32 network, 640 for the W48 one).
    """

    height: int
    width: int
    side: int

    @cached_property
    def base(self) -> tuple[int, int]:
        """(height, width) of the canvas at scale 1; keypoints are decoded in its pixels."""
        shorter, longer = sorted((self.height, self.width))
        low, high = _up64(self.side), _up64(_up64(self.side) / shorter * longer)
        return (low, high) if self.height <= self.width else (high, low)

    @property
    def centre(self) -> tuple[int, int]:
        """(x, y) of the photo that is in the middle of the canvas: whole pixels, odd sides rounded up."""
        return int(self.width / 2 + 0.5), int(self.height / 2 + 0.5)

    def canvas(self, scale: float = 1.0) -> tuple[int, int]:
        """(height, width) of the canvas at a test scale."""
        return int(self.base[0] * scale), int(self.base[1] * scale)

    def extent(self, scale: float = 1.0) -> tuple[float, float]:
        """(x, y): size of the part of the plane that the canvas shows, in the original's unit of 200 pixels."""
        rows, columns = self.canvas(scale)
        if self.width < self.height:
            return self.width / 200, rows / columns * self.width / 200
        return columns / rows * self.height / 200, self.height / 200

    def factor(self, scale: float = 1.0) -> float:
        """Returns k, canvas pixels per pixel of the photo."""
        return self.canvas(scale)[1] / (200 * self.extent(scale)[0])

    def forward(self, scale: float = 1.0) -> np.ndarray:
        """Returns float64 [2, 3], which maps (x, y, 1) of the photo to (x', y') of the canvas."""
        (rows, columns), (x, y), k = self.canvas(scale), self.centre, self.factor(scale)
        return np.array([[k, 0, columns / 2 - k * x], [0, k, rows / 2 - k * y]])

    def inverse(self, scale: float = 1.0) -> np.ndarray:
        """Returns float64 [2, 3], which maps (x', y', 1) of the canvas to (x, y) of the photo."""
        (rows, columns), (x, y), k = self.canvas(scale), self.centre, self.factor(scale)
        return np.array([[1 / k, 0, x - columns / 2 / k], [0, 1 / k, y - rows / 2 / k]])

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Converts points [..., 2] (x, y) from the base canvas to the photo's pixels, float64. Nothing is clipped."""
        return np.asarray(points, np.float64) / self.factor() + self.inverse()[:, 2]


def canvas(image: np.ndarray, side: int, scale: float = 1.0, *, max_aspect: float = 4.0) -> tuple[np.ndarray, Geometry]:
    """Draws a photo on its canvas for one test scale.

    Args:
      image: uint8 [H, W, 3], RGB, upright.
      side: the wanted shorter side, in pixels.
      scale: test scale.
      max_aspect: the largest ratio of the longer side to the shorter one.

    Returns:
      uint8 [H_s, W_s, 3] (normalise it for the network), and the geometry, which is the same for all scales.

    Raises:
      AspectError: the photo is longer than `max_aspect`.
      ValueError: the image is not a uint8 RGB array, or a side of its canvas is not a multiple of 32.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a photo is uint8 [H, W, 3]; got {image.dtype} {image.shape}")
    height, width, _ = image.shape
    geometry = Geometry(height, width, side)
    shorter, longer = sorted((height, width))
    if longer > max_aspect * shorter:
        raise AspectError(f"a photo of {width} x {height} px is longer than {max_aspect:g}:1, the pose network's limit")
    rows, columns = geometry.canvas(scale)
    if rows % MULTIPLE or columns % MULTIPLE or not rows:
        raise ValueError(
            f"scale {scale:g} of the base canvas {geometry.base[1]} x {geometry.base[0]} gives {columns} x {rows}, but "
            f"the network takes multiples of {MULTIPLE} px; use scales such as 0.5, 1 and 2"
        )
    return warp(image, geometry, scale), geometry


def warp(image: np.ndarray, geometry: Geometry, scale: float = 1.0) -> np.ndarray:
    """Does what `canvas` does, without its checks: bilinear sampling, 0 outside the photo, no antialiasing, uint8.

    The map does not rotate, so rows and columns are sampled one after the other.
    """
    rows, columns = geometry.canvas(scale)
    step_x, step_y = geometry.inverse(scale).diagonal()
    shift_x, shift_y = geometry.inverse(scale)[:, 2]
    drawn = np.empty((rows, columns, 3), np.uint8)
    down = _taps(step_y * np.arange(rows) + shift_y, image.shape[0])
    across = _taps(step_x * np.arange(columns) + shift_x, image.shape[1])
    for part, block in blocks(image, down, across, _sum):
        drawn[part] = np.rint(block, out=block)
    return drawn


def _taps(positions: np.ndarray, size: int) -> Taps:
    """The neighbours of fractional positions along an axis of `size` pixels; those outside count 0."""
    low = np.floor(positions).astype(int)
    share = positions - low
    pairs = ((low, 1 - share), (low + 1, share))
    weights = (np.where((index >= 0) & (index < size), weight, 0).astype(np.float32) for index, weight in pairs)
    return Taps(np.clip(low, 0, size - 1), np.clip(low + 1, 0, size - 1), tuple(weights))


def _sum(low: np.ndarray, high: np.ndarray, share_low: np.ndarray, share_high: np.ndarray) -> np.ndarray:
    low *= share_low
    high *= share_high
    low += high
    return low


def _up64(length: float) -> int:
    """Rounds up to a multiple of 64 as the original does: less than 1 above a multiple is rounded down to it."""
    return 64 * int((length + 63) // 64)
