"""What the demo world knows about its posts, and the scores that follow from it: baselines for every model.

OUT/truth.parquet has a row per image; the images of a carousel repeat their post's numbers. Its columns are account,
post_id, image_id, time, scene, pose, object, layer, and the terms of log likes: log_followers_growth, universal, taste,
depth, noise. A post's likes are exp of the terms' sum, rounded. Posts with a planted like count, and accounts with
constant likes, are the exceptions.
"""

from pathlib import Path

import polars as pl

from data_builders import frames

KEY = ("account", "image_id")
KNOWN = ("log_followers_growth", "universal", "taste", "depth")  # all terms except chance


class WorldError(ValueError):
    """The truth of a demo world is damaged. The message names the file, and what to do."""


def load(world: str | Path) -> pl.DataFrame:
    """Reads OUT/truth.parquet. Raises FileNotFoundError if `world` is not a demo world, WorldError if it is damaged."""
    path = Path(world) / "truth.parquet"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing, so this is not a demo world; ipa-jax demo-world --out=OUT writes one"
        )
    columns = {"account": pl.String, "image_id": pl.String} | dict.fromkeys(KNOWN, pl.Float64)
    return frames.read(path, columns, WorldError, "draw the world again with ipa-jax demo-world")


def bayes_scores(truth: pl.DataFrame) -> pl.DataFrame:
    """account, image_id, z (f64): log likes without noise. No model can order pairs better on average."""
    return truth.select(*KEY, z=pl.sum_horizontal(KNOWN))


def universal_scores(truth: pl.DataFrame) -> pl.DataFrame:
    """account, image_id, z (f64): the universal term alone, all that a photo shows without its account."""
    return truth.select(*KEY, z="universal")
