"""Reads your own posts from a CSV file with the columns image, account, likes, timestamp and optionally post, caption.

Image paths, likes and timestamps may be written in the ways that `image_paths`, `like_counts` and `times` know. Rows
with the same `post` are one carousel, in the order of the rows. A list knows no followers, so every account is kept.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.posts.csv_rows import CsvRows
from data_builders.posts.image_paths import StoredPaths, relative_path
from data_builders.posts.like_counts import LikeCounts
from data_builders.posts.post import LONGEST_SHOWN, MAX_TIME, Post, Skips, is_plain_name, short
from data_builders.posts.spreadsheets import is_scientific
from data_builders.posts.table import composed, table_of
from data_builders.posts.times import Times, parse

NAMES = ("posts.csv", "posts.tsv")  # of the list in a folder
REQUIRED = ("image", "account", "likes", "timestamp")
OPTIONAL = ("post", "caption")
FORM = "Let the first line read image,account,likes,timestamp; the columns post and caption are optional"
ROUNDED = (
    "; a spreadsheet rounded some (1.58E+09): give the column the format of whole numbers there, and save it again"
)

DIGITS = "write it in plain digits, as 12000"
TIME = "write it as 2020-04-03 or in Unix seconds"

_LIKES = re.compile(r"[\d.,\s'\u2019-]*(?:[^\W\d_]{1,3}\.?)?(?:\+\d+)?")  # roughly


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads a CSV file. Image ids are the image paths as written, or below the file's folder for absolute paths.

    Args:
      raw: the file, or a folder with posts.csv or posts.tsv.
      options: config.data; `posts.carousel` is read. Where it has `only_account`, the column account may be missing;
        then all posts are of the account of that name, with a warning.
      skips: counts what is left out.

    Returns:
      The posts table (columns post.SCHEMA), every account in it.

    Raises:
      RawDataError: the file is no UTF-8 CSV, its header lacks or repeats a column, a quote does not close, or the
        columns likes or timestamp can be read in two ways. Names the line.
    """
    path = next((raw / name for name in NAMES if (raw / name).is_file()), raw) if raw.is_dir() else raw
    root = path.parent
    only = options.get("only_account", "")
    table = CsvRows(path, REQUIRED, OPTIONAL, FORM, {"account": only} if only else {})
    if only and "account" not in table.columns:
        skips.warn(f"{path}: there is no column account, so all posts are taken for those of one account, {only}")
    if unread := [name for name in table.columns if name and name not in REQUIRED + OPTIONAL]:
        skips.warn(f"{path}: columns that are not read: {', '.join(name[:LONGEST_SHOWN] for name in unread)}")
    likes_column, times = LikeCounts(path), Times(path, "timestamp")
    for number, row in table.rows(_is_row, Skips()):
        likes_column.see(row["likes"], number)
        times.see(row["timestamp"], number)
    likes_column.settle()
    times.settle()
    roots = tuple(dict.fromkeys(map(os.fspath, (root.absolute(), root.resolve()))))
    paths = StoredPaths(root)
    accounts: dict[str, dict[str, Post]] = {}
    unread_times: list[tuple[str, str]] = []
    for number, row in table.rows(_is_row, skips):
        name = f"{path.name}:{number}"
        post = _post(row, name, roots, paths, likes_column, skips)
        if post is None:
            continue
        post.time = times.read(row["timestamp"])
        if post.time is None:
            unread_times.append((name, row["timestamp"]))
        if post.likes is None or post.likes < 1:
            post.fault = f"{name}: likes {short(row['likes'])}; write how many the post has, 1 or more"
        elif post.time is None or not 0 < post.time < MAX_TIME:
            post.fault = f"{name}: timestamp {short(row['timestamp'])}; {TIME}"
        _add(post, accounts.setdefault(composed(post.account), {}), name, skips)
    _warn(path, likes_column, times, unread_times, skips)
    paths.warn(path, skips)
    listed = {account: list(posts.values()) for account, posts in accounts.items()}
    return table_of(listed, lambda where: os.path.isfile(f"{root}/{where}"), options["posts"]["carousel"], skips)


def _is_row(row: dict[str, str]) -> bool:
    time = parse(row["timestamp"]) or parse(row["timestamp"], "-/")
    return bool(row["image"]) and time is not None and _LIKES.fullmatch(row["likes"]) is not None


def _post(
    row: dict[str, str], name: str, roots: tuple[str, ...], paths: StoredPaths, column: LikeCounts, skips: Skips
) -> Post | None:
    """The post of a row without its time, or None if its image, account or likes cannot be read."""
    image, account = row["image"], sys.intern(row["account"])  # one string object per account
    where = relative_path(image, roots)
    if where is None:
        why = "the image must lie below the folder of this file" if image else "write the path of a photo"
        why = "download it first, and write its path" if "://" in image else why
        skips.add("bad row", f"{name}: image {short(image)} of account {short(account)}; {why}")
        return None
    if not is_plain_name(account):
        why = "write a name without slashes and control characters"
        skips.add("bad row", f"{name}: account {short(account)} of image {short(image)}; {why}")
        return None
    try:
        likes = column.read(row["likes"])
    except ValueError as error:
        skips.add("bad row", f"{name}: likes {error}; {DIGITS}")
        return None
    found = paths.find(where)
    fault = "" if found else f"{name}: image {short(image)}; put the photo there, or correct the path"
    where = found or where
    image_id = where if image.lower().startswith(("/", "~", "file:")) else image
    return Post(account, row["post"] or image_id, None, likes, [(image_id, where)], caption=row["caption"], fault=fault)


def _add(post: Post, posts: dict[str, Post], name: str, skips: Skips) -> None:
    """Adds a row's post to those of its account; rows of one post are put together."""
    first = posts.setdefault(post.post_id, post)
    if first is post:
        return
    if (first.time, first.likes) != (post.time, post.likes):
        one = "rows of one post have the same likes and timestamp; give other posts another name in the column post"
        skips.add(
            "bad row", f"{name}: likes or timestamp differ from the first row of post {short(post.post_id)}; {one}"
        )
        return
    where = post.images[0][1]
    if any(where == other for _, other in first.images):
        skips.add("duplicate post", f"{name}: {post.account}/{post.post_id}: {where}")
        return
    first.images += post.images


def _warn(path: Path, likes: LikeCounts, times: Times, unread: list[tuple[str, str]], skips: Skips) -> None:
    for note in times.notes():
        skips.warn(note)
    if unread:
        odd = f"{len(unread)} timestamps cannot be read, such as {unread[0][0]}: {short(unread[0][1])}"
        rounded = any(is_scientific(cell) for _, cell in unread)
        skips.warn(f"{path}: {odd}{ROUNDED if rounded else ''}")
    if likes.rounded:
        skips.warn(f"{path}: {likes.rounded} like counts are rounded (1.2K); pairs of them may be wrong by that much")
