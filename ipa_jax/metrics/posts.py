"""A post scored as the set of its images: posts take the place of images in groups, pairs and metrics."""

import polars as pl

POOLS = ("mean", "max", "first")


def pool_posts(scores: pl.DataFrame, how: str) -> pl.DataFrame:
    """Turns scores of images into scores of posts.

    A mean of z = log s is the geometric mean of s. The images of a post share its likes and never pair with each
    other, so a pair of posts counts once, however many images the posts have.

    Args:
      scores: a row per image (see scored_pairs.py), the images of a post in their order.
      how: "mean" or "max" of the images' z, or "first" for the z of the first image.
    Returns:
      The same columns with a row per post, in the order of the posts; image_id is the post's id.
    Raises:
      ValueError: `how` is unknown, or the images of a post differ in likes.
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
