"""Tests of sizes, kernel, patches, places, lengths and padding, by hand and against slow loops."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from third_party_ports.peers.musiq_patches import (
    Layout,
    batch,
    grid_index,
    padded,
    patches,
    resize,
    resize_matrix,
    resized_size,
    scaled,
    sequence,
    token_count,
)

SMALL = Layout((16, 24), patch=8)  # 4 and 9 tokens of the copies


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "longer_side", "expected"),
    [
        ((448, 225), 224, (224, 112)),  # 112.5 goes to the even number
        ((448, 227), 224, (224, 114)),  # and so does 113.5
        ((96, 170), 384, (217, 384)),  # smaller photos are enlarged
        ((1350, 1080), 224, (224, 179)),
        ((224, 100), 224, (224, 100)),
        ((448, 2), 224, (224, 1)),
    ],
)
def test_resized_size(size, longer_side, expected):
    assert resized_size(size, longer_side) == expected
    assert resized_size(size[::-1], longer_side) == expected[::-1]


def test_a_side_that_would_become_0_is_refused():
    with pytest.raises(ValueError, match=r"900 x 2 px .* 224 x 0 px; crop it .*448:1"):
        sequence(photo(900, 2))


def test_kernel_by_hand():
    """Of the same size still a blur; halved, a pixel has one neighbour beside its two; a tie at 1.5 px is out."""
    side, centre = np.exp(-2), 1.0
    total = centre + 2 * side
    np.testing.assert_allclose(resize_matrix(5, 5)[2], [0, side / total, centre / total, side / total, 0], rtol=1e-6)
    np.testing.assert_allclose(resize_matrix(5, 5)[0, :2], [1 / (1 + side), side / (1 + side)], rtol=1e-6)
    np.testing.assert_array_equal(resize_matrix(8, 4)[1], [0, 0, 0.5, 0.5, 0, 0, 0, 0])
    near, far = np.exp(-2 * 0.25**2), np.exp(-2 * 0.75**2)
    last = np.exp(-2 * 1.25**2)
    np.testing.assert_allclose(resize_matrix(2, 4)[0], np.array([near, last]) / (near + last), rtol=1e-6)
    np.testing.assert_allclose(resize_matrix(2, 4)[1], np.array([near, far]) / (near + far), rtol=1e-6)


def slow_matrix(old: int, new: int) -> np.ndarray:
    """Loops over pixels, with positions in float32, one operation at a time, and all else in float64."""
    inverse = np.float32(1) / (np.float32(new) / np.float32(old))
    rows = np.zeros((new, old))
    for i in range(new):
        centre = np.float32(np.float32(i + 0.5) * inverse)
        for j in range(old):
            distance = abs(np.float32(np.float32(j + 0.5) - centre))
            rows[i, j] = np.exp(-2 * float(distance) ** 2) if distance < 1.5 else 0
        rows[i] /= rows[i].sum()
    return rows


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60))
def test_kernel_against_loops(old, new):
    matrix = resize_matrix(old, new)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, slow_matrix(old, new), atol=3e-7)


def test_positions_are_float32():
    """608 px to 133 (1024 x 608 to 224 x 133): exact positions would treat a pixel at the radius differently."""
    assert resized_size((1024, 608), 224) == (224, 133)
    exact = np.abs(np.arange(608) + 0.5 - (np.arange(133)[:, None] + 0.5) * (608 / 133))
    exact = np.where(exact < 1.5, np.exp(-2 * exact**2), 0)
    exact /= exact.sum(1, keepdims=True)
    assert np.abs(resize_matrix(608, 133) - exact).max() > 5e-3
    np.testing.assert_allclose(resize_matrix(608, 133), slow_matrix(608, 133), atol=3e-7)


def test_resize_is_separable_and_keeps_a_constant():
    image = scaled(photo(7, 5))
    expected = np.einsum("ih,hwc,jw->ijc", slow_matrix(7, 9), image, slow_matrix(5, 4))
    resized = resize(image, (9, 4))
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=1e-6)
    np.testing.assert_allclose(resize(np.full((7, 5, 3), 0.3, np.float32), (9, 4)), 0.3, rtol=1e-6)


def test_scaling_by_hand():
    np.testing.assert_array_equal(scaled(np.array([0, 51, 255], np.uint8)), np.float32([-1, -0.6, 1]))
    assert scaled(photo(2, 2)).dtype == np.float32


def test_patches_by_hand():
    """5 x 3 pixels in patches of 2: one row and one column of zeros, the smaller half (none) at the top and left."""
    image = np.arange(1, 16, dtype=np.float32).reshape(5, 3, 1)
    cut, shape = patches(image, 2)
    assert shape == (3, 2)
    assert cut.tolist() == [
        [1, 2, 4, 5], [3, 0, 6, 0], [7, 8, 10, 11], [9, 0, 12, 0], [13, 14, 0, 0], [15, 0, 0, 0]
    ]  # fmt: skip
    cut, shape = patches(np.ones((1, 4, 2), np.float32), 4)  # three rows of zeros, one of them above
    assert shape == (1, 1)
    np.testing.assert_array_equal(cut.reshape(4, 4, 2)[:, 0, 0], [0, 1, 0, 0])


def test_places_by_hand():
    assert grid_index((3, 3), 10).tolist() == [0, 3, 6, 30, 33, 36, 60, 63, 66]
    assert grid_index((1, 20), 10).tolist() == [n // 2 for n in range(20)]
    assert grid_index((2, 2), 4).tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize("count", [205, 235])
def test_places_are_float32(count):
    """Above 6528 px, exact fractions would give other cells."""
    ours = grid_index((1, count), 10)
    step = np.float32(10) / np.float32(count)
    loops = [min(int(np.floor(np.float32(np.float32(i) * step))), 9) for i in range(count)]
    assert ours.tolist() == loops
    assert ours.tolist() != [10 * i // count for i in range(count)]
    assert ours.max() == 9


def test_places_of_common_sizes_are_exact_fractions():
    differing = [n for n in range(1, 276) if (grid_index((1, n), 10) != 10 * np.arange(n) // n).any()]
    assert differing == [205, 235, 266, 275]


def test_sequence():
    """19 x 30 px: copies of 10 x 16 and 15 x 24 in 4 and 6 patches, then the photo in 3 x 4."""
    image = photo(19, 30)
    tokens = sequence(image, SMALL)
    assert [value.dtype for value in tokens] == [np.float32, np.int32, np.int32, bool]
    assert [value.shape for value in tokens] == [(25, 192), (25,), (25,), (25,)]
    assert tokens.mask.tolist() == [True] * 4 + [True] * 6 + [False] * 3 + [True] * 12
    assert tokens.scale.tolist() == [0] * 4 + [1] * 6 + [0] * 3 + [2] * 12
    assert tokens.spatial[:4].tolist() == [0, 5, 50, 55]
    assert tokens.spatial[4:10].tolist() == [0, 3, 6, 50, 53, 56]
    np.testing.assert_array_equal(tokens.patches[:4], patches(resize(scaled(image), (10, 16)), 8)[0])
    np.testing.assert_array_equal(tokens.patches[13:], patches(scaled(image), 8)[0])
    for value in tokens:
        assert not value[10:13].any()


def test_copies_are_ordered_by_size():
    for ours, other in zip(sequence(photo(9, 9), Layout((24, 16), patch=8)), sequence(photo(9, 9), SMALL), strict=True):
        np.testing.assert_array_equal(ours, other)


def test_the_photo_alone_is_scale_0():
    layout = Layout((), patch=8)
    tokens = sequence(photo(9, 9), layout)
    assert layout.scales == 1
    assert tokens.scale.tolist() == [0] * 4
    assert Layout((16,), native=False, patch=8).scales == 1
    assert len(sequence(photo(9, 9), Layout((16,), native=False, patch=8)).mask) == 4


@pytest.mark.parametrize(("size", "count"), [((1080, 1080), 1349), ((1080, 1350), 1655), ((96, 170), 211)])
def test_published_lengths(size, count):
    assert token_count(size) == count
    if size == (96, 170):
        assert len(sequence(photo(*size)).mask) == count


@pytest.mark.parametrize("native_tokens", [None, 5, 12, 13])
def test_token_count(native_tokens):
    layout = Layout((16, 24), native_tokens=native_tokens, patch=8)
    assert len(sequence(photo(19, 30), layout).mask) == token_count((19, 30), layout)


def test_the_photo_is_cut_to_its_first_tokens():
    cut, whole = sequence(photo(19, 30), Layout((16, 24), native_tokens=5, patch=8)), sequence(photo(19, 30), SMALL)
    for ours, every in zip(cut, whole, strict=True):
        np.testing.assert_array_equal(ours, every[:18])


def test_the_photo_is_cut_at_random_in_raster_order():
    layout, whole = Layout((16, 24), native_tokens=5, patch=8), sequence(photo(19, 30), SMALL)
    rng, seen = np.random.default_rng(3), set()
    for _ in range(60):
        cut = sequence(photo(19, 30), layout, rng)
        kept = [int(np.flatnonzero((whole.patches[13:] == patch).all(1))[0]) for patch in cut.patches[13:]]
        assert len(kept) == 5
        assert kept == sorted(set(kept))
        np.testing.assert_array_equal(cut.spatial[13:], whole.spatial[13:][kept])
        np.testing.assert_array_equal(cut.patches[:13], whole.patches[:13])
        seen |= set(kept)
    assert seen == set(range(12))


def test_batch():
    one, other = sequence(photo(9, 9), SMALL), sequence(photo(19, 30), SMALL)
    together = batch([one, other])
    assert together.patches.shape == (2, 25, 192)
    for value, alone in zip(together, one, strict=True):
        np.testing.assert_array_equal(value[0, :17], alone)
        assert not value[0, 17:].any()
        assert value.dtype == alone.dtype
    assert batch([one], 40).mask.shape == (1, 40)
    with pytest.raises(ValueError, match="25 tokens, more than 20"):
        batch([one, other], 20)
    assert padded(one, 17).mask.tolist() == one.mask.tolist()


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
)
def test_images_that_are_not_rgb_are_refused(image):
    with pytest.raises(ValueError, match="convert it to RGB"):
        sequence(image)


def test_importing_it_loads_only_numpy():
    script = "import sys, third_party_ports.peers.musiq_patches; assert not {'jax', 'flax', 'PIL'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
