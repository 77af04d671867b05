"""Reads FlickrUser (Abdullahu and Grabner, ECCV 2024): 500,000 photos of 2,500 Flickr accounts.

    FlickrUser.csv                user, img_id, img_url, views, favorites, comments, upload_date, and more columns
    images/<img_id>.jpg           the photos, as `ipa-jax fetch-images FlickrUser.csv --to FOLDER` writes them

Likes are the favorites. A photo without any cannot be compared by a ratio and is left out ("likes below 1").
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.posts.csv_rows import CsvRows
from data_builders.posts.like_counts import LikeCounts
from data_builders.posts.post import Post, RawDataError, Skips, is_plain_name
from data_builders.posts.table import table_of
from data_builders.posts.times import Times

REQUIRED = ("user", "img_id", "favorites", "upload_date")
OPTIONAL = ("img_url", "comments")
FORM = "Let the first line read user,img_id,img_url,views,favorites,comments,upload_date; other columns are not read"
IMAGES = "images"
NAMES = "FlickrUser*.csv"


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads the CSV file. All accounts are kept.

    Args:
      raw: the file, or its folder.
      options: config.data.
      skips: counts what is left out. A warning gives the share of photos without favorites, and another one says in
        which form the upload dates are.

    Returns:
      The posts table (columns post.SCHEMA): each photo is a post, and img_id is its post id and its image id.

    Raises:
      RawDataError: the file is no UTF-8 CSV, lacks a column, can be read in two ways, or its folder has no images/.
    """
    path = next((file for file in sorted(raw.glob(NAMES)) if fits(file)), raw) if raw.is_dir() else raw
    if not (path.parent / IMAGES).is_dir():
        raise RawDataError(
            path.parent, f"there is no folder {IMAGES}/", f"Run: ipa-jax fetch-images {path} --to {path.parent}"
        )
    rows = CsvRows(path, REQUIRED, OPTIONAL, FORM)
    favorites, times = LikeCounts(path), Times(path, "upload_date")
    for number, row in rows.rows(_is_row, Skips()):
        favorites.see(row["favorites"], number)
        times.see(row["upload_date"], number)
    favorites.settle()
    times.settle()
    accounts: dict[str, list[Post]] = {}
    for number, row in rows.rows(_is_row, skips):
        post = _post(row, favorites, times)
        if post is None:
            skips.add("bad row", f"{path.name}:{number}: user {row['user']!r}, img_id {row['img_id']!r}, "
                                 f"favorites {row['favorites']!r}")  # fmt: skip
        else:
            accounts.setdefault(post.account, []).append(post)
    _warn(path, accounts, times, skips)
    root = os.fspath(path.parent)
    return table_of(accounts, lambda where: os.path.isfile(f"{root}/{where}"), options["posts"]["carousel"], skips)


def fits(file: Path) -> bool:
    """Whether a CSV file has the columns of FlickrUser."""
    try:
        return bool(CsvRows(file, REQUIRED, OPTIONAL, FORM))
    except (RawDataError, OSError):
        return False


def _is_row(row: dict[str, str]) -> bool:
    return row["img_id"].isdigit() and row["favorites"].isdigit()


def _post(row: dict[str, str], favorites: LikeCounts, times: Times) -> Post | None:
    account, number = sys.intern(row["user"]), row["img_id"]
    if not is_plain_name(account) or not is_plain_name(number):
        return None
    try:
        likes = favorites.read(row["favorites"])
    except ValueError:
        return None
    comments = int(row["comments"]) if row["comments"].isdigit() and len(row["comments"]) < 10 else 0
    images = [(number, f"{IMAGES}/{number}.jpg")]
    return Post(account, number, times.read(row["upload_date"]), likes, images, comment_count=comments)


def _warn(path: Path, accounts: Mapping[str, list[Post]], times: Times, skips: Skips) -> None:
    total = sum(map(len, accounts.values()))
    without = sum(post.likes == 0 for posts in accounts.values() for post in posts)
    if without:
        skips.warn(f"{path}: {without} of {total} photos ({without / total:.0%}) have no favorites and are left out")
    forms = ", ".join(f"{count} {form}" for form, count in times.forms.most_common()) or "none could be read"
    skips.warn(f"{path}: the upload dates were read as {forms}; those without a time zone as UTC")
