"""Reads raw posts of any layout that READERS knows into the posts table.

To read another layout, write a module with a function like `csv_file.read`, and add a row to READERS.
"""

import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from data_builders.options import ALLOWED, with_defaults
from data_builders.photo_formats import SUFFIXES
from data_builders.posts.hidden_likes import drop_hidden_likes, warn_hidden_likes
from data_builders.posts.post import RawDataError, Skips, refuse_empty
from third_party_ports.checkpoints.checkpoint import attribute


class Reader(NamedTuple):
    """A row of READERS.

    Attributes:
      layout: what the user has to give, in words.
      code: "module:function" of (raw: Path, options: config.data, skips: Skips) that returns the posts table. The
        function fills a `table.PostTable`, and raises RawDataError for data that it cannot read.
      holds: a folder of this layout holds a file or folder that matches one of these patterns.
      suffixes: a file of this layout ends in one of these; none if the layout is always a folder.
      fits: "module:function" of (file: Path) that tells whether a file is of this layout, where `holds` and `suffixes`
        do not tell.
      name: what the layout is called, in words.
      only: the images that `ipa-jax extract` takes by default: "all", or those of "kept" groups. An account's owner
        needs all, to rank new photos by them.
    """

    layout: str
    code: str
    holds: tuple[str, ...]
    suffixes: tuple[str, ...] = ()
    fits: str = ""
    name: str = ""
    only: str = "all"


READERS = {  # the first row that recognises the raw data reads it
    "influencer_dataset": Reader(
        "the folder of the Instagram Influencer Dataset (ask its authors with the request form on the data set's page)",
        "data_builders.posts.influencer_dataset:read",
        ("influencers.txt", "JSON-Image_files_mapping.txt", "post_info.txt", "Post_metadata"),
        name="the Instagram Influencer Dataset",
        only="kept",
    ),
    "flickr_user": Reader(
        "FlickrUser.csv with the folder images/ beside it (ipa-jax fetch-images downloads the photos)",
        "data_builders.posts.flickr_user:read",
        ("FlickrUser*.csv",),
        (".csv",),
        "data_builders.posts.flickr_user:fits",
        "FlickrUser",
    ),
    "csv_file": Reader(
        "a .csv or .tsv file, or a folder with posts.csv, whose first line reads image,account,likes,timestamp",
        "data_builders.posts.csv_file:read",
        ("posts.csv", "posts.tsv"),
        (".csv", ".tsv"),
        name="a list of your posts",
    ),
    "instagram_export": Reader(
        "the unpacked export of a professional Instagram account, as JSON",
        "data_builders.posts.instagram_export:read",
        tuple(f"{'*/' * depth}{name}" for depth in range(3) for name in (
            "past_instagram_insights", "your_instagram_activity", "content/posts_1.json"
        )),
        name="an export of Instagram",
    ),
    "instaloader": Reader(
        "a profile folder of Instaloader, or a folder with several of them",
        "data_builders.posts.instaloader:read",
        tuple(f"{place}{name}" for name in ("*_UTC.json.xz", "*_UTC.json", "*.json.xz", "*_UTC.jpg", "*_UTC_1.jpg")
              for place in ("", "*/")),
        name="profile folders of Instaloader",
    ),
    "graph_api": Reader(
        "media of the Instagram Graph API as a .json file, with the photos beside it named by their id",
        "data_builders.posts.graph_api:read",
        ("*.json",),
        (".json",),
        "data_builders.posts.graph_api:fits",
        "media of the Instagram Graph API",
    ),
}  # fmt: skip
MOST_LOOKED_AT = 1000  # files of a folder that no reader recognises
MOST_TRIED = 20  # files of a folder that `Reader.fits` looks into
PHOTOS = (*SUFFIXES, ".gif")
FORM = "as posts.csv, whose first line reads image,account,likes,timestamp"
NO_LISTS = {  # what people give in place of a list of posts, by the file's suffix: what it is, and what to do
    (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".tar", ".tgz"): ("this file is packed", "Unpack it first"),
    (".xlsx", ".xls", ".ods", ".numbers"): ("this is a spreadsheet", f"Save it in UTF-8 {FORM}"),
    PHOTOS: ("this is a photo, and no list of posts with their likes", f"Write such a list beside it {FORM}"),
}


