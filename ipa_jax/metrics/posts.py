"""A post scored as the set of its images: posts take the images' place in groups, pairs and metrics."""

import polars as pl

POOLS = ("mean", "max", "first")


def pool_posts(scores: pl.DataFrame, how: str) -> pl.DataFrame:
    """Scores with a row a post, of which z is the mean or the maximum of its images' z, or that of its first image.

    A mean of z = log s is the geometric mean of s. A post's images share its likes and never pair with each other, so
    a pair of posts counts once, whatever the number of their images.

    Args:
      scores: as scored_pairs reads it, a post's images in their order.
    Returns the same columns in the order of the posts; image_id is the post's id.
    Raises ValueError for an unknown `how`, or for a post whose images differ in likes.
    """
    if how not in POOLS:
        raise ValueError(f"posts are pooled by {', '.join(POOLS)}, not by {how!r}")
    z = {"mean": pl.col("z").mean(), "max": pl.col("z").max(), "first": pl.col("z").first()}[how]
    keys = ["account", "record", "post_id"]
    posts = scores.group_by(keys, maintain_order=True).agg(
        z, pl.col("likes").first(), pl.col("likes").n_unique().alias("counts")
    )
    if len(odd := posts.filter(pl.col("counts") > 1)):
        account, record, post = odd.row(0)[:3]
        raise ValueError(f"scores: post {post} of account {account}, group {record}, has images of different likes")
    return posts.with_columns(image_id="post_id").select("account", "record", "image_id", "post_id", "likes", "z")
