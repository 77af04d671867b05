"""Which images an extraction takes: all of the posts table, or only those of kept groups, the only ones a build reads.

Likes and times decide which groups are kept (section 4.1, eq. 8), so no network has to see the rest. But a photo that
cannot be used leaves the posts table, which can move others to other groups. So the rest is opened too, and the groups
are made again without the photos that failed. A data set is then the same, whichever images were asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_builders.features.inputs import Image
from data_builders.features.report import Report
from data_builders.groups import kept_groups
from data_builders.posts.post import Skips, drop_unreadable
from data_builders.posts.read import reader_of

ONLY = ("kept", "all")
DECIDING = ("top_n", "posts", "groups", "pairs", "shuffle_likes")  # fields of config.data that decide what is kept


def default(raw: Path, options: Mapping[str, Any]) -> str:
    """What is taken if nobody says: "kept" for data of the paper's layout, "all" for one's own posts.

    Raises RawDataError if no reader recognises the raw data.
    """
    return "all" if options["shuffle_likes"] else reader_of(raw).only


def deciding(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of config.data that decide which groups are kept."""
    return {name: options[name] for name in DECIDING}


def images_of(table: pl.DataFrame) -> list[Image]:
    """The images of a posts table."""
    rows = table.select("account", "image_ids", "image_paths").explode("image_ids", "image_paths").iter_rows()
    return [Image(*row) for row in rows]


def kept_posts(table: pl.DataFrame, options: Mapping[str, Any]) -> pl.DataFrame:
    """The rows of a posts table, sorted by (account, time, post_id), that are in a kept group.

    Args:
      options: config.data as a nested mapping; see groups.kept_groups. Likes are not shuffled.
    """
    time, likes = (table[name].to_numpy() for name in ("time", "likes"))
    images = table["image_ids"].list.len().to_numpy().astype(np.int64)
    kept, start = np.zeros(len(table), bool), 0
    for length in table["account"].rle().struct.field("len"):
        one = slice(start, start + length)
        kept[one] = kept_groups(time[one], likes[one], images[one], options).group >= 0
        start += length
    return table.filter(kept)


def take_kept(
    table: pl.DataFrame,
    options: Mapping[str, Any],
    extract: Callable[[Sequence[Image]], Report],
    look: Callable[[Sequence[Image]], Report],
) -> Report:
    """Extracts the images of kept groups.

    Args:
      table: the posts table.
      options: config.data as a nested mapping.
      extract: extracts images.
      look: opens images, and reports those that cannot be used.

    Returns:
      The reports of both, added up. `kept_by` and `not_kept` are set.

    Raises:
      RawDataError: no post can be used.
    """
    kept, everything = images_of(kept_posts(table, options)), images_of(table)
    report = extract(kept)
    report.merge(look(_but(everything, kept)))
    if report.left_out:
        gone = {(account, name) for account, name in report.left_out}
        lost = {image.path for image in everything if (image.account, image.image_id) in gone}
        if len(lost) < len({image.path for image in everything}):
            more = _but(images_of(kept_posts(_without(table, lost, options), options)), kept)
            if more:
                report.merge(extract(more))
                kept += more
    report.kept_by = deciding(options)
    report.not_kept = len(everything) - len(kept)
    return report


def _without(table: pl.DataFrame, lost: set[str], options: Mapping[str, Any]) -> pl.DataFrame:
    """The table as a build has it, where photos at the paths `lost` cannot be used."""
    paths = table["image_paths"].explode().unique()
    probes = pl.DataFrame({"path": paths, "readable": [path not in lost for path in paths]})
    limits = {"carousel": options["posts"]["carousel"], "max_images": options["groups"]["max_images"]}
    return drop_unreadable(table, probes, Skips(), **limits)


def _but(images: Sequence[Image], known: Sequence[Image]) -> list[Image]:
    """Those of `images` that are not in `known`."""
    keys = set(known)
    return [image for image in images if image not in keys]
