"""Checked posts -> typed columns, chunk by chunk: 1.57 million posts never lie about as Python objects."""

import re
from collections.abc import Iterable

import polars as pl

from data_builders.posts.post import SCHEMA, Post, Skips

CHUNK_POSTS = 16_384  # Python objects alive before they become typed columns

_HASHTAG = re.compile(r"(?<!&)#(\w+)")


class PostTable:
    """Collects checked posts, account by account (names ascending), into typed columns chunk by chunk.

    As each account is sorted when it comes in, the whole table never needs a sort, which would double its memory.
    """

    def __init__(self, skips: Skips, chunk_posts: int = CHUNK_POSTS) -> None:
        self._skips = skips
        self._chunk_posts = chunk_posts
        self._columns: dict[str, list] = {name: [] for name in SCHEMA}
        self._chunks: list[pl.DataFrame] = []
        self._last = ""

    def add_account(self, account: str, followers: int, category: str, posts: Iterable[Post]) -> None:
        """Adds one account's checked posts, in the order of the raw list: of duplicates the first one stays."""
        if account <= self._last:
            raise ValueError(f"account {account!r} after {self._last!r}: accounts must come once, names ascending")
        self._last = account
        columns = self._columns
        for post in sorted(self._without_duplicates(posts), key=lambda post: (post.time, post.post_id)):
            columns["account"].append(account)
            columns["post_id"].append(post.post_id)
            columns["time"].append(post.time)
            columns["likes"].append(post.likes)
            columns["followers"].append(followers)
            columns["category"].append(category)
            columns["caption"].append(post.caption)
            columns["hashtags"].append(hashtags(post.caption))
            columns["comments"].append(list(post.comments))
            columns["comment_count"].append(post.comment_count)
            columns["sponsored"].append(post.sponsored)
            columns["tagged"].append(post.tagged)
            columns["carousel_length"].append(post.carousel_length)
            columns["image_ids"].append([image_id for image_id, _ in post.images])
            columns["image_paths"].append([path for _, path in post.images])
        if len(columns["account"]) >= self._chunk_posts:
            self._flush()

    def finish(self) -> pl.DataFrame:
        """The table: columns SCHEMA, sorted by account, time, post_id."""
        self._flush()
        return pl.concat(self._chunks, rechunk=False)

    def _without_duplicates(self, posts: Iterable[Post]) -> list[Post]:
        kept, shortcodes, images = [], set(), set()
        for post in posts:
            names = {name for image in post.images for name in image}
            if post.shortcode in shortcodes or not images.isdisjoint(names):
                self._skips.add("duplicate post", f"{post.account}/{post.post_id}")
                continue
            images |= names
            if post.shortcode:
                shortcodes.add(post.shortcode)
            kept.append(post)
        return kept

    def _flush(self) -> None:
        self._chunks.append(pl.DataFrame(self._columns, schema=SCHEMA))
        self._columns = {name: [] for name in SCHEMA}


def hashtags(caption: str) -> list[str]:
    """The caption's hashtags, lower case, without `#`, each once, in order."""
    return list(dict.fromkeys(tag.lower() for tag in _HASHTAG.findall(caption)))
