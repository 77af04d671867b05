"""Reads your own posts from a CSV file with the columns image, account, likes, timestamp and optionally post, caption.

Image paths are relative to the CSV file and must stay below its folder. A timestamp is a whole number of Unix seconds
or ISO 8601; without an offset it counts as UTC. Rows with the same `post` are one carousel, in the order of the rows. A
CSV file knows no followers, so every account is kept. Commas or semicolons separate the columns; a BOM is allowed.
"""

import csv
import math
import os
import posixpath
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from data_builders.posts.post import Post, RawDataError, Skips, check, is_plain_name
from data_builders.posts.table import PostTable

REQUIRED = ("image", "account", "likes", "timestamp")
OPTIONAL = ("post", "caption")
FORM = "Let the first line read image,account,likes,timestamp; the columns post and caption are optional"
ENCODING = "Save it as CSV in UTF-8, with commas or semicolons"


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads a CSV file. Image ids are the image paths as written.

    Args:
      raw: the file, or a folder with posts.csv.
      options: config.data; `posts.carousel` is read.
      skips: counts what is left out.

    Returns:
      The posts table (columns post.SCHEMA), every account in it.

    Raises:
      RawDataError: the file is not a CSV file in UTF-8, or its header lacks or repeats a column.
    """
    path = raw / "posts.csv" if raw.is_dir() else raw
    root = os.fspath(path.parent)
    accounts: dict[str, dict[str, Post]] = {}
    naive = 0
    for number, row in _rows(path, skips):
        name = f"{path.name}:{number}"
        image, account = row["image"], sys.intern(row["account"])  # one string object per account
        where = relative_path(image)
        if where is None or not is_plain_name(account):
            skips.add("bad row", f"{name}: image {image!r} of account {account!r}")
            continue
        try:
            likes = parse_likes(row["likes"])
        except ValueError:
            skips.add("bad row", f"{name}: likes {row['likes']!r}")
            continue
        time, is_naive = parse_time(row["timestamp"])
        naive += is_naive
        post_id = row["post"] or image
        post = accounts.setdefault(account, {}).setdefault(
            post_id, Post(account, post_id, time, likes, [], caption=row["caption"])
        )
        if (post.time, post.likes) != (time, likes):
            skips.add("bad row", f"{name}: likes or timestamp differ from the first row of post {post_id!r}")
            continue
        if any(where == other for _, other in post.images):
            skips.add("duplicate post", f"{name}: {account}/{post_id}: {where}")
            continue
        post.images.append((image, where))
    if naive:
        skips.warn(f"{path}: {naive} timestamps have no time zone; they are read as UTC")
    return _table(accounts, lambda where: os.path.isfile(f"{root}/{where}"), options["posts"]["carousel"], skips)


def relative_path(image: str) -> str | None:
    """The image's path below the CSV file's folder, with `/` in it; None if it is empty or leads out of the folder."""
    where = posixpath.normpath(image.replace("\\", "/")) if image else "."
    outside = where in (".", "..") or where.startswith(("/", "../")) or where[1:2] == ":"
    if outside or not all(map(is_plain_name, where.split("/"))):
        return None
    return image if where == image else where  # one string object, not two: there may be a million rows


def parse_likes(text: str) -> int | None:
    """A whole number of likes (spreadsheets write 12 as 12.0), or None if the cell is empty or `--`.

    Raises ValueError for any other text.
    """
    if text in ("", "--"):
        return None
    if "_" in text:  # Python would read 1_000
        raise ValueError(f"{text!r} is not a whole number")
    try:
        likes = int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text!r} is not a whole number") from None
        likes = int(number)
    if abs(likes) >= 2**63:
        raise ValueError(f"{text!r} is too large")
    return likes


def parse_time(text: str) -> tuple[int | None, bool]:
    """(Unix seconds rounded down, or None if the text is not a time; whether the time zone is missing)."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        return (math.floor(seconds) if math.isfinite(seconds) else None), False
    try:
        moment = datetime.fromisoformat(text)
        naive = moment.tzinfo is None
        return math.floor((moment.replace(tzinfo=UTC) if naive else moment).timestamp()), naive
    except (ValueError, OverflowError):
        return None, False


def _rows(path: Path, skips: Skips) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, cell by column) of each row; an optional column that is absent is empty."""
    try:
        with (
            open(path, encoding="utf-8-sig", newline="") as lines,
            tqdm(unit="row", desc=f"read {path.name}") as progress,
        ):
            first = lines.readline()
            delimiter = ";" if first.count(";") > first.count(",") else ","
            columns = _columns(path, next(csv.reader([first], delimiter=delimiter), []), skips)
            reader = csv.reader(lines, delimiter=delimiter)
            width = len(columns)
            for cells in reader:
                progress.update()
                number = reader.line_num + 1
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != width:
                    skips.add("bad row", f"{path.name}:{number}: {len(cells)} cells, but the header has {width}")
                    continue
                row: dict[str, str] = dict.fromkeys(OPTIONAL, "")
                row.update((name, cell.strip()) for name, cell in zip(columns, cells, strict=True))
                yield number, row
    except UnicodeDecodeError as error:
        raise RawDataError(path, f"this file is not UTF-8 ({error.reason})", ENCODING) from error
    except csv.Error as error:
        raise RawDataError(path, f"this file is not a CSV file ({error})", ENCODING) from error


def _columns(path: Path, header: list[str], skips: Skips) -> list[str]:
    columns = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise RawDataError(path, f"the header lacks the column {', '.join(missing)}", FORM)
    for name in REQUIRED + OPTIONAL:
        if columns.count(name) > 1:
            raise RawDataError(path, f"the header names the column {name} twice", FORM)
    unread = [name for name in columns if name not in REQUIRED + OPTIONAL]
    if unread:
        skips.warn(f"{path}: columns that are not read: {', '.join(unread)}")
    return columns


def _table(
    accounts: dict[str, dict[str, Post]], exists: Callable[[str], bool], carousel: str, skips: Skips
) -> pl.DataFrame:
    table = PostTable(skips)
    for account in sorted(accounts):
        kept = []
        for listed in accounts.pop(account).values():
            post, left_out = check(listed, exists, carousel)
            for reason, record in left_out:
                skips.add(reason, record)
            if post is not None:
                kept.append(post)
        table.add_account(account, 0, "", kept)
    return table.finish()
