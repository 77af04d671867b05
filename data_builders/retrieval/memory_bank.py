"""The memory bank of an account and what of it a query may see (section 3.2.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from data_builders.groups import DAY, TRAIN, KeptGroups, kept_groups, split_of

EXCLUDE = ("group", "post", "none")


@dataclass(frozen=True)
class AccountImages:
    """Images of one account, sorted by (time, post id, position in the post): I images.

    Attributes:
      post: i32 [I], index of the image's post in the account; posts are numbered by (time, post id).
      time: i64 [I], UTC seconds, the post's.
      likes: i64 [I], the post's, at least 1.
      group: i32 [I], kept group, -1 where the post is in none.
      split: i8 [I], 0 train, 1 validation, 2 test, -1 where the post is in no kept group.
      image_id: str [I], unique within the account.
      post_id: str [I].
    """

    post: np.ndarray
    time: np.ndarray
    likes: np.ndarray
    group: np.ndarray
    split: np.ndarray
    image_id: np.ndarray
    post_id: np.ndarray

    def __len__(self) -> int:
        return len(self.post)

    def rows(self, index: np.ndarray) -> "AccountImages":
        """The images at `index` (positions or bool mask), in its order."""
        return AccountImages(*(getattr(self, field.name)[index] for field in fields(self)))


def account_images(
    account: str,
    post_id: Sequence[str],
    time: Sequence[int],
    likes: Sequence[int],
    image_ids: Sequence[Sequence[str]],
    options: Mapping[str, Any],
) -> tuple[AccountImages, KeptGroups]:
    """Groups, splits and flattens one account's posts.

    Args:
      post_id, time, likes, image_ids: one entry a post, sorted by (time, post id); times in UTC seconds, image ids in
        the order of the post.
      options: `config.data` as nested dict; reads posts.min_age_days, groups, pairs and split.

    Raises:
      ValueError: posts not sorted, a post without images, or an image id that stands twice; names the account.
    """
    keys = list(zip(time, post_id, strict=True))
    if keys != sorted(keys):
        raise ValueError(f"account {account}: posts must be sorted by (time, post id)")
    post_images = np.array([len(ids) for ids in image_ids], np.int64)
    if np.any(post_images == 0):
        raise ValueError(f"account {account}: post {post_id[int(post_images.argmin())]} has no image")
    flat = np.array([image for ids in image_ids for image in ids], dtype=str)
    names, times = np.unique(flat, return_counts=True)
    if np.any(times > 1):
        raise ValueError(f"account {account}: image id {names[times.argmax()]} stands twice; ids must be unique")

    kept = kept_groups(np.asarray(time), np.asarray(likes), post_images, options)
    seed, by = options["split"]["seed"], options["split"]["by"]
    splits = np.array([split_of(account, post_id[p], seed, by) for p in kept.first_post] + [-1], np.int8)
    post = np.repeat(np.arange(len(post_images), dtype=np.int32), post_images)
    images = AccountImages(
        post=post,
        time=np.asarray(time, np.int64)[post],
        likes=np.asarray(likes, np.int64)[post],
        group=kept.group[post],
        split=splits[kept.group][post],  # group -1 reads the -1 at the end
        image_id=flat,
        post_id=np.array(post_id, dtype=str)[post],
    )
    return images, kept


def in_bank(images: AccountImages, split_by: str) -> np.ndarray:
    """bool [I]: images of kept train groups; of all kept groups where the split is by account.

    Raises:
      ValueError: `split_by` is neither "group" nor "account".
    """
    if split_by not in ("group", "account"):
        raise ValueError(f"config.data.split.by is {split_by!r}; it must be group or account")
    kept = images.group >= 0
    return kept if split_by == "account" else kept & (images.split == TRAIN)


def visible(query: AccountImages, bank: AccountImages, memory: Mapping[str, Any], split_by: str) -> np.ndarray:
    """What each query may see: bool [Q, M].

    A train query does not see its own group ("group"), its own post ("post") or sees all ("none", the leak itself).
    Validation and test queries never see their own group. `past_only` leaves only posts of before the query, by more
    than `min_lag_days`, on top of that.

    Args:
      query, bank: images (or one image a post) of one account. A photo outside the account's posts has group -1.
      memory: `config.data.memory`.

    Raises:
      ValueError: an unknown `exclude` or `split_by`.
    """
    exclude = memory["exclude"]
    if exclude not in EXCLUDE:
        raise ValueError(f"config.data.memory.exclude is {exclude!r}; it must be one of {', '.join(EXCLUDE)}")
    own_group = query.group[:, None] == bank.group
    hidden = own_group
    if exclude != "group":
        train = (query.split == TRAIN)[:, None]
        own_post = query.post[:, None] == bank.post
        hidden = np.where(train, own_post if exclude == "post" else False, own_group)
    seen = in_bank(bank, split_by) & ~hidden
    if memory["past_only"]:
        seen &= query.time[:, None] - bank.time > memory["min_lag_days"] * DAY
    return seen


def newest(seen: np.ndarray, most: int) -> np.ndarray:
    """The `most` newest of the posts that each kind of query sees, bool [V, M], posts in order of time; -1: all."""
    if most < 0:
        return seen
    return seen & (np.cumsum(seen[:, ::-1], axis=1)[:, ::-1] <= most)


def viewers(query: AccountImages, memory: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Queries that see the same bank: the members of a group, or the images of a post where times or posts matter.

    Returns:
      rows [V], one query of each kind, and viewer [Q], the kind of each query: visible(query) equals
      visible(query.rows(rows))[viewer].
    """
    shared = query.group if memory["exclude"] == "group" and not memory["past_only"] else query.post
    _, rows, viewer = np.unique(shared, return_index=True, return_inverse=True)
    return rows, viewer
