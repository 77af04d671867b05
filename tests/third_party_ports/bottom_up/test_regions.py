"""Tests of what the detector does between its convolutions, against slow loops in NumPy."""

from fractions import Fraction
from math import ceil, floor

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from tests.helpers.boxes import random_boxes, survivors
from third_party_ports.bottom_up import regions

FEW = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def test_anchors():
    np.testing.assert_array_equal(
        regions.ANCHORS,
        [
            [-38, -16, 53, 31],
            [-84, -40, 99, 55],
            [-176, -88, 191, 103],
            [-360, -184, 375, 199],
            [-24, -24, 39, 39],
            [-56, -56, 71, 71],
            [-120, -120, 135, 135],
            [-248, -248, 263, 263],
            [-14, -36, 29, 51],
            [-36, -80, 51, 95],
            [-80, -168, 95, 183],
            [-168, -344, 183, 359],
        ],
    )


def test_decoding():
    """A box of 10 x 20: zero deltas move its ends by 1; a shift is a share of the size; the size is bounded."""
    box = np.array([[10, 20, 19, 39]], np.float32)
    deltas = np.array([[0, 0, 0, 0], [0.5, -0.25, np.log(2), 0], [0, 0, 100, np.log(1000 / 16)]], np.float32)
    expected = [[10, 20, 20, 40], [10, 15, 30, 35], [15 - 312.5, 30 - 625, 15 + 312.5, 30 + 625]]
    np.testing.assert_allclose(jax.jit(regions.decode)(deltas, box), expected, rtol=1e-6)


def test_clipping():
    boxes = np.array([[-3, -4, 5, 6], [90, 40, 120, 130]], np.float32)
    np.testing.assert_array_equal(jax.jit(regions.clip)(boxes, np.array([50, 100])), [[0, 0, 5, 6], [90, 40, 99, 49]])


def test_overlaps_count_whole_pixels():
    """Two boxes of one pixel: the same, and side by side."""
    boxes = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]], np.float32)
    np.testing.assert_allclose(
        jax.jit(regions.overlaps)(boxes[:, None], boxes), [[1, 0, 0.5], [0, 1, 0.5], [0.5, 0.5, 1]]
    )


H, W, CELLS, SIZE, KEPT, CANDIDATES = 5, 6, (4, 5), (61, 77), 12, 40
_propose = jax.jit(
    lambda logits, deltas, size, cells, scale: regions.propose(logits, deltas, size, cells, scale, CANDIDATES, KEPT)
)


def slow_proposals(logits, deltas, size, cells, scale):
    found = []
    for y in range(cells[0]):
        for x in range(cells[1]):
            for a, anchor in enumerate(regions.ANCHORS):
                shift, stretch = deltas[y, x, 4 * a : 4 * a + 2], deltas[y, x, 4 * a + 2 : 4 * a + 4]
                anchor = anchor + 16 * np.float32([x, y, x, y])
                sides = anchor[2:] - anchor[:2] + 1
                centre, sides = anchor[:2] + sides / 2 + shift * sides, sides * np.exp(stretch)
                box = np.concatenate([centre - sides / 2, centre + sides / 2])
                box = np.clip(box, 0, np.float32([size[1], size[0], size[1], size[0]]) - 1)
                sides = box[2:] - box[:2]
                if (sides > 0).all() and (sides + 1 > 16 * np.float32(scale)).all():
                    pair = logits[y, x, [a, 12 + a]].astype(np.float64)
                    found.append((1 / (1 + np.exp(pair[0] - pair[1])), box))
    found = sorted(found, key=lambda entry: -entry[0])[:CANDIDATES]
    scores, boxes = np.array([s for s, _ in found]), np.array([b for _, b in found]).reshape(-1, 4)
    kept = survivors(boxes, scores, 0.7)[:KEPT]
    return boxes[kept], scores[kept]


