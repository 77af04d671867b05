"""DEKR's optional refinement of poses on the keypoint heat (`match_hmp` of HRNet/DEKR, MIT); off as released.

Only x and y change: a point moves to a near peak of its keypoint's heat, then to the centre of a Gaussian fitted there.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from third_party_ports.dekr.maps import peaks

Grid = Literal["correct", "original_defect"]
PEAK_WINDOW = 5
EVALUATIONS = 300


def refined(
    poses: np.ndarray,
    heat: Callable[[int], np.ndarray],
    *,
    peak_count: int = 30,
    max_absorb_distance: float = 75,
    adjust_threshold: float = 0.05,
    gaussian_kernel: int = 6,
    sigma: float = 2.0,
    grid: Grid = "correct",
) -> np.ndarray:
    """Poses with their points matched to the heat.

    Args:
      poses: float32 [k, 17, 3], x and y in base pixels, keypoint score.
      heat: of a keypoint's number, its mean heat float32 [H, W] in base pixels.
      peak_count: peaks of a keypoint's heat that points may move to.
      max_absorb_distance: how far they may move, pixels.
      adjust_threshold: a Gaussian is fitted only where the keypoint score is above this.
      gaussian_kernel: pixels on each side of the point that the fit sees.
      sigma: of the Gaussian that the fit starts from, pixels.
      grid: "original_defect" numbers the pixels of a window that the border cuts as the original does (see `fitted`).

    Returns:
      float32 [k, 17, 3].
    """
    result = poses.copy()
    for j in range(poses.shape[1] if len(poses) else 0):
        plane = heat(j)
        result[:, j, :2] = absorbed(result[:, j, :2], plane, peak_count, max_absorb_distance)
        known: dict[tuple[int, int], np.ndarray] = {}
        for person in np.flatnonzero(poses[:, j, 2] > adjust_threshold):
            x, y = result[person, j, :2]
            start = int(y + 0.5), int(x + 0.5)
            if start not in known:
                known[start] = fitted(plane, *start, gaussian_kernel, sigma, grid)
            if known[start] is not None:
                result[person, j, :2] = known[start]
    return result


def absorbed(points: np.ndarray, plane: np.ndarray, count: int, distance: float) -> np.ndarray:
    """Points [k, 2] (x, y), each moved to the nearest of the `count` highest peaks, if below `distance`."""
    _, rows, columns = peaks(plane, PEAK_WINDOW, count)
    places = np.stack([columns, rows], axis=-1).astype(points.dtype)
    apart = np.linalg.norm(points[:, None] - places[None], axis=-1)
    near = apart.min(axis=1, keepdims=True) < distance
    return np.where(near, places[apart.argmin(axis=1)], points)


def fitted(plane: np.ndarray, row: int, column: int, kernel: int, sigma: float, grid: Grid) -> np.ndarray | None:
    """Centre (x, y) of the Gaussian A exp(-d^2 / (2 sigma^2)) fitted to the window of a map about a pixel.

    Unconstrained least squares, nothing keeps the centre inside. The original divides the number of a window's pixel by
    the window's rows where its columns are meant ("original_defect"): no matter in a square window, but in one that the
    border cuts the pixels get wrong places and the fit a wrong centre.

    Returns:
      float64 [2] in pixels of `plane`; None where the fit fails, or the window holds fewer numbers than it has to fit.
    """
    from scipy.optimize import leastsq

    height, width = plane.shape
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    top, left = max(0, row - kernel), max(0, column - kernel)
    window = plane[top : row + kernel + 1, left : column + kernel + 1]
    values = window.ravel().astype(np.float64)
    y, x = np.divmod(np.arange(values.size), window.shape[0 if grid == "original_defect" else 1])

    def residuals(parameters: np.ndarray) -> np.ndarray:
        amplitude, y0, x0, spread = parameters
        return amplitude * np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * spread**2)) - values

    start = (float(plane[row, column]), row - top, column - left, sigma)
    if values.size < len(start):
        return None
    with np.errstate(all="ignore"):  # the fit may pass a spread of 0 on its way
        found, *_, status = leastsq(residuals, start, full_output=True, maxfev=EVALUATIONS)
    if status not in (1, 2, 3, 4) or not np.isfinite(found).all():
        return None
    return np.array([left + found[2], top + found[1]])
