"""The examples of a split through Apache Beam: one element an account, read from shared files by whichever worker."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from data_builders.features.store import FeatureReader
from data_builders.retrieval.accounts import accounts
from data_builders.top3000.examples import examples
from data_builders.top3000.steps import PAPER, Steps

if TYPE_CHECKING:
    import apache_beam as beam

ROW_GROUP = 4096  # rows of posts.parquet read for one account


@dataclass(frozen=True)
class Source:
    """Paths that every worker sees (posts as parquet sorted by account, raw root, feature store), options and steps."""

    posts: str
    root: str
    features: str
    options: Mapping[str, Any]
    steps: Steps = PAPER


def split(names: Sequence[str], number: int, source: Source) -> "beam.PTransform":
    """A transform that yields (group id, example) of the accounts' groups in split `number`."""
    import apache_beam as beam

    return beam.Create(names) | beam.Reshuffle() | beam.FlatMap(partial(of_account, number=number, source=source))


def of_account(name: str, *, number: int, source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """(group id, example) of one account's groups in split `number`."""
    posts = pl.scan_parquet(source.posts).filter(pl.col("account") == name).collect()
    reader = _reader(source.features)
    for account in accounts(posts, source.options, source.steps.assign_groups):
        yield from examples(account, number, Path(source.root), reader, source.options, steps=source.steps)


@lru_cache(maxsize=1)
def _reader(path: str) -> FeatureReader:
    return FeatureReader(path)
