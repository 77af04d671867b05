"""The local score of a retrieved post: its likes over the mean likes around its time (eq. 2 and 3, section 3.2.2)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_builders.groups import seconds


def local_scores(
    time: np.ndarray, likes: np.ndarray, seen: np.ndarray, memory: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The local score of every post r for every kind of query q (eq. 3).

    A_r (eq. 2) holds the posts m that q may see with |t_r - t_m| < `window_days`. It includes r itself unless
    `mean_includes_retrieved` is off; then the score of a post without others is 1.

    Args:
      time: i64 [M], UTC seconds, one entry per *post*, ascending.
      likes: i64 [M], at least 1.
      seen: bool [V, M], the posts that each kind of query may see.
      memory: `config.data.memory`; reads window_days and mean_includes_retrieved.

    Returns:
      The local scores, f64 [V, M], and |A_r|, i32 [V, M]. Both are 0 where q may not see r.

    Raises:
      ValueError: the times are not ascending, or `window_days` is not above 0.
    """
    if memory["window_days"] <= 0:
        raise ValueError(f"config.data.memory.window_days is {memory['window_days']}: set it above 0")
    if np.any(np.diff(time) < 0):
        raise ValueError("the posts are not in order: their times must be ascending")
    window = max(1, seconds(memory["window_days"]))  # a post is less than any window from itself
    low = np.searchsorted(time, time - window, side="right")
    high = np.searchsorted(time, time + window, side="left")
    counted = np.where(seen, likes, 0)  # i64: sums of likes are exact
    total = _between(counted, low, high)
    count = _between(seen.astype(np.int64), low, high)
    if not memory["mean_includes_retrieved"]:
        total, count = total - counted, count - seen
    mean = np.maximum(total, 1) / np.maximum(count, 1)
    local = np.where(count > 0, likes / mean, 1.0)
    return np.where(seen, local, 0.0), np.where(seen, count, 0).astype(np.int32)


def similarity_weighted(similarity: np.ndarray, local: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean log local score by similarity, float64 [N].

    Args:
      similarity, local: S and local score of each slot, float [N, K].
      mask: bool [N, K], slots that hold an image.
    """
    weight = np.where(mask, similarity, 0)
    total = weight.sum(axis=1)
    logs = (weight * np.log(np.where(mask, local, 1))).sum(axis=1)
    return np.divide(logs, total, out=np.zeros(len(total)), where=total > 0)


def _between(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Sums of values[:, low:high] for each column, [V, M], by one cumulative sum."""
    sums = np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))
    return sums[:, high] - sums[:, low]
