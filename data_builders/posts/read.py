"""Raw data of any known layout to the posts table."""

from pathlib import Path

import polars as pl

from data_builders.posts.post import Skips, _refuse_empty

CAROUSELS = ("first", "skip", "all")


def read_posts(raw: Path, options: dict) -> tuple[pl.DataFrame, Skips]:
    """Reads a raw dataset: a folder in the Instagram Influencer layout, a folder with posts.csv, or a .csv file.

    Args:
      raw: the folder or file.
      options: `config.data` as a dict; `top_n` and `posts.carousel` act here.
    Returns:
      The table (columns SCHEMA, sorted by account, time, post_id) and what was skipped.
    Raises:
      RawDataError: nothing there that can be read, or not one post left.
    """
    from data_builders.posts import csv_file, influencer_dataset

    raw = Path(raw)
    if options["posts"]["carousel"] not in CAROUSELS:
        raise ValueError(f"data.posts.carousel is {options['posts']['carousel']!r}: set it to one of {CAROUSELS}")
    skips = Skips()
    if raw.suffix.lower() == ".csv" and not raw.is_dir():
        table = csv_file.read(raw, options, skips)
    elif (raw / "posts.csv").is_file() and not (raw / "influencers.txt").exists():
        table = csv_file.read(raw / "posts.csv", options, skips)
    else:
        table = influencer_dataset.read(raw, options, skips)
    _refuse_empty(table, raw, skips)
    warn_constant_likes(table, skips)
    return table, skips


def warn_constant_likes(table: pl.DataFrame, skips: Skips) -> None:
    """Warns of accounts of 10 posts or more where over 20 % share one count below 10: hidden likes often read 3."""
    numbered = table.select(pl.col("account").rle_id().alias("number"), "account", "likes")  # sorted: one run each
    few = numbered.filter(pl.col("likes") < 10).group_by("number", "account", "likes").agg(pl.len().alias("same"))
    suspicious = (
        few.join(numbered.group_by("number").agg(pl.len().alias("posts")), on="number")
        .filter((pl.col("posts") >= 10) & (pl.col("same") * 5 > pl.col("posts")))
        .select("account", "likes", "same", "posts")
        .sort("account", "likes")
    )
    for account, likes, same, posts in suspicious.iter_rows():
        skips.warn(f"account {account}: {same} of {posts} posts have exactly {likes} likes; hidden counts may read so")
