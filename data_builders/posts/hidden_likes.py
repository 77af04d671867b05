"""Finds like counts that stand for hidden ones.

Instagram lets an account hide its likes. Tools then write -1, or the same small number, often 3, for post after post. A
small number is suspicious where many posts share it and the others have far more. An account with few likes of its own
is not.
"""

import polars as pl

from data_builders.posts.post import Skips

BELOW = 10  # likes: a larger count is never suspicious
SHARE = 0.2  # of the posts
ALL = 0.9  # of the posts: so many equal counts are suspicious whatever the others are
RATIO = 3  # the others' median is at least so many times the count
FEWEST = 3  # posts with the count
SMALL = 10  # posts: an account with fewer is also judged by the whole list


def hidden_likes(table: pl.DataFrame) -> pl.Series:
    """Which posts have a count that stands for hidden likes.

    Each account is judged by its own posts, and by the whole list: a count that is suspicious there is suspicious in
    an account with fewer than 10 posts, and in a larger one where at least 3 posts have it and the others far more.

    Args:
      table: a posts table (columns post.SCHEMA).

    Returns:
      Booleans, one per row.
    """
    posts = table.select("account", "likes").with_row_index("row")
    small = posts.filter(pl.len().over("account") < SMALL)
    counts = posts.filter(pl.col("likes") < 0).select("row")
    alone = posts.join(_suspicious(posts, ["account"]), on=["account", "likes"], how="semi")
    in_list = _suspicious(posts.with_columns(account=pl.lit("")), ["account"])
    listed = small.join(in_list, on="likes", how="semi")
    rarer = _suspicious(posts, ["account"], share=0).join(in_list, on="likes", how="semi")
    large = posts.join(rarer, on=["account", "likes"], how="semi")
    hidden = pl.concat([each.select("row") for each in (counts, alone, listed, large)])["row"]
    return posts["row"].is_in(hidden.implode()).alias("hidden_likes")


def _suspicious(posts: pl.DataFrame, keys: list[str], share: float = SHARE) -> pl.DataFrame:
    """The suspicious counts that more than a share of the posts have, columns `keys` and likes."""
    few = posts.filter(pl.col("likes").is_between(1, BELOW - 1)).group_by(*keys, "likes").agg(pl.len().alias("same"))
    if few.is_empty():
        return few
    sizes = posts.group_by(keys).agg(pl.len().alias("posts"))
    often = few.join(sizes, on=keys).filter((pl.col("same") >= FEWEST) & (pl.col("same") > share * pl.col("posts")))
    others = often.select(*keys, pl.col("likes").alias("count")).join(posts, on=keys)
    usual = (
        others.filter(pl.col("likes") != pl.col("count"))
        .group_by(*keys, pl.col("count").alias("likes"))
        .agg(pl.col("likes").median().alias("usual"))
    )
    return often.join(usual, on=[*keys, "likes"], how="left").filter(
        (pl.col("same") >= ALL * pl.col("posts")) | (pl.col("usual") >= RATIO * pl.col("likes"))
    )


def drop_hidden_likes(table: pl.DataFrame, skips: Skips) -> pl.DataFrame:
    """The posts table without the posts that `hidden_likes` finds, which are counted as "likes hidden (constant)"."""
    hidden = hidden_likes(table)
    for account, post_id, likes in table.filter(hidden).select("account", "post_id", "likes").iter_rows():
        skips.add("likes hidden (constant)", f"{account}/{post_id}: {likes} likes, as many other posts")
    return table.filter(~hidden) if hidden.any() else table


def warn_hidden_likes(table: pl.DataFrame, skips: Skips) -> None:
    """Warns of accounts with counts that `hidden_likes` finds."""
    found = table.select("account", "likes").with_columns(hidden=hidden_likes(table), posts=pl.len().over("account"))
    summary = (
        found.filter("hidden")
        .group_by("account", "likes", "posts")
        .agg(pl.len().alias("same"))
        .sort("account", "likes")
    )
    for account, likes, posts, same in summary.iter_rows():
        skips.warn(f"account {account}: {same} of {posts} posts have exactly {likes} likes; these may be hidden counts")
