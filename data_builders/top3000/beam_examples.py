"""The examples of a split through Apache Beam: an element per account. Any worker reads it from shared files."""

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

ROW_GROUP = 4096  # rows of posts.parquet; a worker reads at least one row group per account


@dataclass(frozen=True)
class Source:
    """What every worker reads. All workers must see the same paths.

    Attributes:
      posts: the posts table as parquet, sorted by account.
      root: the folder that image paths are relative to.
      features: the feature store.
      options: `config.data` as a nested dict.
      steps: the functions that the build calls.
    """

    posts: str
    root: str
    features: str
    options: Mapping[str, Any]
    steps: Steps = PAPER


def split(names: Sequence[str], number: int, source: Source) -> "beam.PTransform":
    """A transform that yields (group id, example) for the groups of these accounts in split `number`."""
    import apache_beam as beam

    return beam.Create(names) | beam.Reshuffle() | beam.FlatMap(partial(of_account, number=number, source=source))


def of_account(name: str, *, number: int, source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """(group id, example) for the groups of one account in split `number`."""
    posts = pl.scan_parquet(source.posts).filter(pl.col("account") == name).collect()
    reader = _reader(source.features)
    for account in accounts(posts, source.options, source.steps.assign_groups):
        yield from examples(account, number, Path(source.root), reader, source.options, steps=source.steps)


@lru_cache(maxsize=1)
def _reader(path: str) -> FeatureReader:
    return FeatureReader(path, verify=False)  # the process that plans the build has checked it
