"""Histories of one account with features drawn at random, in which kinds of photos differ in likes."""

import numpy as np
import polars as pl

from configs import full
from data_builders.features.features import Features
from data_builders.posts.post import SCHEMA
from ipa_jax.applications.history_bank import HistoryBank, history_bank

DAY = 86_400
START = 1_600_000_000


def light_options() -> dict:
    """`config.data` with the similarity of the light features."""
    options = full.get_config().data.to_dict()
    options["similarity"] = {"pose": 0.0, "background": 0.5, "caption": 0.5}
    return options


def drawn_features(rng: np.random.Generator, kinds: np.ndarray, sizes: tuple[int, int] = (12, 8)) -> Features:
    """Background and caption vectors around one centre per kind."""
    centres = np.random.default_rng(7).normal(size=(int(kinds.max(initial=0)) + 1, sum(sizes)))
    vectors = np.abs(centres[kinds] + 0.6 * rng.normal(size=(len(kinds), sum(sizes)))).astype(np.float32)
    sides = np.full(len(kinds), 1080, np.int32)
    return Features(None, None, None, sides, sides, vectors[:, : sizes[0]], vectors[:, sizes[0] :])


def posts_table(time, likes, account: str = "anna") -> pl.DataFrame:
    """A posts table with one image per post: post p0 has image i0 in p/i0.jpg."""
    number = range(len(time))
    filled = {"account": [account] * len(time), "post_id": [f"p{i:04}" for i in number], "time": time, "likes": likes}
    filled |= {"image_ids": [[f"i{i}"] for i in number], "image_paths": [[f"p/i{i}.jpg"] for i in number]}
    empty = {name: [None] * len(time) for name in SCHEMA if name not in filled}
    return pl.DataFrame(filled | empty, schema=SCHEMA)


def made_history(
    seed: int, posts: int, per_day: float, effect: float = 0.5, noise: float = 0.4, whole_days: bool = False
) -> HistoryBank:
    """A bank of `posts` posts of 6 kinds of photos; `effect`, `noise`: standard deviations of log likes."""
    rng = np.random.default_rng(seed)
    unit = DAY if whole_days else 1  # then posts share times, and gaps are exactly a window
    time = np.sort(rng.integers(0, max(1, int(posts / per_day * DAY / unit)), posts)) * unit + START
    kinds = rng.integers(0, 6, posts)
    logs = 5 + effect * np.random.default_rng(3).normal(size=6)[kinds] + noise * rng.normal(size=posts)
    likes = np.maximum(1, np.exp(logs)).astype(np.int64)
    as_of = int(time.max(initial=START)) + 30 * DAY
    return history_bank(posts_table(time, likes), drawn_features(rng, kinds), as_of=as_of)
