"""Reads raw posts of any layout that READERS knows into the posts table.

To read another layout, write a module with a function like `csv_file.read`, and add a row to READERS.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from data_builders.options import ALLOWED
from data_builders.posts.post import RawDataError, Skips, refuse_empty
from third_party_ports.checkpoints.checkpoint import attribute


class Reader(NamedTuple):
    """A row of READERS.

    Attributes:
      layout: what the user has to give, in words.
      code: "module:function" of (raw: Path, options: config.data, skips: Skips) that returns the posts table. The
        function fills a `table.PostTable`, and raises RawDataError for data that it cannot read.
      holds: a folder of this layout holds a file that matches one of these patterns.
      suffix: a file of this layout ends so; "" if the layout is always a folder.
    """

    layout: str
    code: str
    holds: tuple[str, ...]
    suffix: str = ""


READERS = {  # the first row that recognises the raw data reads it
    "influencer_dataset": Reader(
        "the folder of the Instagram Influencer Dataset (ask its authors with the request form on the data set's page)",
        "data_builders.posts.influencer_dataset:read",
        ("influencers.txt", "JSON-Image_files_mapping.txt", "post_info.txt", "Post_metadata"),
    ),
    "csv_file": Reader(
        "a .csv file, or a folder with posts.csv, whose first line reads image,account,likes,timestamp",
        "data_builders.posts.csv_file:read",
        ("posts.csv",),
        ".csv",
    ),
}


def read_posts(raw: Path, options: Mapping[str, Any]) -> tuple[pl.DataFrame, Skips]:
    """Reads a raw data set.

    Args:
      raw: a folder or file of a layout in READERS.
      options: config.data as a nested mapping; `top_n` and `posts.carousel` are read.

    Returns:
      The posts table (columns post.SCHEMA, sorted by account, time, post_id), and what was left out of it.

    Raises:
      ValueError: posts.carousel has an unknown value.
      RawDataError: no reader recognises the data, the data are broken, or no post is left.
    """
    raw, allowed = Path(raw), ALLOWED["posts.carousel"]
    if options["posts"]["carousel"] not in allowed:
        raise ValueError(
            f"config.data.posts.carousel is {options['posts']['carousel']!r}: set it to one of {', '.join(allowed)}"
        )
    skips = Skips()
    table = attribute(reader_of(raw).code)(raw, options, skips)
    refuse_empty(table, raw, skips)
    warn_constant_likes(table, skips)
    return table, skips


def reader_of(raw: Path) -> Reader:
    """The first row of READERS that recognises the raw data. Raises RawDataError if none does."""
    for reader in READERS.values():
        if raw.is_dir():
            if any(next(raw.glob(pattern), None) for pattern in reader.holds):
                return reader
        elif reader.suffix and raw.is_file() and raw.suffix.lower() == reader.suffix:
            return reader
    problem = "no posts were found in this folder" if raw.is_dir() else "this path does not exist"
    if raw.is_file():
        problem = "this file holds no posts that can be read"
    raise RawDataError(raw, problem, f"Give {'; or '.join(reader.layout for reader in READERS.values())}")


def warn_constant_likes(table: pl.DataFrame, skips: Skips) -> None:
    """Warns of accounts with many equal low counts: hidden likes often read as 3.

    An account is named if it has 10 posts or more, and over 20 % of them share one count below 10.
    """
    numbered = table.select(pl.col("account").rle_id().alias("number"), "account", "likes")  # one run per account
    few = numbered.filter(pl.col("likes") < 10).group_by("number", "account", "likes").agg(pl.len().alias("same"))
    suspicious = (
        few.join(numbered.group_by("number").agg(pl.len().alias("posts")), on="number")
        .filter((pl.col("posts") >= 10) & (pl.col("same") * 5 > pl.col("posts")))
        .select("account", "likes", "same", "posts")
        .sort("account", "likes")
    )
    for account, likes, same, posts in suspicious.iter_rows():
        skips.warn(f"account {account}: {same} of {posts} posts have exactly {likes} likes; these may be hidden counts")