@FEW
@given(SEEDS, st.sampled_from([1.0, 2.5]), st.booleans())
def test_proposals(seed, scale, coarse):
    """Padding cells are left out, whatever their scores; equal scores keep the order of the map."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (H, W, 24)).astype(np.float32)
    logits = np.round(logits) if coarse else logits
    logits[CELLS[0] :, :, 12:] += 50
    logits[:, CELLS[1] :, 12:] += 50
    deltas = rng.normal(0, 0.4, (H, W, 48)).astype(np.float32)
    boxes, scores, count = _propose(logits, deltas, np.array(SIZE), np.array(CELLS), np.float32(scale))
    expected, their_scores = slow_proposals(logits, deltas, SIZE, CELLS, scale)
    assert count == len(expected)
    np.testing.assert_allclose(boxes[:count], expected, atol=1e-3)
    np.testing.assert_allclose(scores[:count], their_scores, rtol=1e-5)
    assert not np.asarray(boxes[count:]).any()
    assert not np.asarray(scores[count:]).any()


def test_no_proposals():
    """All anchors shrink below the smallest size."""
    deltas = np.full((H, W, 48), -5, np.float32)
    boxes, _, count = _propose(np.zeros((H, W, 24)), deltas, np.array(SIZE), np.array(CELLS), np.float32(1))
    assert count == 0
    assert not np.asarray(boxes).any()


def test_the_smallest_size_is_that_of_the_original_photo():
    """One anchor fills an image of 17 x 17 px: larger than 16 px, not larger than 16 x 1.0625 px."""
    deltas = np.full((H, W, 12, 4), -5, np.float32)
    deltas[0, 0, 4] = 0
    arguments = (np.zeros((H, W, 24), np.float32), deltas.reshape(H, W, 48), np.array([17, 17]), np.array([2, 2]))
    boxes, _, count = _propose(*arguments, np.float32(1))
    assert count == 1
    np.testing.assert_array_equal(boxes[0], [0, 0, 16, 16])
    assert _propose(*arguments, np.float32(1.0625))[2] == 0


def test_bins_of_float32():
    """For two widths, float32 differs from exact fractions; below 114, for no others."""
    start, end = regions.bins(112)
    assert end[57, 13] == 58
    assert start[62, 7] == 30
    odd = []
    for size in range(1, 114):
        for p in range(14):
            if start[size, p] != floor(Fraction(p * size, 14)):
                odd.append((size, p, "start"))
            if end[size, p] != ceil(Fraction((p + 1) * size, 14)):
                odd.append((size, p, "end"))
    assert odd == [(57, 13, "end"), (62, 7, "start")]


def half_up(value: float) -> int:
    return floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def slow_pool(features: np.ndarray, boxes: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    result = np.zeros((len(boxes), 14, 14, features.shape[-1]), np.float32)
    for r, box in enumerate(boxes):
        x1, y1, x2, y2 = (half_up(value / 16) for value in box)
        spans = []
        for first, last, side in ((y1, y2, cells[0]), (x1, x2, cells[1])):
            q = np.float32(max(last - first + 1, 1)) / np.float32(14)
            edges = [(floor(np.float32(p) * q), ceil(np.float32(p + 1) * q)) for p in range(14)]
            spans.append([[min(max(first + edge, 0), side) for edge in pair] for pair in edges])
        for i, (top, bottom) in enumerate(spans[0]):
            for j, (left, right) in enumerate(spans[1]):
                if top < bottom and left < right:
                    result[r, i, j] = features[top:bottom, left:right].max((0, 1))
    return result


_pool = jax.jit(regions.pool)
_pool_row = jax.jit(lambda features, boxes: regions.pool(features, boxes, jnp.array([1, 64])))


@FEW
@given(SEEDS, st.integers(1, 9), st.integers(1, 67))
def test_pooling(seed, rows, columns):
    """Some of the 9 x 67 cells lie outside the image. They hold larger values, which must not be seen."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (9, 67, 2)).astype(np.float32)
    features[rows:] += 100
    features[:, columns:] += 100
    boxes = random_boxes(rng, 8, 16 * rows, 16 * columns)
    boxes[4:] = np.round(boxes[4:] / 8) * 8  # halves of cells
    boxes[0] = [0, 0, 16 * columns - 1, 16 * rows - 1]
    cells = (rows, columns)
    np.testing.assert_array_equal(_pool(features, boxes, np.array(cells)), slow_pool(features, boxes, cells))


