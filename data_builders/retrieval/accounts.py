"""The accounts of a posts table: posts, images, kept groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from data_builders.groups import KeptGroups
from data_builders.retrieval import shuffled_likes
from data_builders.retrieval.memory_bank import AccountImages, account_images


@dataclass(frozen=True)
class Account:
    """One account: its rows of the posts table, its I images flat in the order of the posts, its kept groups."""

    name: str
    posts: pl.DataFrame
    images: AccountImages
    kept: KeptGroups

    def groups(self, split: int) -> Iterator[tuple[int, np.ndarray]]:
        """(kept group, positions of its images among the account's) of each kept group of a split, in order of time."""
        for group in range(len(self.kept.pairs)):
            positions = np.flatnonzero(self.images.group == group)
            if self.images.split[positions[0]] == split:
                yield group, positions

    def first_post(self, group: int) -> str:
        """Post id that names the group."""
        return self.posts["post_id"][int(self.kept.first_post[group])]


def accounts(table: pl.DataFrame, options: Mapping[str, Any]) -> Iterator[Account]:
    """The accounts of a posts table (sorted by account, time, post_id), names ascending, grouped and split."""
    start = 0
    for length, name in table["account"].rle().struct.unnest().iter_rows():
        posts = table.slice(start, length)
        start += length
        ids, times, likes, image_ids = (posts[x].to_list() for x in ("post_id", "time", "likes", "image_ids"))
        if options["shuffle_likes"]:
            likes = shuffled_likes.shuffle(name, ids, times, likes, [len(images) for images in image_ids], options)
        images, kept = account_images(name, ids, times, likes, image_ids, options)
        yield Account(name, posts, images, kept)


def group_id(account: str, first_post: str) -> str:
    """The key of a group in the data set."""
    return f"{account}/{first_post}"
