"""Everything before the first shard: posts read, checked against images and features, and found to fill each split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data_builders import photos
from data_builders.features.store import FeatureReader
from data_builders.options import check
from data_builders.posts import post
from data_builders.posts.read import read_posts
from data_builders.retrieval.accounts import accounts
from data_builders.retrieval.top_k import retrieve
from data_builders.top3000 import probe
from data_builders.top3000.examples import require_parts, require_splits

KEY = {"account": pl.String, "image_id": pl.String}
LACKING_READ_FIRST = 0.02  # of the images: twice what may lack features, so that all are looked at in a sound store


@dataclass(frozen=True)
class Prepared:
    """What the build goes on with.

    Attributes:
      raw: what was read, a folder or a .csv file.
      root: folder that image paths are relative to.
      table: the posts table, only posts with images that can be read and have features.
      skips: what was left out, by named reason.
      reader: the feature store.
      probes: path, readable, phash, sha256 of each image file.
    """

    raw: Path
    root: Path
    table: pl.DataFrame
    skips: post.Skips
    reader: FeatureReader
    probes: pl.DataFrame


def prepare(raw: Path, features: Path, options: Mapping[str, Any]) -> Prepared:
    """Reads and checks; what is cheap to find wrong is found first, as reading all images can take hours.

    Args:
      raw: a folder in the Instagram layout, a folder with posts.csv, or a .csv file.
      features: a feature store.
      options: `config.data` as nested dict.

    Raises:
      FileNotFoundError, RawDataError, ValueError: no raw data, no store, a part that the store lacks, over 1 % of the
        posts without features, an empty split; each with path and remedy.
    """
    check(options)
    root = raw.parent if raw.is_file() else raw
    reader = FeatureReader(features)
    require_parts(reader, options)
    table, skips = read_posts(raw, options)
    if reader.decoded_with and (versions := photos.mixture([*reader.decoded_with, photos.versions()])):
        skips.warn(f"{reader.path}: photos were decoded by different versions, which may differ in pixels: {versions}")
    require_splits(table, options, raw)
    rehearse(table, reader, options)

    # An image that cannot be decoded has no features either, and is to be named for what it is.
    paths = _image_paths(table)
    keys = pl.DataFrame(reader.missing(_keys(table)), schema=KEY, orient="row")
    lacking = _keys(table).join(keys, on=["account", "image_id"], how="semi")["path"].unique(maintain_order=True)
    first = lacking.head(max(10, round(LACKING_READ_FIRST * len(paths))))
    probes = probe.probe(root, first.to_list())
    rest = pl.DataFrame({"path": paths.filter(~paths.is_in(first.implode())), "readable": True})
    table = post.drop_unreadable(table, pl.concat([probes.select("path", "readable"), rest]), options, skips, root)
    table = post.drop_without_features(table, reader.missing(_keys(table)), options, skips, reader.path)

    paths = _image_paths(table)
    unread = paths.filter(~paths.is_in(probes["path"].implode()))
    probes = pl.concat([probes, probe.probe(root, unread.to_list())])
    table = post.drop_unreadable(table, probes, options, skips, root)
    require_splits(table, options, raw)
    return Prepared(raw, root, table, skips, reader, probes)


def rehearse(table: pl.DataFrame, reader: FeatureReader, options: Mapping[str, Any]) -> None:
    """Retrieves for one account, so that what retrieval refuses is known at once. Raises as retrieval.retrieve."""
    for account in accounts(table, options):
        ids = account.images.image_id.tolist()
        if account.kept.pairs and not reader.missing((account.name, image) for image in ids):
            retrieve(account.images, reader.load(account.name, ids), options)
            return


def _keys(table: pl.DataFrame) -> pl.DataFrame:
    """account, image_id, path of each image of a posts table."""
    images_of = table.select("account", image_id="image_ids", path="image_paths")
    return images_of.explode("image_id", "path")


def _image_paths(table: pl.DataFrame) -> pl.Series:
    return table["image_paths"].explode().unique(maintain_order=True).alias("path")
