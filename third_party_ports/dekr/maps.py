"""From DEKR's output maps to candidate poses: flip average, upsampling, centre peaks.

Follows HRNet/DEKR (MIT). Maps are channels-last: heat [h, w, 18] (17 keypoints, then the person centre) and offset
[h, w, 34] (x_0, y_0, x_1, ...; map pixel minus keypoint), both at a quarter of the canvas. The outputs for the mirrored
canvas are as the network gave them, not yet mirrored back. Positions are (row, column) indices, points are (x, y).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

KEYPOINTS = 17  # COCO: nose, then left and right eye, ear, shoulder, elbow, wrist, hip, knee, ankle
CENTRE = KEYPOINTS  # channel of the person centre
MIRROR = np.array([0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15])  # the other side's keypoint


def flip_average(heat: np.ndarray, mirrored: np.ndarray | None) -> np.ndarray:
    """Averages the heat [h, w, 18] of a canvas and of the mirrored one (None: returns `heat`)."""
    if mirrored is None:
        return heat
    return (heat + mirrored[:, ::-1, np.append(MIRROR, CENTRE)]) / 2


def poses_at(offset: np.ndarray, mirrored: np.ndarray | None, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the poses that map pixels predict.

    Args:
      offset: float32 [h, w, 34].
      mirrored: the same for the mirrored canvas, or None.
      rows, columns: int [...], positions on the map.

    Returns:
      float32 [..., 17, 2], x and y in map pixels. Nothing is clipped.
    """
    poses = _points(offset, rows, columns)
    if mirrored is None:
        return poses
    last = offset.shape[1] - 1
    other = _points(mirrored, rows, last - columns)[..., MIRROR, :]
    other[..., 0] = last - other[..., 0]
    return (poses + other) / 2


def _points(offset: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    pixels = np.stack([columns, rows], axis=-1).astype(np.float32)
    return pixels[..., None, :] - offset[rows, columns].reshape(*rows.shape, KEYPOINTS, 2)


def upsampled(
    heat: np.ndarray, size: tuple[int, int], rows: np.ndarray, columns: np.ndarray, channels: np.ndarray
) -> np.ndarray:
    """Returns the values that a map [h, w, C], enlarged to `size` (height, width), has at positions of the large map.

    For an integer ratio f, position i of the large map is i / f of the small one, clamped at its last pixel. `rows`,
    `columns` and `channels` are int arrays that broadcast against each other. The whole map is never computed.

    Raises:
      ValueError: `size` is below the map's.
    """
    height, width, _ = heat.shape
    top, down = _places(height, size[0], rows)
    left, right = _places(width, size[1], columns)
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    upper = heat[top, left, channels] * (1 - right) + heat[top, beside, channels] * right
    lower = heat[below, left, channels] * (1 - right) + heat[below, beside, channels] * right
    return upper * (1 - down) + lower * down


def _places(small: int, large: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For positions on an axis of `large`: the pixel before them on the axis of `small`, and the distance (float32)."""
    ratio = large // small
    if ratio < 1:
        raise ValueError(f"a map of {small} px cannot be enlarged to {large} px: use test scales up to 4")
    last = large - ratio  # corners are aligned up to here; beyond, the last value is repeated
    places = np.minimum(positions, last) * ((small - 1) / max(last, 1))
    before = np.floor(places).astype(int)
    return before, (places - before).astype(np.float32)


def mean_heat(
    heats: list[np.ndarray], size: tuple[int, int], rows: np.ndarray, columns: np.ndarray, channels: np.ndarray
) -> np.ndarray:
    """Averages `upsampled` over the (flip-averaged) maps of all scales."""
    enlarged = (upsampled(heat, size, rows, columns, channels) for heat in heats)
    return sum(enlarged, np.zeros((), np.float32)) / np.float32(len(heats))


def whole_mean_heat(heats: list[np.ndarray], size: tuple[int, int], channels: np.ndarray) -> np.ndarray:
    """Computes `mean_heat` everywhere: float32 [height, width, len(channels)]."""
    return mean_heat(heats, size, np.arange(size[0])[:, None, None], np.arange(size[1])[:, None], channels)


def heat_at(heats: list[np.ndarray], size: tuple[int, int], points: np.ndarray) -> np.ndarray:
    """Returns the mean heat of each keypoint at its place in the poses.

    Args:
      heats: float32 [h, w, 18] per scale, flip-averaged.
      size: (height, width) of the base canvas.
      points: [n, 17, 2], x and y in base pixels.

    Returns:
      float32 [n, 17]: the value of the base pixel that holds the point, or of the nearest border pixel.
    """
    columns, rows = (np.clip(np.floor(points[..., a]), 0, size[1 - a] - 1).astype(int) for a in (0, 1))
    return mean_heat(heats, size, rows, columns, np.arange(KEYPOINTS))


def pool_size(height: int, width: int, threshold1: float, threshold2: float) -> int:
    """Returns the side of the window in which a centre must be the highest: 7, 5 or 3, less on smaller maps."""
    mean = (height + width) / 2
    return 7 if mean > threshold1 else 5 if mean > threshold2 else 3


def peaks(plane: np.ndarray, window: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the highest local maxima of a map, descending, ties in raster order.

    Args:
      plane: float32 [h, w].
      window: odd. A peak equals the maximum of the window x window pixels around it; of a plateau, all are peaks.
      count: how many to return. If there are fewer peaks, other pixels follow, with value 0.

    Returns:
      values float32 [n], rows int [n], columns int [n], n = min(count, h * w).
    """
    padded = np.pad(plane, window // 2, constant_values=-np.inf)
    highest = sliding_window_view(sliding_window_view(padded, window, axis=0).max(-1), window, axis=1).max(-1)
    values = np.where(plane == highest, plane, 0).ravel()
    count = min(count, values.size)
    enough = np.flatnonzero(values >= np.partition(values, -count)[-count])  # in raster order
    best = enough[np.argsort(-values[enough], kind="stable")][:count]
    return values[best], *np.divmod(best, plane.shape[1])
