"""Tests of DEKR's refinement: moves to peaks, Gaussian fits in whole and cut windows, the original's defect."""

import numpy as np
import pytest

from third_party_ports.dekr.refinement import absorbed, fitted, refined


def gaussian(x: float, y: float, shape=(40, 40), height: float = 0.8, sigma: float = 2.0) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))).astype(np.float32)


@pytest.mark.parametrize(
    ("peak", "start", "defect"), [((3.3, 17.6), (18, 3), (6.038, 15.893)), ((20.3, 2.2), (2, 20), (18.171, 2.983))]
)
def test_a_window_that_the_border_cuts(peak, start, defect):
    """The original's numbers, and the true position."""
    plane = gaussian(*peak)
    np.testing.assert_allclose(fitted(plane, *start, 6, 2.0, "original_defect"), defect, atol=2e-3)
    np.testing.assert_allclose(fitted(plane, *start, 6, 2.0, "correct"), peak, atol=1e-4)


@pytest.mark.parametrize("grid", ["correct", "original_defect"])
@pytest.mark.parametrize("peak", [(20.3, 17.6), (2.7, 3.2)])
def test_the_defect_does_not_show_in_a_square_window(grid, peak):
    start = round(peak[1]), round(peak[0])
    np.testing.assert_allclose(fitted(gaussian(*peak), *start, 6, 2.0, grid), peak, atol=1e-4)


def test_a_start_outside_the_map_is_taken_at_its_border():
    ours = fitted(gaussian(38.6, 20.0), 20, 47, 6, 2.0, "correct")
    np.testing.assert_allclose(ours, (38.6, 20.0), atol=1e-4)


def test_a_failed_fit_gives_none():
    assert fitted(np.ones((1, 3), np.float32), 0, 1, 6, 2.0, "correct") is None  # four numbers from three values
    plane = -np.hypot(*np.mgrid[:13, :13]).astype(np.float32)  # it falls without end, so the fit diverges
    assert fitted(plane, 6, 6, 6, 2.0, "correct") is None


def test_points_move_to_the_nearest_near_peak():
    plane = np.zeros((100, 200), np.float32)
    plane[10, 10], plane[10, 50], plane[90, 180] = 0.2, 0.9, 0.5
    points = np.float32([(15, 10), (40, 12), (30, 10), (180, 15), (180, 15.5)])
    ours = absorbed(points, plane, 3, 75)
    # Of equally near peaks, the higher one. 75 px away is not near.
    assert ours.tolist() == [[10, 10], [50, 10], [50, 10], [180, 15], [180, 90]]


def test_only_the_highest_peaks_count():
    plane = np.zeros((20, 20), np.float32)
    plane[10, 4], plane[10, 14] = 0.2, 0.9
    assert absorbed(np.float32([(5, 10)]), plane, 1, 75).tolist() == [[14, 10]]


def pose(x: float, y: float, score: float = 0.5) -> np.ndarray:
    return np.tile(np.float32([x, y, score]), (17, 1))


def test_poses_settle_on_their_keypoints_heat():
    planes = [gaussian(20.3 + 0.11 * j, 17.6) for j in range(17)]
    poses = np.stack([pose(24, 15), pose(18, 19), pose(18, 19, 0.05)])
    ours = refined(poses, planes.__getitem__)
    for j in range(17):
        np.testing.assert_allclose(ours[:2, j, :2], [(20.3 + 0.11 * j, 17.6)] * 2, atol=1e-3)
    # No fit without a score above the threshold: the third has only moved to the peak.
    np.testing.assert_array_equal(ours[2, :, :2], [(round(20.3 + 0.11 * j), 18) for j in range(17)])
    np.testing.assert_array_equal(ours[..., 2], poses[..., 2])


def test_the_grid_is_an_option():
    poses = pose(3, 18)[None]
    correct, defect = (
        refined(poses, lambda j: gaussian(3.3, 17.6), grid=grid) for grid in ("correct", "original_defect")
    )
    np.testing.assert_allclose(correct[0, 0, :2], (3.3, 17.6), atol=1e-3)
    np.testing.assert_allclose(defect[0, 0, :2], (6.038, 15.893), atol=2e-3)


def test_no_poses():
    assert refined(np.zeros((0, 17, 3), np.float32), lambda j: gaussian(3, 3)).shape == (0, 17, 3)
