"""The bottom-up detector between its convolutions: anchors, proposals, region pooling, the choice of regions.

Follows peteanderson80/bottom-up-attention (MIT) and MILVLG/bottom-up-attention.pytorch (Apache-2.0).
Boxes are float32 (x1, y1, x2, y2) in pixels. Both ends belong to the box, so its width is x2 - x1 + 1. You can jit all
functions that take jax arrays. A list of varying length is a fixed number of rows and a count of the real ones.
Shapes: h w the sides of a map, of 16 px cells; A anchors; R regions; C classes, background not among them.
"""

from functools import lru_cache, reduce
from math import log, sqrt

import jax
import jax.numpy as jnp
import numpy as np

STRIDE = 16  # px per cell
SIDE = 14  # bins of a pooled region, per axis
LARGEST = log(1000 / 16)  # predicted logarithm of a size
SMALLEST = 16  # px of the original photo; a proposal must be larger


def _anchors() -> np.ndarray:
    boxes = []
    for ratio in (0.5, 1, 2):
        width = round(sqrt(STRIDE**2 / ratio))
        for side in np.array([[width, round(width * ratio)]]) * np.array([[4], [8], [16], [32]]):
            centre, reach = (STRIDE - 1) / 2, (side - 1) / 2
            boxes.append([*(centre - reach), *(centre + reach)])
    return np.array(boxes, np.float32)


ANCHORS = _anchors()  # [12, 4] of the cell at the origin: three ratios h / w, four sizes of each


def decode(deltas: jax.Array, boxes: jax.Array) -> jax.Array:
    """Moves and scales boxes [..., 4] by predicted (dx, dy, dw, dh) [..., 4].

    As in the original, no 1 is subtracted at the end, so deltas of zero move x2 and y2 by a pixel.
    """
    sizes = boxes[..., 2:] - boxes[..., :2] + 1
    centres = deltas[..., :2] * sizes + (boxes[..., :2] + sizes / 2)
    reach = sizes * jnp.exp(jnp.minimum(deltas[..., 2:], LARGEST)) / 2
    return jnp.concatenate([centres - reach, centres + reach], -1)


def clip(boxes: jax.Array, size: jax.Array) -> jax.Array:
    """Cuts boxes [..., 4] to an image of `size` (rows, columns)."""
    last = (size - 1).astype(boxes.dtype)[::-1]
    return jnp.clip(boxes, 0, jnp.concatenate([last, last]))


def overlaps(boxes: jax.Array, others: jax.Array) -> jax.Array:
    """Returns the intersection over union of boxes [..., 4] and others [..., 4], broadcast: [...]."""
    low, high = jnp.maximum(boxes[..., :2], others[..., :2]), jnp.minimum(boxes[..., 2:], others[..., 2:])
    shared = jnp.maximum(high - low + 1, 0).prod(-1)
    return shared / (_area(boxes) + _area(others) - shared)


def _area(boxes: jax.Array) -> jax.Array:
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(-1)


