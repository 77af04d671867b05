"""Scores on disk: a frame as scored_pairs.py describes it, in a sealed Parquet file."""

from pathlib import Path

import polars as pl

from data_builders import frames

COLUMNS = {"account": pl.String, "record": pl.Int32, "image_id": pl.String, "post_id": pl.String, "likes": pl.Int64,
           "z": pl.Float64}  # fmt: skip


class ScoresError(ValueError):
    """A file of scores is missing, damaged, or holds something else. The message names it, and what to do."""


def save(scores: pl.DataFrame, path: Path) -> None:
    """Writes scores, whole or not at all. Raises OSError."""
    frames.write(scores, path)


def load(path: Path, remedy: str) -> pl.DataFrame:
    """Reads scores.

    Args:
      path: the file.
      remedy: how to make it again; the message of an error ends with it.

    Raises:
      ScoresError: the file is missing or damaged, or lacks a column.
    """
    return frames.read(path, COLUMNS, ScoresError, remedy)
