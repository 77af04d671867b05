"""Likes without their meaning: a control that no honest evaluation may score above chance (data.shuffle_likes)."""

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
    options: Mapping[str, Any],
) -> np.ndarray:
    """i64 [P]: likes with those of the account's train posts drawn among themselves, its validation posts' likewise.

    Test posts keep theirs, so that test groups and pairs are those of the data set as it is. The draw is a function
    of split.seed and the account.

    Args:
      account, post_id, time, likes: as memory_bank.account_images; post_images: images of each post.
      options: `config.data` as nested dict; reads groups and split.
    """
    groups, by, seed = options["groups"], options["split"]["by"], options["split"]["seed"]
    walked = assign_groups(np.asarray(time), np.asarray(post_images), groups["window_days"], groups["max_images"])
    numbers, first = np.unique(walked, return_index=True)
    split = {n: split_of(account, post_id[p], seed, by) for n, p in zip(numbers, first.tolist(), strict=True) if n >= 0}
    of_post = np.array([split.get(number, -1) for number in walked.tolist()])
    shuffled = np.array(likes, np.int64)
    for name in (TRAIN, VALIDATION):
        rows = np.flatnonzero(of_post == name)
        key = hashlib.sha256(f"{seed}|{account}|{name}".encode()).digest()[:8]
        order = np.random.default_rng(int.from_bytes(key, "big")).permutation(len(rows))
        shuffled[rows] = shuffled[rows[order]]
    return shuffled