def test_pooling_rounds_halves_away_from_zero():
    """8 px is cell 1 and 24 px is cell 2: a box between them holds cells 1 and 2 (to even: 0 to 2)."""
    features = np.array([9, 1, 2, 9], np.float32)[None, :, None]
    features = np.pad(features, [(0, 0), (0, 60), (0, 0)])
    pooled = _pool_row(features, np.array([[8, 0, 24, 0]], np.float32))
    np.testing.assert_array_equal(pooled[0, 0, :, 0], [1] * 7 + [2] * 7)


@pytest.mark.parametrize(("width", "bin_", "lost"), [(57, 13, 57), (62, 7, 30)])
def test_pooling_of_the_widths_where_float32_shows(width, bin_, lost):
    """The largest value of the bin is in the one cell that exact fractions would leave out."""
    features = np.zeros((1, 64, 1), np.float32)
    features[0, lost] = 1
    box = np.array([[0, 0, 16 * (width - 1), 0]], np.float32)
    assert _pool_row(features, box)[0, 0, bin_, 0] == 1


def test_a_bin_beyond_the_map_is_zero():
    features = np.full((1, 64, 1), -1, np.float32)
    pooled = _pool_row(features, np.array([[63 * 16, 0, 64 * 16, 0]], np.float32))
    np.testing.assert_array_equal(pooled[0, 0, :, 0], [-1] * 7 + [0] * 7)


R, C = 12, 7
_confidence = jax.jit(regions.confidence)


@FEW
@given(SEEDS, st.integers(0, R), st.booleans())
def test_confidence(seed, count, coarse):
    """Class by class; of equal probabilities the first wins; rows after the count neither exclude others nor count."""
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, R, 60, 60)
    probabilities = rng.uniform(0, 1, (R, C)).astype(np.float32)
    probabilities = np.round(probabilities * 4) / 4 if coarse else probabilities
    expected = np.zeros(count, np.float32)
    for c in range(C):
        for i in survivors(boxes[:count], probabilities[:count, c], 0.3):
            expected[i] = max(expected[i], probabilities[i, c])
    found = np.asarray(_confidence(boxes, probabilities, count))
    np.testing.assert_array_equal(found[:count], expected)
    assert (found[count:] == -1).all()


@pytest.mark.parametrize(
    ("confidence", "limits", "expected"),
    [
        ([0.1, 0.3, 0.2, 0.9, 0.15], (1, 4), [1, 2, 3]),  # in their order; 0.2 is enough
        ([0.1, 0.3, 0.2, 0.9, 0.15], (4, 5), [3, 1, 2, 4]),  # too few
        ([0.1, 0.3, 0.2, 0.9, 0.15], (1, 2), [3, 1]),  # too many
        ([0.1, 0.3, 0.2, 0.9, 0.15], (3, 3), [1, 2, 3]),  # just right
        ([0.3, 0.5, 0.5, 0.3], (1, 3), [1, 2, 0]),  # equals: the first comes first
        ([0.05, 0.1, -1, -1], (3, 4), [1, 0]),  # fewer than asked for
        ([-1, -1, -1], (1, 2), []),
    ],
)
def test_choice(confidence, limits, expected):
    confidence = np.array(confidence, np.float32)
    keep, count = regions.choose(confidence, (confidence >= 0).sum(), *limits)
    assert np.asarray(keep)[: int(count)].tolist() == expected
    assert len(keep) == min(len(confidence), limits[1])


def test_limits_in_the_wrong_order():
    with pytest.raises(ValueError, match="min_boxes 5 is more than max_boxes 4"):
        regions.choose(np.zeros(9, np.float32), 9, 5, 4)
