"""DEKR's optional refinement of poses on the keypoint heat (`match_hmp` of HRNet/DEKR, MIT); it is off as released.

Only x and y change. A point moves to a near peak of its keypoint's heat, then to the centre of a Gaussian fitted there.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.optimize import leastsq

from third_party_ports.dekr.maps import peaks

Grid = Literal["correct", "original_defect"]
PEAK_WINDOW = 5
EVALUATIONS = 300  # of the function that a fit minimises


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
    """Matches the points of poses to the heat.

    Args:
      poses: float32 [k, 17, 3], x and y in base pixels, and keypoint score.
      heat: returns the mean heat of a keypoint by its number, float32 [H, W] in base pixels.
      peak_count: how many peaks of a keypoint's heat points may move to.
      max_absorb_distance: how far points may move, in pixels.
      adjust_threshold: a Gaussian is fitted only if the keypoint score is above this.
      gaussian_kernel: how many pixels the fit sees on each side of the point.
      sigma: of the Gaussian that the fit starts from, in pixels.
      grid: "original_defect" repeats the original's error in windows that the border cuts (see `fitted`).

    Returns:
      float32 [k, 17, 3].
    """
    result = poses.copy()
    for j in range(poses.shape[1] if len(poses) else 0):
        plane = heat(j)
        result[:, j, :2] = absorbed(result[:, j, :2], plane, peak_count, max_absorb_distance)
        known: dict[tuple[int, int], np.ndarray | None] = {}  # the fits so far, by the pixel they start from
        for person in np.flatnonzero(poses[:, j, 2] > adjust_threshold):
            x, y = result[person, j, :2]
            start = int(y + 0.5), int(x + 0.5)
            if start not in known:
                known[start] = fitted(plane, *start, gaussian_kernel, sigma, grid)
            centre = known[start]
            if centre is not None:
                result[person, j, :2] = centre
    return result


def absorbed(points: np.ndarray, plane: np.ndarray, count: int, distance: float) -> np.ndarray:
    """Moves each of the points [k, 2] (x, y) to the nearest of the `count` highest peaks within `distance`."""
    _, rows, columns = peaks(plane, PEAK_WINDOW, count)
    places = np.stack([columns, rows], axis=-1).astype(points.dtype)
    apart = np.linalg.norm(points[:, None] - places[None], axis=-1)
    near = apart.min(axis=1, keepdims=True) < distance
    return np.where(near, places[apart.argmin(axis=1)], points)


def fitted(plane: np.ndarray, row: int, column: int, kernel: int, sigma: float, grid: Grid) -> np.ndarray | None:
    """Fits a Gaussian A exp(-d^2 / (2 sigma^2)) to the window of a map around a pixel, and returns its centre (x, y).

    The fit is unconstrained least squares, so the centre may lie outside the window. The original divides the index of
    a window's pixel by the number of rows instead of columns ("original_defect"). That makes no difference in a square
    window. In one that the border cuts, the pixels get wrong places and the fit a wrong centre.

    Returns:
      float64 [2] in pixels of `plane`. None if the fit fails, or if the window has fewer pixels than the fit has
      parameters.
    """
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
