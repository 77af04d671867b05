"""Ranks with ties, as scipy.stats.rankdata gives them: to load scipy.stats takes about half as long as to load jax."""

import numpy as np


def average_ranks(values: np.ndarray, times: np.ndarray | int = 1) -> np.ndarray:
    """float64 [..., n]: ranks from 1 up along the last axis of values [..., n]; equal values share their mean rank.

    Each value counts as if it occurred `times`, whole numbers of a shape that broadcasts to that of the values.
    """
    order = np.argsort(values, axis=-1)
    ordered, counts = (np.take_along_axis(v, order, -1) for v in (values, np.broadcast_to(times, values.shape)))
    through = np.cumsum(counts, axis=-1)
    differs = ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*values.shape[:-1], 1), bool)
    first, last = np.concatenate([edge, differs], -1), np.concatenate([differs, edge], -1)  # of a run of equal values
    before = np.maximum.accumulate(np.where(first, through - counts, 0), axis=-1)
    until = np.minimum.accumulate(np.where(last, through, np.inf)[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (before + until + 1) / 2, axis=-1)
    return ranks
