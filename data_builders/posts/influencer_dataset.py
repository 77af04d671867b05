"""Reads the Instagram Influencer Dataset (Kim et al., WWW 2020) in its authors' layout.

    influencers.txt               Username, Category, #Followers, #Followees, #Posts (tabs)
    JSON-Image_files_mapping.txt  user, <post>.info, ['<image>.jpg', ...] (tabs; the list is a Python literal)
    info/<user>-<post>.info       a GraphQL node as JSON
    image/<user>-<image>.jpg

Real copies have defects: a BOM, no header or a header followed by a line of `====`, the category `fasion`, repeated
rows of the mapping; 3.5 % of the .info files are missing, others are empty or cut short. Files are opened by name:
image/ holds 12.9 million of them, so neither folder is ever listed.
"""

import ast
import os
from array import array
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from tqdm import tqdm

from data_builders.posts import graphql_node
from data_builders.posts.post import Post, RawDataError, Skips, check, is_plain_name
from data_builders.posts.table import PostTable

INFLUENCERS = "influencers.txt"
MAPPING = "JSON-Image_files_mapping.txt"
SECOND_DATASET = ("post_info.txt", "json", "pic")
REQUEST = (
    "The authors give the Instagram Influencer Dataset (Kim et al., WWW 2020) for research only: ask them with the "
    "request form on the data set's page, unpack all parts, and give the folder that holds influencers.txt"
)
THREADS = min(32, 4 * (os.cpu_count() or 1))  # they wait for the disk most of the time
SLICE = 64  # posts that a thread takes at a time
WINDOW = 8192  # posts that all threads work on at a time


class Influencer(NamedTuple):
    """An account of influencers.txt."""

    name: str
    category: str
    followers: int


class Row(NamedTuple):
    """A row of the mapping. `images` are file names as listed, without the prefix `<user>-`."""

    account: str
    post_id: str
    images: list[str]


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads the posts of the accounts with the most followers. The accounts are chosen before any post is read.

    Args:
      raw: the folder that holds influencers.txt.
      options: config.data; `top_n` (accounts) and `posts.carousel` are read. `accounts`, if there are any, are the only
        ones of them to read.
      skips: counts what is left out.

    Returns:
      The posts table (columns post.SCHEMA).

    Raises:
      RawDataError: one of the two lists or of the two folders is missing, or no account is listed.
    """
    _refuse_broken_root(raw)
    chosen = top_accounts(read_influencers(raw / INFLUENCERS, skips), options["top_n"])
    if wanted := options.get("accounts"):
        chosen = [account for account in chosen if account.name in wanted]
    if not chosen:
        raise RawDataError(
            raw / INFLUENCERS,
            "this file lists no account",
            "Let each line read Username, Category, #Followers, #Followees, #Posts, with tabs between them",
        )
    offsets = _find_rows(raw / MAPPING, {account.name for account in chosen}, skips)
    by_name = {account.name: account for account in chosen}
    table = PostTable(skips)
    total = sum(len(rows) for rows in offsets.values())
    with open(raw / MAPPING, "rb") as mapping, tqdm(total=total, unit="post", desc="read .info") as progress:
        rows = _rows(mapping, offsets, skips, progress)
        for name, posts in _by_account(_read_posts(raw, rows, options["posts"]["carousel"], skips)):
            table.add_account(name, by_name[name].followers, by_name[name].category, posts)
    return table.finish()


def read_influencers(path: Path, skips: Skips) -> list[Influencer]:
    """The accounts of influencers.txt in file order. A repeated or unreadable line is counted as "bad row"."""
    accounts: dict[str, Influencer] = {}
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as lines:
        first = True
        for number, line in enumerate(lines, 1):
            fields = [field.strip() for field in line.split("\t")]
            if not any(field.strip("=") for field in fields):
                continue  # blank, or the ==== below the header
            followers = _whole_number(fields[2]) if len(fields) > 2 else None
            if followers is None or fields[0] in accounts or not is_plain_name(fields[0]):
                if not (first and followers is None and len(fields) > 2 and not any(c.isdigit() for c in fields[2])):
                    skips.add("bad row", f"{path.name}:{number}: {line.strip()[:80]}")
            else:
                category = fields[1].lower()
                category = "fashion" if category == "fasion" else category
                accounts[fields[0]] = Influencer(fields[0], category, followers)
            first = False
    return list(accounts.values())


def top_accounts(accounts: list[Influencer], top_n: int) -> list[Influencer]:
    """The `top_n` accounts with the most followers; of equal ones those whose names come first."""
    return sorted(accounts, key=lambda account: (-account.followers, account.name))[:top_n]


def parse_row(line: str) -> Row:
    """Parses a line of the mapping. Raises ValueError if it is cut short, lists no names or leads out of the folder."""
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) != 3 or not fields[1].strip().endswith(".info"):
        raise ValueError("this row does not have the three fields user, <post>.info, [images]")
    if "\\" in fields[2]:
        raise ValueError("an image name has a backslash")
    try:
        images = ast.literal_eval(fields[2].strip())
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"the images are not a list: {error}") from error
    account, post_id = fields[0].strip(), fields[1].strip().removesuffix(".info")
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise ValueError("the images are not a list of names")
    if not all(is_plain_name(name) for name in (account, post_id, *images)):
        raise ValueError("a name leads out of its folder")
    return Row(account, post_id, images)


def parse_info(data: bytes, row: Row) -> Post | str:
    """Parses a .info file: the post, or the reason to leave it out, which is "info empty" or "info broken"."""
    if not data.strip(b"\xef\xbb\xbf \t\r\n\0"):
        return "info empty"
    images = [(os.path.splitext(name)[0], f"image/{row.account}-{name}") for name in row.images]
    return graphql_node.parse(data, row.account, row.post_id, images) or "info broken"


def _refuse_broken_root(raw: Path) -> None:
    missing = [name for name in (INFLUENCERS, MAPPING, "info", "image") if not (raw / name).exists()]
    found = [name for name in SECOND_DATASET if (raw / name).exists()]
    if missing and found:
        raise RawDataError(
            raw,
            f"this is the authors' second data set, of influencers and brands: it holds {', '.join(found)}",
            f"This layout is not supported. {REQUEST}",
        )
    if (raw / "Post_metadata").exists() and "info" in missing:
        raise RawDataError(raw, "the archives are still packed", "Unpack all parts: this folder needs info/ and image/")
    if missing:
        raise RawDataError(raw, f"{', '.join(missing)} not found", f"{REQUEST}. Or list your own posts in posts.csv")


def _find_rows(path: Path, accounts: set[str], skips: Skips) -> dict[str, array]:
    """Byte offsets of each account's rows, accounts ascending. They take 8 bytes per row, however long the rows are."""
    offsets = {name.encode(): array("q") for name in sorted(accounts)}
    start = 0
    with (
        open(path, "rb") as lines,
        tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=f"scan {path.name}") as progress,
    ):
        for line in lines:
            user, tab, _ = line.removeprefix(b"\xef\xbb\xbf" if start == 0 else b"").partition(b"\t")
            rows = offsets.get(user.strip())
            if rows is not None and tab:
                rows.append(start)
            elif not tab and start > 0 and user.strip(b"= \r\n"):
                skips.add("bad row", f"{path.name}: byte {start}: {user[:80].decode('utf-8', 'replace').strip()}")
            start += len(line)
            progress.update(len(line))
    return {name.decode(): rows for name, rows in offsets.items()}


