"""Boxes at random, and non-maximum suppression one box at a time."""

import numpy as np


def random_boxes(rng: np.random.Generator, count: int, height: float, width: float) -> np.ndarray:
    ends = np.sort(rng.uniform(0, 1, (count, 2, 2)), 1).reshape(count, 4)
    return (ends * [width - 1, height - 1, width - 1, height - 1]).astype(np.float32)


def overlap(a: np.ndarray, b: np.ndarray) -> np.float32:
    one = np.float32(1)
    area_a, area_b = ((box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b))
    width = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]) + one)
    height = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]) + one)
    return width * height / (area_a + area_b - width * height)


def survivors(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Non-maximum suppression: the places that stay, by descending score; of equals the lower one goes first."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(overlap(boxes[k], boxes[i]) < threshold for k in kept):
            kept.append(i)
    return kept
