"""The memory bank of an account, and which of its images a query may see (section 3.2.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from data_builders.groups import TRAIN, Assign, KeptGroups, assign_groups, kept_groups, seconds, split_of

EXCLUDE = ("group", "post", "none")


@dataclass(frozen=True)
class AccountImages:
    """The I images of one account, sorted by (time, post id, position in the post).

    Attributes:
      post: i32 [I], index of the image's post in the account; posts are numbered in order of (time, post id).
      time: i64 [I], UTC seconds of the post.
      likes: i64 [I], likes of the post, at least 1.
      group: i32 [I], the kept group of the post, -1 where it is in none.
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

    def rows(self, index: np.ndarray | slice) -> "AccountImages":
        """The images at `index`: positions in any order, a slice or a bool mask."""
        return AccountImages(*(getattr(self, field.name)[index] for field in fields(self)))


def account_images(
    account: str,
    post_id: Sequence[str],
    time: Sequence[int],
    likes: Sequence[int] | np.ndarray,
    image_ids: Sequence[Sequence[str]],
    options: Mapping[str, Any],
    assign: Assign = assign_groups,
) -> tuple[AccountImages, KeptGroups]:
    """Groups one account's posts, draws the split of each group and lists the images.

    Args:
      account: its name.
      post_id, time, likes, image_ids: one entry per post, sorted by (time, post id); times in UTC seconds, image ids
        in the order of the post.
      options: `config.data` as a nested dict; reads posts.min_age_days, groups, pairs and split.
      assign: assigns posts to groups, as groups.assign_groups.

    Raises:
      ValueError: the posts are not sorted, a post has no image, or an image id occurs twice; names the account.
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
        raise ValueError(f"account {account}: image id {names[times.argmax()]} occurs twice; ids must be unique")

    kept = kept_groups(np.asarray(time), np.asarray(likes), post_images, options, assign)
    seed, by = options["split"]["seed"], options["split"]["by"]
    splits = np.array([split_of(account, post_id[int(p)], seed, by) for p in kept.first_post] + [-1], np.int8)
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
    """Which images of an account are in its memory bank (section 3.2.1), bool [I].

    Those of its train groups; of all its kept groups where the split is by account.

    Raises:
      ValueError: `split_by` is neither "group" nor "account".
    """
    if split_by not in ("group", "account"):
        raise ValueError(f"config.data.split.by is {split_by!r}: set it to group or account")
    kept = images.group >= 0
    return kept if split_by == "account" else kept & (images.split == TRAIN)


def visible(query: AccountImages, bank: AccountImages, memory: Mapping[str, Any], split_by: str) -> np.ndarray:
    """Which images of the bank each query may see, bool [Q, M].

    `memory.exclude` says what is hidden from a train query: its own group ("group"), its own post ("post") or nothing
    ("none", a leak by intention). Validation and test queries never see their own group. With `memory.past_only` a
    query sees, of all this, only posts that are older than itself by more than `min_lag_days`.

    Args:
      query: Q images of one account, or photos that it has not posted (their group is -1).
      bank: M images, or one image per post, of the same account.
      memory: `config.data.memory`.
      split_by: `config.data.split.by`.

    Raises:
      ValueError: an unknown `exclude` or `split_by`.
    """
    exclude = memory["exclude"]
    if exclude not in EXCLUDE:
        raise ValueError(f"config.data.memory.exclude is {exclude!r}: set it to one of {', '.join(EXCLUDE)}")
    own_group = query.group[:, None] == bank.group
    hidden = own_group
    if exclude != "group":
        train = (query.split == TRAIN)[:, None]
        own_post = query.post[:, None] == bank.post
        hidden = np.where(train, own_post if exclude == "post" else False, own_group)
    seen = in_bank(bank, split_by) & ~hidden
    if memory["past_only"]:
        seen &= query.time[:, None] - bank.time > seconds(memory["min_lag_days"])
    return seen


def newest(seen: np.ndarray, most: int) -> np.ndarray:
    """Limits what each kind of query sees to its `most` newest posts; -1: no limit.

    seen and the result are bool [V, M], posts in order of time.
    """
    if most < 0:
        return seen
    return seen & (np.cumsum(seen[:, ::-1], axis=1)[:, ::-1] <= most)


def viewers(query: AccountImages, memory: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Collects queries that see the same bank, so that `visible` need not be computed for each.

    These are the images of a group, or only of a post where times or posts matter.

    Returns:
      rows [V], one query of each kind, and viewer [Q], the kind of each query: visible(query, ...) equals
      visible(query.rows(rows), ...)[viewer].
    """
    shared = query.group if memory["exclude"] == "group" and not memory["past_only"] else query.post
    _, rows, viewer = np.unique(shared, return_index=True, return_inverse=True)
    return rows, viewer
