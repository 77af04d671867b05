"""The accounts of a posts table: posts, images, kept groups. Every later step of a build reads these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from data_builders.groups import Assign, KeptGroups, assign_groups
from data_builders.retrieval import shuffled_likes
from data_builders.retrieval.memory_bank import AccountImages, account_images


@dataclass(frozen=True)
class Account:
    """One account with I images and G kept groups.

    Attributes:
      name: of the account.
      posts: its rows of the posts table.
      images: its images, flat, in the order of the posts.
      kept: its groups.
    """

    name: str
    posts: pl.DataFrame
    images: AccountImages
    kept: KeptGroups

    def first_post(self, group: int) -> str:
        """The id of the post that names a kept group."""
        return self.posts["post_id"][int(self.kept.first_post[group])]


def accounts(table: pl.DataFrame, options: Mapping[str, Any], assign: Assign = assign_groups) -> list[Account]:
    """Groups every account of a posts table and splits its groups.

    A build does this once per table and hands the result on. The posts stay slices of the table. The rest takes about
    370 bytes per image, 0.6 GB for the 1.57 million posts of the paper's raw data.

    Args:
      table: posts, sorted by (account, time, post_id).
      options: `config.data` as a nested dict; reads shuffle_likes, posts.min_age_days, groups, pairs and split.
      assign: assigns posts to groups, as groups.assign_groups.

    Returns:
      The accounts, names ascending.

    Raises:
      ValueError: as memory_bank.account_images.
    """
    found, start = [], 0
    for length, name in table["account"].rle().struct.unnest().iter_rows():
        posts = table.slice(start, length)
        start += length
        ids, times, likes, image_ids = (posts[x].to_list() for x in ("post_id", "time", "likes", "image_ids"))
        if options["shuffle_likes"]:
            sizes = [len(images) for images in image_ids]
            likes = shuffled_likes.shuffle(name, ids, times, likes, sizes, options["groups"], options["split"])
        images, kept = account_images(name, ids, times, likes, image_ids, options, assign)
        found.append(Account(name, posts, images, kept))
    return found


def groups_of_split(account: Account, split: int) -> list[tuple[int, np.ndarray]]:
    """The kept groups of an account in one split, in order of time.

    Args:
      split: groups.TRAIN, VALIDATION or TEST.

    Returns:
      For each group its number in `account.kept` and the positions of its images among the account's, i64 [N].
    """
    found = []
    for group in range(len(account.kept.pairs)):
        positions = np.flatnonzero(account.images.group == group)
        if account.images.split[positions[0]] == split:
            found.append((group, positions))
    return found


def group_id(account: str, first_post: str) -> str:
    """The key of a group in the data set."""
    return f"{account}/{first_post}"
