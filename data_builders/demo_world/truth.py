"""What the demo world knows of its posts, and the scores of those who know it: the yardsticks of any model.

OUT/truth.parquet has one row an image (carousel images repeat their post's numbers): account, post_id, image_id, time,
scene, pose, object, layer, and the terms of log likes: log_followers_growth, universal, taste, depth, noise. Likes are
the rounded exp of the terms' sum, but for posts with a planted like count and for accounts of constant 3 likes.
"""

from pathlib import Path

import polars as pl

KEY = ("account", "image_id")
KNOWN = ("log_followers_growth", "universal", "taste", "depth")  # all terms but chance


def load(world: str | Path) -> pl.DataFrame:
    """OUT/truth.parquet. Raises FileNotFoundError when `world` is no folder that the demo world wrote."""
    path = Path(world) / "truth.parquet"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no ground truth here; python -m ipa_jax demo-world --out OUT writes a world")
    return pl.read_parquet(path)


def bayes_scores(truth: pl.DataFrame) -> pl.DataFrame:
    """account, image_id, z (f64): log likes without noise. No model can order pairs better on average."""
    return truth.select(*KEY, z=pl.sum_horizontal(KNOWN))


def universal_scores(truth: pl.DataFrame) -> pl.DataFrame:
    """account, image_id, z (f64): the universal part alone, all that can be seen without knowing the account."""
    return truth.select(*KEY, z="universal")
