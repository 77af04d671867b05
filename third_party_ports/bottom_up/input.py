"""Prepares photos for the bottom-up detector. Loads NumPy only, because the processes that read photos import it."""

import numpy as np

from third_party_ports.sampling import Taps, blocks

MEANS = np.array([102.9801, 115.9465, 122.7717], np.float32)  # of blue, green, red: the detector's order


def region_input(
    image: np.ndarray, shorter: int = 600, longer: int = 1000, multiple: int = 1
) -> tuple[np.ndarray, tuple[int, int], float]:
    """Resizes a photo and subtracts the means.

    Args:
      image: uint8 [H, W, 3], RGB, upright.
      shorter, longer: see `im_scale`.
      multiple: zeros at the end make the sides multiples of it, so that a few compiled shapes serve photos of all
        sizes. The network undoes that if you give it the size.

    Returns:
      The detector's input, float32 [h, w, 3] (BGR, 0 to 255 minus the means); its size without the zeros, (rows,
      columns); and its im_scale: network pixels per original pixel.

    Raises:
      ValueError: another shape or dtype, or a photo so narrow that a side would become 0.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"region_input: give RGB, uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    scale = im_scale(height, width, shorter, longer)
    rows, columns = round(scale * height), round(scale * width)  # halves to even, as the original's resize
    if min(rows, columns) < 1:
        raise ValueError(f"region_input: a photo of {height} x {width} px is too narrow to scale down; leave it out")
    canvas = np.zeros((-(-rows // multiple) * multiple, -(-columns // multiple) * multiple, 3), np.float32)
    down, across = _taps(rows, height, scale), _taps(columns, width, scale)
    for part, block in blocks(image, down, across, _between, minus=MEANS[::-1], flip=True):
        canvas[part, :columns] = block
    return canvas, (rows, columns), scale


def im_scale(height: int, width: int, shorter: int = 600, longer: int = 1000) -> float:
    """Returns the factor (float64) that makes the shorter side `shorter` px, or the longer one `longer` if less."""
    scale = shorter / min(height, width)
    return longer / max(height, width) if round(scale * max(height, width)) > longer else scale


def _taps(size: int, side: int, scale: float) -> Taps:
    """The neighbours of `size` positions along an axis of `side` pixels: i is at (i + 0.5) / scale - 0.5, clamped.

    There is no antialiasing. A resize function would use the ratio of the rounded sizes instead of `scale`, which
    changes the features.
    """
    places = np.clip((np.arange(size) + 0.5) / scale - 0.5, 0, side - 1)
    before = places.astype(int)
    return Taps(before, np.minimum(before + 1, side - 1), ((places - before).astype(np.float32),))


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    high -= low
    high *= share
    high += low
    return high
