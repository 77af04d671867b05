"""The posts table, built chunk by chunk.

The full data set has 1.57 million posts. As Python objects they would not fit in memory, so each chunk becomes typed
columns before the next one is read.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

import polars as pl

from data_builders.posts.post import SCHEMA, Post, Skips, check

CHUNK_POSTS = 16_384  # posts that are held as Python objects at a time

_HASHTAG = re.compile(r"(?<!&)#(\w+)")


class PostTable:
    """Collects checked posts, one account at a time, names ascending.

    Each account is sorted when it is added, so the whole table is never sorted, which would double its memory.

    Args:
      skips: counts duplicate posts.
      chunk_posts: posts that are held as Python objects at a time.
    """

    def __init__(self, skips: Skips, chunk_posts: int = CHUNK_POSTS) -> None:
        self._skips = skips
        self._chunk_posts = chunk_posts
        self._columns: dict[str, list] = {name: [] for name in SCHEMA}
        self._chunks: list[pl.DataFrame] = []
        self._last = ""

    def add_account(self, account: str, followers: int, category: str, posts: Iterable[Post]) -> None:
        """Adds the checked posts of one account, in the order of the raw data: the first one of duplicates stays.

        Raises ValueError if the account's name is not greater than the last one.
        """
        if account <= self._last:
            raise ValueError(f"account {account!r} after {self._last!r}: add each account once, names ascending")
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


def table_of(
    accounts: Mapping[str, Iterable[Post]], exists: Callable[[str], bool], carousel: str, skips: Skips
) -> pl.DataFrame:
    """The table of accounts whose posts are all in memory.

    Args:
      accounts: each account's posts in the order of the raw data, not checked yet. Spellings of a name that differ in
        `composed` alone are one account, with a warning.
      exists, carousel: as those of `post.check`.
      skips: counts what is left out.

    Returns:
      The posts table (columns post.SCHEMA); followers are 0, categories empty.
    """
    table = PostTable(skips)
    joined: dict[str, list[Post]] = {}
    for account, posts in accounts.items():
        joined.setdefault(composed(account), []).extend(posts)
    for account in sorted(joined):
        if len({post.account for post in joined[account]}) > 1:
            skips.warn(
                f"account {account}: its name is there in two spellings of its accents, which are one account here"
            )
        kept = []
        for listed in joined[account]:
            listed.account = account
            post, left_out = check(listed, exists, carousel)
            for reason, record in left_out:
                skips.add(reason, record)
            if post is not None:
                kept.append(post)
        table.add_account(account, 0, "", kept)
    return table.finish()


def composed(account: str) -> str:
    """An account's name with joined accents (NFC): Macs write é as e and an accent, and both are one account."""
    return account if account.isascii() else unicodedata.normalize("NFC", account)


def hashtags(caption: str) -> list[str]:
    """The hashtags of a caption in order of first use: lower case, without `#`, each once."""
    return list(dict.fromkeys(tag.lower() for tag in _HASHTAG.findall(caption)))
