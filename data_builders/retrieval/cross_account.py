"""Short histories: train images of other accounts fill the slots that an account's own memory bank leaves empty.

This is the paper's future work, `memory.fallback = "cross_account"`. An exact search by the cosine parts of eq. 1 finds
the best CANDIDATES; the whole of S, with the pose, then ranks these. The local score of another account's post compares
its likes with those of its own account (eq. 3), so it means the same for every account: how well such a photo does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from data_builders.features.features import Features
from data_builders.groups import TRAIN, seconds
from data_builders.retrieval.accounts import Account
from data_builders.retrieval.local_score import local_scores
from data_builders.retrieval.memory_bank import AccountImages
from data_builders.retrieval.similarity import cosine_similarity, similarity
from data_builders.retrieval.top_k import DECIMALS, Retrieved

CANDIDATES = 64  # images per query that are ranked again with the pose
BLOCK = 1 << 14  # images of the pool compared at once


class Store(Protocol):
    """What gives the features of images: features.reader.FeatureReader."""

    def load(self, account: str, image_ids: Sequence[str]) -> Features: ...


@dataclass(frozen=True)
class Pool:
    """The M train images of all accounts, newest first, then by account and image id: this order decides ties.

    They are in memory with their features: 4 * (D + E) bytes per image and its people.

    Attributes:
      names: of the accounts, ascending.
      account: i32 [M], index into `names`.
      post: i32 [M], index of the image's post in `histories` of its account.
      time: i64 [M], UTC seconds.
      image_id: str [M].
      features: of the M images.
      histories: for each account (time, likes), i64, of its train posts in order of time.
    """

    names: list[str]
    account: np.ndarray
    post: np.ndarray
    time: np.ndarray
    image_id: np.ndarray
    features: Features
    histories: list[tuple[np.ndarray, np.ndarray]]

    def key(self, image: int) -> str:
        """ACCOUNT/IMAGE_ID: the name of an image in the examples of another account."""
        return f"{self.names[self.account[image]]}/{self.image_id[image]}"


def make_pool(accounts: Iterable[Account], store: Store) -> Pool:
    """The pool of all accounts, which come with names ascending.

    Raises:
      KeyError: the store lacks the features of an image.
    """
    names, columns, loaded, histories = [], [], [], []
    for account in accounts:
        images = account.images.rows(account.images.split == TRAIN)
        if not len(images):
            continue
        _, first, post = np.unique(images.post, return_index=True, return_inverse=True)
        number = np.full(len(images), len(names), np.int32)
        columns.append((number, post.astype(np.int32), images.time, images.image_id))
        loaded.append(store.load(account.name, images.image_id.tolist()))
        histories.append((images.time[first], images.likes[first]))
        names.append(account.name)
    account, post, time, image_id = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((image_id, account, -time))
    return Pool(
        names, account[order], post[order], time[order], image_id[order], _together(loaded).rows(order), histories
    )


def fill(
    retrieved: Retrieved,
    account: str,
    images: AccountImages,
    features: Features,
    pool: Pool,
    options: Mapping[str, Any],
    split: int | None = None,
) -> tuple[Retrieved, np.ndarray]:
    """Fills the empty slots of queries that see fewer than `memory.fallback_below` posts of their own account.

    The slots take no image of the query's own account and no post twice. Under `past_only` both the images and the
    posts of their means are older than the query by more than `min_lag_days`.

    Args:
      retrieved: what all I images of the account retrieve, as top_k.retrieve gives it for `split`.
      account: the account's name.
      images, features: the account's, in the same order.
      pool: the images of all accounts.
      options: `config.data` as a nested dict; reads memory, similarity and pose.
      split: only images of this split are queries; None: all.

    Returns:
      The filled Retrieved, whose `index` stays -1 in a filled slot, and the keys (Pool.key) of the filled slots, str
      objects [I, K], "" elsewhere.
    """
    free = retrieved.mask.shape[1] - retrieved.mask.sum(axis=1)
    short = retrieved.bank < options["memory"]["fallback_below"]
    asked = (images.group >= 0) & (split is None or images.split == split)
    queries = np.flatnonzero(asked & short & (free > 0))
    keys = np.full(retrieved.mask.shape, "", object)
    filled = replace(retrieved, **{name: getattr(retrieved, name).copy() for name in _FILLED})
    if not len(queries):
        return filled, keys
    candidates = _nearest(account, images.time[queries], features.rows(queries), pool, options)
    for query, near in zip(queries.tolist(), candidates, strict=True):
        asks = features.rows(np.array([query]))
        parts = similarity(
            asks, pool.features.rows(near), options["similarity"], options["pose"]["keypoint_threshold"]
        )[:, 0]
        slot, taken = int(retrieved.mask[query].sum()), set()  # a query's own images come first
        for at in np.argsort(-np.round(parts[0], DECIMALS), kind="stable").tolist():
            image = int(near[at])
            post = (int(pool.account[image]), int(pool.post[image]))
            if slot == filled.mask.shape[1]:
                break
            if post in taken:
                continue
            taken.add(post)
            keys[query, slot] = pool.key(image)
            filled.similarity[query, slot] = parts[:, at]
            local, count = _local(*post, int(images.time[query]), pool, options["memory"])
            filled.local_score[query, slot], filled.count[query, slot] = local, count
            filled.mask[query, slot] = True
            slot += 1
    return filled, keys


_FILLED = ("similarity", "local_score", "count", "mask")


def _nearest(
    account: str, times: np.ndarray, query: Features, pool: Pool, options: Mapping[str, Any]
) -> list[np.ndarray]:
    """The images of the pool nearest to each query by the cosine parts, at most CANDIDATES, in the pool's order."""
    weights, memory = options["similarity"], options["memory"]
    own = pool.names.index(account) if account in pool.names else -1
    best = np.zeros((len(query), 0), np.int64)
    scores = np.zeros((len(query), 0))
    for begin in range(0, len(pool.time), BLOCK):
        rows = slice(begin, begin + BLOCK)
        block = pool.features.rows(rows)
        score = np.zeros((len(query), len(block)))
        for part in ("background", "caption"):
            if weights[part] > 0:
                score += weights[part] * cosine_similarity(getattr(query, part), getattr(block, part))
        seen = np.broadcast_to(pool.account[rows] != own, score.shape)
        if memory["past_only"]:
            seen = seen & (times[:, None] - pool.time[rows] > seconds(memory["min_lag_days"]))
        here = np.broadcast_to(np.arange(begin, begin + len(block)), score.shape)
        best = np.concatenate([best, here], axis=1)
        scores = np.concatenate([scores, np.where(seen, np.round(score, DECIMALS), -np.inf)], axis=1)
        kept = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES], axis=1)
        best, scores = (np.take_along_axis(values, kept, axis=1) for values in (best, scores))
    return [images[np.isfinite(score)] for images, score in zip(best, scores, strict=True)]


def _local(account: int, post: int, time: int, pool: Pool, memory: Mapping[str, Any]) -> tuple[float, int]:
    """The local score and |A_r| (eq. 2, 3) of a post among its account's train posts, for a query of this time."""
    times, likes = pool.histories[account]
    seen = np.ones((1, len(times)), bool)
    if memory["past_only"]:
        seen = (time - times > seconds(memory["min_lag_days"]))[None]
    local, count = local_scores(times, likes, seen, memory)
    return float(local[0, post]), int(count[0, post])


def _together(parts: Sequence[Features]) -> Features:
    """The features of several accounts as one; the people of each image are padded to the largest number."""

    def joined(name: str) -> np.ndarray | None:
        arrays = [array for part in parts if (array := getattr(part, name)) is not None]
        if not arrays:  # the store lacks the part
            return None
        if name in ("keypoints", "boxes"):
            most = max(array.shape[1] for array in arrays)
            arrays = [np.pad(a, [(0, 0), (0, most - a.shape[1])] + [(0, 0)] * (a.ndim - 2)) for a in arrays]
        return np.concatenate(arrays)

    return replace(parts[0], **{field.name: joined(field.name) for field in fields(Features)})
