"""The Top-K of the memory bank for each query, with similarities and local scores (section 3.2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from data_builders.features.features import Features
from data_builders.groups import TEST
from data_builders.retrieval.local_score import local_scores
from data_builders.retrieval.memory_bank import AccountImages, in_bank, newest, viewers, visible
from data_builders.retrieval.similarity import Comparison

DECIMALS = 6  # of S in the ranking: smaller differences are rounding noise
CHUNK = 1 << 21  # query-bank pairs held at once, so that memory is bounded for accounts of any size


@dataclass(frozen=True)
class Retrieved:
    """What Q queries retrieve, in rank order. The K pairs (similarity[..., 0], local_score) are F_loc of eq. 4.

    Attributes:
      index: i32 [Q, K], position of the retrieved image among the account's images, -1 where the slot is empty.
      similarity: f64 [Q, K, 4], S (unrounded), pose, background, caption.
      local_score: f64 [Q, K], eq. 3.
      count: i32 [Q, K], |A_r| of eq. 2.
      mask: bool [Q, K], False for an empty slot, whose other values are 0.
      bank: i32 [Q], number of posts of the bank that the query sees.
    """

    index: np.ndarray
    similarity: np.ndarray
    local_score: np.ndarray
    count: np.ndarray
    mask: np.ndarray
    bank: np.ndarray

    def rows(self, index: np.ndarray | slice) -> "Retrieved":
        """What the queries at `index` retrieve: positions or a slice."""
        return Retrieved(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True)
class Sight:
    """What queries see: which images are in the bank, and which of these each query may see (section 3.2.1)."""

    in_bank: Callable[[AccountImages, str], np.ndarray] = in_bank
    visible: Callable[[AccountImages, AccountImages, Mapping[str, Any], str], np.ndarray] = visible


def retrieve(
    images: AccountImages,
    features: Features,
    options: Mapping[str, Any],
    split: int | None = None,
    sight: Sight = Sight(),
) -> Retrieved:
    """The Top-K of each image of one account (Q = I). Images in no kept group retrieve nothing.

    Args:
      images: the account's I images.
      features: of the same images in the same order.
      options: `config.data` as a nested dict; reads memory, similarity, retrieval, pose and split.
      split: only images of this split are queries, the others retrieve nothing; None: all. The bank is the same.
      sight: what queries see.

    Raises:
      ValueError: images and features differ in number; otherwise as `similarity` and `visible`.
    """
    asked = np.flatnonzero((images.group >= 0) & (split is None or images.split == split))
    found = _search(images.rows(asked), features.rows(asked), images, features, options, sight)
    result = nothing(len(images), options["retrieval"]["k"])
    for name, values in vars(found).items():
        getattr(result, name)[asked] = values
    return result


def retrieve_new(
    times: np.ndarray, query_features: Features, images: AccountImages, features: Features, options: Mapping[str, Any]
) -> Retrieved:
    """The Top-K of photos that are not posted yet. They see the account's whole bank, or under `past_only` its past.

    Args:
      times: i64 [Q], UTC seconds, when each photo would be posted; only used under `past_only`.
      query_features: of the Q photos.
      images, features: the account's I images; `Retrieved.index` points into them.
      options: `config.data` as a nested dict, see `retrieve`.

    Raises:
      ValueError: as `retrieve`.
    """
    photos = len(times)
    queries = AccountImages(
        post=-1 - np.arange(photos, dtype=np.int32),  # a post each, because their times may differ
        time=np.asarray(times, np.int64),
        likes=np.zeros(photos, np.int64),
        group=np.full(photos, -1, np.int32),
        split=np.full(photos, TEST, np.int8),
        image_id=np.full(photos, ""),
        post_id=np.full(photos, ""),
    )
    return _search(queries, query_features, images, features, options, Sight())


def _search(
    query: AccountImages,
    query_features: Features,
    images: AccountImages,
    features: Features,
    options: Mapping[str, Any],
    sight: Sight,
) -> Retrieved:
    for rows, stored in ((query, query_features), (images, features)):
        if len(rows) != len(stored):
            raise ValueError(f"{len(rows)} images, but features of {len(stored)}: give one row of features per image")
    memory, split_by = options["memory"], options["split"]["by"]
    # The bank in the order that decides ties: newer post first, then image id. The first maximum is then the right one.
    ranked = np.lexsort((images.image_id, -images.time))
    ranked = ranked[sight.in_bank(images, split_by)[ranked]]
    bank, bank_features = images.rows(ranked), features.rows(ranked)
    result = nothing(len(query), options["retrieval"]["k"])
    if len(query) == 0 or len(bank) == 0:
        return result

    _, first, bank_post = np.unique(bank.post, return_index=True, return_inverse=True)
    posts = bank.rows(first)  # one image per post: A_r counts posts
    chunk = max(1, CHUNK // len(bank))
    for begin in range(0, len(query), chunk):
        rows = slice(begin, begin + chunk)
        kinds, viewer = viewers(query.rows(rows), memory)
        seen = sight.visible(query.rows(rows).rows(kinds), posts, memory, split_by)  # [V, posts]
        seen = newest(seen, memory["max_posts"])
        result.bank[rows] = seen.sum(axis=1)[viewer]
        local, count = local_scores(posts.time, posts.likes, seen, memory)
        compared = Comparison(
            query_features.rows(rows), bank_features, options["similarity"], options["pose"]["keypoint_threshold"]
        )
        asked, image, slot, parts = best_images(compared, seen[viewer][:, bank_post], bank_post, result.index.shape[1])
        kind, post = viewer[asked], bank_post[image]
        result.index[rows][asked, slot] = ranked[image]
        result.similarity[rows][asked, slot] = parts.T
        result.local_score[rows][asked, slot] = local[kind, post]
        result.count[rows][asked, slot] = count[kind, post]
        result.mask[rows][asked, slot] = True
    return result


def best_images(
    compared: Comparison, seen: np.ndarray, bank_post: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The k best images of each query, a post at most once; of equal ones the first.

    Args:
      compared: Q queries with a bank of M images.
      seen: bool [Q, M], what each query sees.
      bank_post: [M], numbers the posts from 0.

    Returns:
      For N retrieved images the query, the image and the rank from 0, and f64 [4, N], as Comparison.exact.
    """
    asked, image = _candidates(compared, seen, bank_post, k)
    parts = compared.exact(asked, image)
    order = np.lexsort((image, -np.round(parts[0], DECIMALS), asked))
    posts = asked.astype(np.int64) * len(bank_post) + bank_post[image]
    order = order[np.sort(np.unique(posts[order], return_index=True)[1])]  # a post is retrieved at most once
    asked = asked[order]
    rank = np.arange(len(asked)) - np.searchsorted(asked, asked)
    kept = rank < k
    return asked[kept], image[order][kept], rank[kept], parts[:, order[kept]]


def _candidates(compared: Comparison, seen: np.ndarray, bank_post: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(query, image) of all images that may be among the k best: by the rough score, they are not surely worse."""
    score, margin = compared.rough()
    score[~seen] = -np.inf
    by_post = np.argsort(bank_post, kind="stable")
    starts = np.flatnonzero(np.diff(bank_post[by_post], prepend=-1))
    best = score if len(starts) == len(bank_post) else np.maximum.reduceat(score[:, by_post], starts, axis=1)
    if best.shape[1] > k:
        least = np.partition(best, -k, axis=1)[:, -k] - 2 * margin - 2 * 10.0**-DECIMALS
        seen = seen & (score >= least[:, None])
    asked, image = np.nonzero(seen)
    return asked, image


def nothing(queries: int, k: int) -> Retrieved:
    """What queries retrieve from an empty bank: slots that are all empty."""
    return Retrieved(
        index=np.full((queries, k), -1, np.int32),
        similarity=np.zeros((queries, k, 4)),
        local_score=np.zeros((queries, k)),
        count=np.zeros((queries, k), np.int32),
        mask=np.zeros((queries, k), bool),
        bank=np.zeros(queries, np.int32),
    )
