"""Tests of DEKR's maps: flip average, poses, upsampling and centre peaks, against slow definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from third_party_ports.dekr import maps

OTHER_SIDE = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
H, W = 3, 5


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_heat_averages_with_the_mirrored_canvas():
    heat, mirrored = draw(H, W, 18), draw(H, W, 18, seed=1)
    ours = maps.flip_average(heat, mirrored)
    for j, other in enumerate([*OTHER_SIDE, 17]):
        for x in range(W):
            np.testing.assert_array_equal(ours[:, x, j], (heat[:, x, j] + mirrored[:, W - 1 - x, other]) / 2)
    assert maps.flip_average(heat, None) is heat


def test_poses_average_with_the_mirrored_canvas():
    offset, mirrored = draw(H, W, 34), draw(H, W, 34, seed=1)
    rows, columns = np.mgrid[:H, :W]
    alone, ours = (maps.poses_at(offset, other, rows, columns) for other in (None, mirrored))
    assert ours.shape == (H, W, 17, 2) and ours.dtype == np.float32
    for y in range(H):
        for x in range(W):
            for j, other in enumerate(OTHER_SIDE):
                point = np.array([x - offset[y, x, 2 * j], y - offset[y, x, 2 * j + 1]])
                np.testing.assert_allclose(alone[y, x, j], point, rtol=1e-6)
                seen_x, seen_y = W - 1 - x, y  # the same place on the mirrored map
                there = [seen_x - mirrored[y, seen_x, 2 * other], seen_y - mirrored[y, seen_x, 2 * other + 1]]
                back = np.array([W - 1 - there[0], there[1]])
                np.testing.assert_allclose(ours[y, x, j], (point + back) / 2, rtol=1e-5, atol=1e-5)


def test_poses_at_a_few_positions():
    offset, mirrored = draw(H, W, 34), draw(H, W, 34, seed=1)
    whole = maps.poses_at(offset, mirrored, *np.mgrid[:H, :W])
    few = maps.poses_at(offset, mirrored, np.array([2, 0]), np.array([4, 1]))
    np.testing.assert_array_equal(few, [whole[2, 4], whole[0, 1]])


def enlarged(values: np.ndarray, size: int) -> np.ndarray:
    """One axis: linear to size - f + 1 samples with aligned corners, then the last one f - 1 times more."""
    f = size // len(values)
    places = np.linspace(0, len(values) - 1, size - f + 1)
    return np.append(np.interp(places, np.arange(len(values)), values), [values[-1]] * (f - 1))


@pytest.mark.parametrize("size", [(12, 20), (3, 5), (6, 40), (7, 13), (24, 39)])
def test_upsampling_axis_by_axis(size):
    heat = draw(H, W, 2)
    ours = maps.whole_mean_heat([heat], size, np.arange(2))
    assert ours.dtype == np.float32
    expected = np.apply_along_axis(enlarged, 1, np.apply_along_axis(enlarged, 0, heat, size[0]), size[1])
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_pixels_of_the_map_stay_where_they_are_and_the_last_is_repeated():
    heat = draw(H, W, 1)
    ours = maps.whole_mean_heat([heat], (4 * H, 4 * W), np.arange(1))
    np.testing.assert_array_equal(ours[::4, ::4], heat)
    np.testing.assert_array_equal(ours[4 * H - 4 :, ::4], np.repeat(heat[-1:], 4, axis=0))


def test_a_map_of_one_pixel():
    ours = maps.whole_mean_heat([np.full((1, 1, 1), 3, np.float32)], (4, 8), np.arange(1))
    np.testing.assert_array_equal(ours, np.full((4, 8, 1), 3))


def test_a_map_is_never_made_smaller():
    with pytest.raises(ValueError, match="test scales"):
        maps.whole_mean_heat([draw(3, 5, 1)], (4, 4), np.arange(1))


def test_scales_are_averaged():
    small, large = draw(2, 3, 1), draw(4, 6, 1, seed=1)
    both = maps.whole_mean_heat([large, small], (8, 12), np.arange(1))
    alone = [maps.whole_mean_heat([heat], (8, 12), np.arange(1)) for heat in (large, small)]
    np.testing.assert_allclose(both, sum(alone) / 2, rtol=1e-6)


def test_keypoint_heat_is_the_whole_map_looked_up():
    """The pixel that holds the point (floor), or the nearest border pixel."""
    heats = [draw(H, W, 18), draw(2 * H, 2 * W, 18, seed=1)]
    size = 4 * H, 4 * W
    whole = maps.whole_mean_heat(heats, size, np.arange(18))
    points = np.random.default_rng(2).uniform(-10, 30, (50, 17, 2)).astype(np.float32)
    points[0, 0], points[0, 1], points[0, 2] = (7.99, 3.99), (-0.5, 100), (1e9, -1e9)
    ours = maps.heat_at(heats, size, points)
    assert ours[0, :3].tolist() == [whole[3, 7, 0], whole[-1, 0, 1], whole[0, -1, 2]]
    for n, j in np.ndindex(50, 17):
        x, y = np.clip(np.floor(points[n, j]), 0, [4 * W - 1, 4 * H - 1]).astype(int)
        assert ours[n, j] == whole[y, x, j]


def test_pool_size_grows_with_the_map():
    sides = ((200, 200), (200, 201), (300, 300), (200, 400), (300, 301))
    assert [maps.pool_size(h, w, 300, 200) for h, w in sides] == [3, 5, 5, 5, 7]


@pytest.mark.parametrize("direction", [(0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    ("apart", "found"),
    [(1, {3: 1, 5: 1, 7: 1}), (2, {3: 2, 5: 1, 7: 1}), (3, {3: 2, 5: 2, 7: 1}), (4, {3: 2, 5: 2, 7: 2})],
)
def test_two_peaks_merge_within_half_a_window(apart, found, direction):
    plane = np.zeros((12, 12), np.float32)
    plane[3, 4] = 0.9
    plane[3 + apart * direction[0], 4 + apart * direction[1]] = 0.8
    for window, count in found.items():
        values, rows, columns = maps.peaks(plane, window, 30)
        assert (values > 0).sum() == count
        assert (values[0], rows[0], columns[0]) == (np.float32(0.9), 3, 4)


def test_equal_neighbours_are_all_peaks_in_raster_order():
    plane = np.zeros((6, 6), np.float32)
    plane[2, 2:4] = plane[5, 0] = 0.5
    values, rows, columns = maps.peaks(plane, 3, 3)
    assert values.tolist() == [0.5] * 3
    assert [*zip(rows, columns, strict=True)] == [(2, 2), (2, 3), (5, 0)]


@given(
    arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(-2, 3).map(float)),
    st.sampled_from([3, 5, 7]),
    st.integers(1, 60),
)
def test_peaks_as_defined(plane, window, count):
    reach = window // 2
    ranked = []
    for y, x in np.ndindex(plane.shape):
        around = plane[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        ranked.append((-plane[y, x] if plane[y, x] == around.max() else 0, y, x))
    expected = sorted(ranked)[:count]
    values, rows, columns = maps.peaks(plane, window, count)
    assert [*zip(-values, rows, columns, strict=True)] == expected
