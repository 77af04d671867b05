"""A control: likes shuffled between posts (data.shuffle_likes). No honest evaluation scores above chance on them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_builders.groups import TRAIN, VALIDATION, assign_groups, split_of


def shuffle(
    account: str,
    post_id: Sequence[str],
    time: Sequence[int],
    likes: Sequence[int],
    post_images: Sequence[int],
    groups: Mapping[str, Any],
    split: Mapping[str, Any],
) -> np.ndarray:
    """Shuffles the likes of an account's train posts among themselves, and those of its validation posts.

    Test posts keep their likes, so the test groups and pairs do not change. The draw depends on split.seed and the
    account alone.

    Args:
      account, post_id, time, likes: as memory_bank.account_images.
      post_images: number of images of each post [P].
      groups, split: config.data.groups and config.data.split.

    Returns:
      i64 [P], the likes.
    """
    by, seed = split["by"], split["seed"]
    walked = assign_groups(np.asarray(time), np.asarray(post_images), groups["window_days"], groups["max_images"])
    numbers, first = np.unique(walked, return_index=True)
    splits = {n: split_of(account, post_id[int(p)], seed, by) for n, p in zip(numbers, first, strict=True) if n >= 0}
    of_post = np.array([splits.get(number, -1) for number in walked.tolist()])
    shuffled = np.array(likes, np.int64)
    for name in (TRAIN, VALIDATION):
        rows = np.flatnonzero(of_post == name)
        key = hashlib.sha256(f"{seed}|{account}|{name}".encode()).digest()[:8]
        order = np.random.default_rng(int.from_bytes(key, "big")).permutation(len(rows))
        shuffled[rows] = shuffled[rows[order]]
    return shuffled