def propose(
    logits: jax.Array,
    deltas: jax.Array,
    size: jax.Array,
    cells: jax.Array,
    scale: jax.Array,
    candidates: int = 6000,
    proposals: int = 300,
    threshold: float = 0.7,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Proposes regions of one image, the best first.

    Args:
      logits: [h, w, 2 A], the logits "background" of all anchors, then the logits "object".
      deltas: [h, w, 4 A], see `decode`.
      size, cells: int [2], rows and columns of the image without padding, in pixels and in cells of the map.
      scale: im_scale, network pixels per original pixel.
      candidates: how many boxes, those with the highest scores, are compared.
      proposals: rows of the result.
      threshold: if two boxes overlap by at least this much, the better one excludes the other.

    Returns:
      Boxes [proposals, 4] in network pixels, scores [proposals] in (0, 1), and the count [] int32 of real rows.
    """
    h, w = logits.shape[:2]
    logits, deltas = logits.astype(jnp.float32), deltas.astype(jnp.float32)
    y, x = jnp.arange(h)[:, None, None], jnp.arange(w)[None, :, None]
    corners = jnp.concatenate(jnp.broadcast_arrays(x[..., None], y[..., None]), -1) * STRIDE  # [h, w, 1, 2]
    boxes = decode(deltas.reshape(h, w, -1, 4), jnp.asarray(ANCHORS) + jnp.concatenate([corners, corners], -1))
    boxes = clip(boxes, size)
    background, object_ = jnp.split(logits, 2, -1)
    scores = jax.nn.sigmoid(object_ - background)  # the softmax over the two
    sides = boxes[..., 2:] - boxes[..., :2]
    real = (y < cells[0]) & (x < cells[1]) & ((sides > 0) & (sides + 1 > SMALLEST * scale)).all(-1)
    scores = jnp.where(real, scores, -1).ravel()

    scores, order = jax.lax.top_k(scores, min(candidates, scores.size))  # of equal scores, the first comes first
    boxes = boxes.reshape(-1, 4)[order]

    def step(alive, _):  # a box that stays excludes others; most candidates never get a turn
        best = jnp.argmax(alive)
        return alive & (overlaps(boxes[best], boxes) < threshold), (best, alive[best])

    _, (best, found) = jax.lax.scan(step, scores >= 0, length=proposals)
    boxes, scores = jnp.where(found[:, None], boxes[best], 0), jnp.where(found, scores[best], 0)
    return boxes, scores, found.sum(dtype=jnp.int32)


def pool(features: jax.Array, boxes: jax.Array, cells: jax.Array) -> jax.Array:
    """RoIPool: takes the largest value of each bin of each region; a bin without a cell gets 0.

    Args:
      features: [h, w, channels], one image's map.
      boxes: [R, 4] in network pixels, inside the image.
      cells: int [2], rows and columns of the map that belong to the image.

    Returns:
      [R, SIDE, SIDE, channels].
    """
    h, w, channels = features.shape
    # Two intervals of 2^k cells cover any interval. So if the maxima of all squares of 2^k x 2^l cells are known, a bin
    # reads four vectors, whatever its size.
    squares = _doubled(_doubled(features, 0, h), 2, w)  # [K, h, L, w, channels]
    wide = squares.shape[2]
    squares = squares.reshape(-1, channels)

    corners = (jnp.sign(boxes) * jnp.floor(jnp.abs(boxes) / STRIDE + 0.5)).astype(jnp.int32)  # halves away from zero
    y, y_level, y_any = _covers(corners[:, 1], corners[:, 3], h, cells[0])
    x, x_level, x_any = _covers(corners[:, 0], corners[:, 2], w, cells[1])
    y = (y_level * h + y) * wide  # [2, R, SIDE]
    quarters = [squares[((row[:, :, None] + x_level[:, None]) * w + column[:, None])] for row in y for column in x]
    return jnp.where((y_any[:, :, None] & x_any[:, None])[..., None], reduce(jnp.maximum, quarters), 0)


@lru_cache
def bins(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first cell of each of SIDE bins and the one after the last, both [side + 2, SIDE] int32.

    They are counted from a region's first cell. Row n is for regions of n cells (row 0 for none), on a map of `side`
    cells. The original divides in float32. Under jit, XLA would multiply by the reciprocal, and some bins would grow by
    a cell.
    """
    size = np.arange(side + 2, dtype=np.float32)[:, None] / np.float32(SIDE)
    p = np.arange(SIDE, dtype=np.float32)
    return np.floor(p * size).astype(np.int32), np.ceil((p + 1) * size).astype(np.int32)


def _levels(side: int) -> int:
    """Returns how many powers of two the bins of a map of `side` cells need."""
    start, end = bins(side)
    return int(min((end - start).max(), side)).bit_length()


def _doubled(values: jax.Array, axis: int, side: int) -> jax.Array:
    """Returns the maxima of the next 1, 2, 4, ... values along an axis, stacked before that axis."""
    levels = [values]
    for k in range(_levels(side) - 1):  # no region reads what rolls over the end
        levels.append(jnp.maximum(levels[-1], jnp.roll(levels[-1], -(2**k), axis)))
    return jnp.stack(levels, axis)


def _covers(first: jax.Array, last: jax.Array, side: int, valid: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cells [R] where regions begin and end -> for each bin the starts [2, R, SIDE] of two intervals that cover it, the
    logarithm [R, SIDE] of their length, and whether the bin has a cell [R, SIDE]."""
    size = jnp.clip(last - first + 1, 1, side + 1)
    start, end = (jnp.clip(first[:, None] + jnp.asarray(table)[size], 0, valid) for table in bins(side))
    powers = np.array([max(n, 1).bit_length() - 1 for n in range(side + 2)], np.int32)
    level = jnp.asarray(powers)[end - start]
    return jnp.stack([start, end - (1 << level)]), level, end > start


def confidence(boxes: jax.Array, probabilities: jax.Array, count: jax.Array, threshold: float = 0.3) -> jax.Array:
    """Returns each box's largest probability among the classes in which no better box excludes it.

    Args:
      boxes: [R, 4] in pixels of the original photo.
      probabilities: [R, C], without the background's.
      count: int [], how many boxes are real.
      threshold: if two boxes overlap by at least this much, the more probable one excludes the other in a class.

    Returns:
      [R] float32, -1 from `count` on.
    """
    number = jnp.arange(len(boxes))
    real = number < count
    excludes = (overlaps(boxes[:, None], boxes) >= threshold) & (number[:, None] != number)  # the same for all classes
    probabilities = jnp.where(real[:, None], probabilities, -1).T  # [C, R]
    order = jnp.argsort(-probabilities, stable=True).T  # [R, C]

    def step(alive, turn):  # of one box in every class
        stays = jnp.take_along_axis(alive, turn[:, None], 1)
        return alive & ~(stays & excludes[turn]), None

    alive, _ = jax.lax.scan(step, jnp.broadcast_to(real, probabilities.shape), order)
    return jnp.where(real, jnp.where(alive, probabilities, 0).max(0), -1)


def choose(
    confidence: jax.Array, count: jax.Array, min_boxes: int = 10, max_boxes: int = 100, threshold: float = 0.2
) -> tuple[jax.Array, jax.Array]:
    """Chooses the boxes of an image by the released extractor's rule.

    The rule takes the boxes with a confidence of at least `threshold`, in the order in which they come. If these are
    fewer than `min_boxes` or more than `max_boxes`, it takes that many by descending confidence.

    Args:
      confidence: [R], -1 from `count` on.
      count: int [], how many boxes are real.

    Returns:
      The indices [min(R, max_boxes)] int32, and the count [] int32 of rows that are real.

    Raises:
      ValueError: min_boxes > max_boxes.
    """
    if min_boxes > max_boxes:
        raise ValueError(f"choose: min_boxes {min_boxes} is more than max_boxes {max_boxes}")
    good = confidence >= threshold
    fits = (good.sum() >= min_boxes) & (good.sum() <= max_boxes)
    order = jnp.argsort(jnp.where(fits, ~good, -confidence), stable=True)
    chosen = jnp.minimum(jnp.clip(good.sum(), min_boxes, max_boxes), count)
    return order[:max_boxes].astype(jnp.int32), chosen.astype(jnp.int32)