def _rows(mapping: Any, offsets: dict[str, array], skips: Skips, progress: tqdm) -> Iterator[Row]:
    """The usable rows, account by account. If a post is repeated, its first row counts."""
    for starts in offsets.values():
        seen = set()
        for start in starts:
            mapping.seek(start)
            line = mapping.readline().decode("utf-8-sig" if start == 0 else "utf-8", "replace")
            progress.update()
            try:
                row = parse_row(line)
            except ValueError as error:
                skips.add("bad row", f"{MAPPING}: byte {start}: {error}: {line.strip()[:80]}")
                continue
            if row.post_id in seen:
                skips.add("duplicate mapping row", f"{row.account}/{row.post_id}")
                continue
            seen.add(row.post_id)
            yield row


def _read_posts(raw: Path, rows: Iterator[Row], carousel: str, skips: Skips) -> Iterator[Post]:
    """The checked posts in the order of their rows, read by threads, WINDOW posts at a time."""
    root = os.fspath(raw)
    with ThreadPoolExecutor(THREADS) as pool:
        while window := list(islice(rows, WINDOW)):
            slices = [window[i : i + SLICE] for i in range(0, len(window), SLICE)]
            for results in pool.map(lambda part: [_read_post(root, row, carousel) for row in part], slices):
                for post, left_out in results:
                    for reason, record in left_out:
                        skips.add(reason, record)
                    if post is not None:
                        yield post


def _read_post(root: str, row: Row, carousel: str) -> tuple[Post | None, list[tuple[str, str]]]:
    name = f"{row.account}/{row.post_id}"
    try:
        with open(f"{root}/info/{row.account}-{row.post_id}.info", "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        return None, [("info missing", name)]
    except OSError as error:
        return None, [("info broken", f"{name}: {error.strerror}")]
    post = parse_info(data, row)
    if isinstance(post, str):
        return None, [(post, name)]
    return check(post, lambda path: os.path.isfile(f"{root}/{path}"), carousel)


def _by_account(posts: Iterator[Post]) -> Iterator[tuple[str, list[Post]]]:
    account: list[Post] = []
    for post in posts:
        if account and account[0].account != post.account:
            yield account[0].account, account
            account = []
        account.append(post)
    if account:
        yield account[0].account, account


def _whole_number(text: str) -> int | None:
    digits = text.replace(",", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