def read_posts(raw: Path, options: Mapping[str, Any]) -> tuple[pl.DataFrame, Skips]:
    """Reads a raw data set.

    Args:
      raw: a folder or file of a layout in READERS.
      options: config.data as a nested mapping; `top_n`, `posts.carousel` and `posts.drop_constant_likes` are read.

    Returns:
      The posts table (columns post.SCHEMA, sorted by account, time, post_id), and what was left out of it.

    Raises:
      ValueError: posts.carousel has an unknown value.
      RawDataError: no reader recognises the data, the data are broken, or no post is left.
    """
    raw, allowed = Path(raw), ALLOWED["posts.carousel"]
    if options["posts"]["carousel"] not in allowed:
        raise ValueError(
            f"config.data.posts.carousel is {options['posts']['carousel']!r}: set it to one of {', '.join(allowed)}"
        )
    skips = Skips()
    table = attribute(reader_of(raw).code)(raw, options, skips)
    if with_defaults(options)["posts"]["drop_constant_likes"]:
        table = drop_hidden_likes(table, skips)
    else:
        warn_hidden_likes(table, skips)
    refuse_empty(table, raw, skips)
    _warn_of_future(table, raw, skips)
    return table, skips


def _warn_of_future(table: pl.DataFrame, raw: Path, skips: Skips) -> None:
    late = table.filter(pl.col("time") > time.time() + 86_400)  # a day: clocks and zones differ
    if len(late):
        account, post_id, when = late.select("account", "post_id", pl.from_epoch("time")).row(0)
        skips.warn(f"{raw}: {len(late)} posts are dated in the future, such as {account}/{post_id}: {when:%Y-%m-%d}")


def reader_of(raw: Path) -> Reader:
    """The first row of READERS that recognises the raw data. Raises RawDataError if none does."""
    for reader in READERS.values():
        if _recognises(reader, raw):
            return reader
    raise RawDataError(raw, *_problem(raw))


def _recognises(reader: Reader, raw: Path) -> bool:
    candidates = (file for pattern in reader.holds for file in raw.glob(pattern)) if raw.is_dir() else iter([raw])
    if not raw.is_dir() and not (raw.is_file() and raw.suffix.lower() in reader.suffixes):
        return False
    if not reader.fits:
        return next(candidates, None) is not None
    return any(attribute(reader.fits)(file) for file in islice(candidates, MOST_TRIED))


def _problem(raw: Path) -> tuple[str, str]:
    """What is wrong with raw data that no reader recognises, and what to do."""
    layouts = f"Give {'; or '.join(reader.layout for reader in READERS.values())}"
    if raw.is_file():
        found = (text for suffixes, text in NO_LISTS.items() if raw.suffix.lower() in suffixes)
        return next(found, ("this file holds no posts that can be read", layouts))
    if not raw.is_dir():
        near = sorted(raw.parent.glob("*.csv")) if raw.parent.is_dir() else []
        return f"this path does not exist{f'; beside it there is {near[0].name}' if near else ''}", layouts
    inside = sorted(islice((folder for folder in raw.iterdir() if folder.is_dir()), MOST_TRIED))
    if found := [folder for folder in inside if any(_recognises(reader, folder) for reader in READERS.values())]:
        return f"no posts were found in this folder, but in {found[0]}", f"Give {found[0]}"
    files = islice((file for pattern in ("*", "*/*") for file in raw.glob(pattern)), MOST_LOOKED_AT)
    for suffixes, text in NO_LISTS.items():
        odd = sorted(file.name for file in raw.glob("*.*") if file.suffix.lower() in suffixes and file.suffix != ".zip")
        if odd and suffixes is not PHOTOS:
            return f"no posts were found in this folder. About {odd[0]}: {text[0]}", text[1]
    if any(file.suffix.lower() in PHOTOS for file in files):
        return "this folder holds photos, and no list of their posts and likes", f"Write one {FORM}"
    lists = sorted([*raw.glob("*.csv"), *raw.glob("*.zip")])
    return f"no posts were found in this folder{f'; give {lists[0].name} itself' if lists else ''}", layouts
