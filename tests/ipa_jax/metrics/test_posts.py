"""Posts as items: their z, their pairs and their metrics, worked by hand."""

import math

import polars as pl
import pytest

from ipa_jax.experiments import records
from ipa_jax.metrics import split_metrics
from ipa_jax.metrics.posts import POOLS, pool_posts

ROWS = [  # account, record, image_id, post_id, likes, z: group 0 has posts of 2, 1 and 3 images, group 1 of 1 and 1
    ("ann", 0, "c", "p", 100, 1.0),
    ("ann", 0, "a", "p", 100, 4.0),
    ("ann", 0, "b", "q", 40, 3.0),
    ("ann", 0, "d", "r", 10, 0.0),
    ("ann", 0, "f", "r", 10, 5.0),
    ("ann", 0, "e", "r", 10, -2.0),
    ("bob", 1, "a", "p", 9, 1.0),
    ("bob", 1, "b", "q", 1, 2.0),
]
SCORES = pl.DataFrame(ROWS, schema=["account", "record", "image_id", "post_id", "likes", "z"], orient="row")


@pytest.mark.parametrize("how, z", [("mean", [2.5, 3.0, 1.0]), ("max", [4.0, 3.0, 5.0]), ("first", [1.0, 3.0, 0.0])])
def test_a_post_has_one_z(how, z):
    posts = pool_posts(SCORES, how)
    assert posts.columns == SCORES.columns
    assert posts.rows() == [
        ("ann", 0, "p", "p", 100, z[0]),
        ("ann", 0, "q", "q", 40, z[1]),
        ("ann", 0, "r", "r", 10, z[2]),
        ("bob", 1, "p", "p", 9, 1.0),
        ("bob", 1, "q", "q", 1, 2.0),
    ]


def test_metrics_of_posts_by_hand():
    """Valid pairs: p-q, p-r, q-r of ann and p-q of bob; by means all but p-q of both are right."""
    found = split_metrics.evaluate(pool_posts(SCORES, "mean"), 2.0, draws=0)
    assert (found["pairs"], found["images"], found["groups"]) == (4, 5, 2)
    assert found["accuracy"] == 0.5
    pairs = [(-0.5, 100 / 40), (1.5, 10), (2.0, 4), (-1.0, 9)]
    squares = [((d - math.log(ratio)) / math.log(2)) ** 2 for d, ratio in pairs]
    assert found["ratio_mse"] == pytest.approx(sum(squares) / 4)
    assert found["srcc"] == pytest.approx((0.5 - 1) / 2)
    images = split_metrics.evaluate(SCORES, 2.0, draws=0)
    assert images["pairs"] == 2 * 1 + 2 * 3 + 1 * 3 + 1


@pytest.mark.parametrize("how", POOLS)
def test_posts_of_one_image_are_their_images(how):
    singles = SCORES.filter(pl.col("post_id").is_in(["q"]) | (pl.col("account") == "bob"))
    assert pool_posts(singles, how)["z"].to_list() == singles["z"].to_list()


def test_a_record_of_a_run_keeps_what_posts_need():
    record = records.Record("x", {}, {}, {}, records.compact(SCORES))
    for how in POOLS:
        assert pool_posts(records.scores(record), how)["z"].to_list() == pool_posts(SCORES, how)["z"].to_list()


def test_what_cannot_be_pooled_is_named():
    with pytest.raises(ValueError, match="mean, max, first, not by 'median'"):
        pool_posts(SCORES, "median")
    odd = SCORES.with_columns(likes=pl.when(pl.col("image_id") == "a").then(7).otherwise(pl.col("likes")))
    with pytest.raises(ValueError, match="post p of account ann, group 0, has images of different likes"):
        pool_posts(odd, "mean")
