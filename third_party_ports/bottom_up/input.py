"""Prepares photos for the bottom-up detector. Loads NumPy only, because the processes that read photos import it."""

import numpy as np

MEANS = np.array([102.9801, 115.9465, 122.7717], np.float32)  # of blue, green, red: the detector's order


def region_input(image: np.ndarray, shorter: int = 600, longer: int = 1000) -> tuple[np.ndarray, float]:
    """Resizes a photo and subtracts the means.

    Args:
      image: uint8 [H, W, 3], RGB, upright.
      shorter, longer: see `im_scale`.

    Returns:
      The detector's input, float32 [h, w, 3] (BGR, 0 to 255 minus the means), and its im_scale: network pixels per
      original pixel.

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
    bgr = image[:, :, ::-1].astype(np.float32) - MEANS
    return _resized(_resized(bgr, 0, rows, scale), 1, columns, scale), scale


def im_scale(height: int, width: int, shorter: int = 600, longer: int = 1000) -> float:
    """Returns the factor (float64) that makes the shorter side `shorter` px, or the longer one `longer` if less."""
    scale = shorter / min(height, width)
    return longer / max(height, width) if round(scale * max(height, width)) > longer else scale


def _resized(values: np.ndarray, axis: int, size: int, scale: float) -> np.ndarray:
    """Resizes along one axis, bilinear, without antialiasing: result i is at (i + 0.5) / scale - 0.5, clamped.

    A resize function would use the ratio of the rounded sizes instead of `scale`, which changes the features.
    """
    last = values.shape[axis] - 1
    places = np.clip((np.arange(size) + 0.5) / scale - 0.5, 0, last)
    before = places.astype(int)
    weight = (places - before).astype(np.float32)
    low, high = values.take(before, axis), values.take(np.minimum(before + 1, last), axis)
    high -= low
    high *= np.expand_dims(weight, tuple({0, 1, 2} - {axis}))
    high += low
    return high


def padded(image: np.ndarray, multiple: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Pads `image` [h, w, 3] with zeros at the end, to multiples of `multiple`. Returns it and (h, w).

    A few compiled shapes then serve photos of all sizes. The network undoes the padding if you give it (h, w).
    """
    height, width = image.shape[:2]
    canvas = np.zeros((-(-height // multiple) * multiple, -(-width // multiple) * multiple, 3), image.dtype)
    canvas[:height, :width] = image
    return canvas, (height, width)
