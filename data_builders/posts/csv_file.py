"""People's own posts, listed in a CSV file `image,account,likes,timestamp[,post,caption]`, -> the posts table.

Image paths are relative to the file and stay below its folder. A timestamp is a whole number of Unix seconds or ISO
8601; without an offset it is taken as UTC. Rows that share `post` are one carousel, in the order of their rows. There
are no followers, so every account is kept. Commas or semicolons, with or without a BOM.
"""

import csv
import math
import os
import posixpath
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data_builders.posts.post import Post, RawDataError, Skips, check, is_plain_name
from data_builders.posts.table import PostTable

REQUIRED = ("image", "account", "likes", "timestamp")
OPTIONAL = ("post", "caption")
FORM = "The first line must read image,account,likes,timestamp with post and caption as optional columns"
ENCODING = "Save it as CSV in UTF-8, with commas or semicolons"


def read(path: Path, options: dict, skips: Skips) -> pl.DataFrame:
    """The posts table of a CSV file; image ids are the paths as written.

    Raises RawDataError when the file is not there, is no UTF-8 CSV, or its header lacks or repeats a column.
    """
    path = Path(path)
    if not path.is_file():
        raise RawDataError(path, "there is no such file", FORM)
    root = os.fspath(path.parent)
    accounts: dict[str, dict[str, Post]] = {}
    naive = 0
    for number, row in _rows(path, skips):
        name = f"{path.name}:{number}"
        image, account = row["image"], sys.intern(row["account"])  # one string for all of an account's rows
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
        skips.warn(f"{path}: {naive} timestamps have no time zone and were taken as UTC")
    return _table(accounts, lambda where: os.path.isfile(f"{root}/{where}"), options["posts"]["carousel"], skips)


def relative_path(image: str) -> str | None:
    """The image's path below the CSV's folder, `/` between parts; None where it is empty or leads elsewhere."""
    where = posixpath.normpath(image.replace("\\", "/")) if image else "."
    outside = where in (".", "..") or where.startswith(("/", "../")) or where[1:2] == ":"
    if outside or not all(map(is_plain_name, where.split("/"))):
        return None
    return image if where == image else where  # the same string once: a million rows may follow


def parse_likes(text: str) -> int | None:
    """A whole number (spreadsheets write 12.0 for 12); None where the cell is empty or `--`; else ValueError."""
    if text in ("", "--"):
        return None
    if "_" in text:  # Python would read 1_000
        raise ValueError(f"{text!r} is no whole number")
    try:
        likes = int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text!r} is no whole number") from None
        likes = int(number)
    if abs(likes) >= 2**63:
        raise ValueError(f"{text!r} is too large")
    return likes


def parse_time(text: str) -> tuple[int | None, bool]:
    """(Unix seconds rounded down, whether a time zone was missing); None where the text is no time."""
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
    """(line number, the columns that are read) of each row; absent optional columns are empty."""
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
                    skips.add("bad row", f"{path.name}:{number}: {len(cells)} cells where the header has {width}")
                    continue
                row = dict.fromkeys(OPTIONAL, "")
                row.update((name, cell.strip()) for name, cell in zip(columns, cells, strict=True))
                yield number, row
    except UnicodeDecodeError as error:
        raise RawDataError(path, f"it is not UTF-8 ({error.reason})", ENCODING) from error
    except csv.Error as error:
        raise RawDataError(path, f"it is no CSV ({error})", ENCODING) from error


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
