"""Photos as the bottom-up detector reads them. numpy only: the processes that read photos import this module."""

import numpy as np

MEANS = np.array([102.9801, 115.9465, 122.7717], np.float32)  # of blue, green, red: the detector's order


def region_input(image: np.ndarray, shorter: int = 600, longer: int = 1000) -> tuple[np.ndarray, float]:
    """An upright RGB photo, uint8 [H, W, 3] -> the detector's input, float32 [h, w, 3] (BGR minus the means, range
    0..255), and its im_scale: network pixels an original pixel. `shorter` and `longer` are those of `im_scale`.

    Raises ValueError for another shape or dtype, and for a photo so narrow that nothing of it would be left.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"region_input: needs RGB, uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    scale = im_scale(height, width, shorter, longer)
    rows, columns = round(scale * height), round(scale * width)  # halves to even, as the original's resize
    if min(rows, columns) < 1:
        raise ValueError(f"region_input: a photo of {height} x {width} px is too narrow to scale down; leave it out")
    bgr = image[:, :, ::-1].astype(np.float32) - MEANS
    return _resized(_resized(bgr, 0, rows, scale), 1, columns, scale), scale


def im_scale(height: int, width: int, shorter: int = 600, longer: int = 1000) -> float:
    """The factor, in float64, that makes the shorter side `shorter` px, or the longer one `longer` if less."""
    scale = shorter / min(height, width)
    return longer / max(height, width) if round(scale * max(height, width)) > longer else scale


def _resized(values: np.ndarray, axis: int, size: int, scale: float) -> np.ndarray:
    """Bilinear along one axis, without antialiasing: result i lies at (i + 0.5) / scale - 0.5 of `values`, clamped.

    The ratio of the rounded sizes in place of `scale` is what a resize function would use; that moves the features.
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
    """`image` [h, w, 3] before the zeros of a canvas whose sides are the next multiples of `multiple`, and (h, w).

    The network undoes the padding when it is told (h, w), so that a few compiled shapes serve photos of all sizes.
    """
    height, width = image.shape[:2]
    canvas = np.zeros((-(-height // multiple) * multiple, -(-width // multiple) * multiple, 3), image.dtype)
    canvas[:height, :width] = image
    return canvas, (height, width)
