"""The Instagram Influencer Dataset (Kim et al., WWW 2020), in its own layout, -> the posts table.

    influencers.txt               Username, Category, #Followers, #Followees, #Posts (tabs)
    JSON-Image_files_mapping.txt  user, <post>.info, ['<image>.jpg', ...] (tabs; the list is a Python literal)
    info/<user>-<post>.info       one GraphQL node as JSON
    image/<user>-<image>.jpg

Real copies are uneven: a BOM, no header or one followed by a line of `====`, the category `fasion`, repeated mapping
rows, 3.5 % of the .info files missing, others empty or cut. Files are asked for by name: image/ holds 12.9 million of
them, so neither folder is ever listed.
"""

import ast
import json
import os
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl
from tqdm import tqdm

from data_builders.posts.post import Post, RawDataError, Skips, check, is_plain_name
from data_builders.posts.table import PostTable

INFLUENCERS = "influencers.txt"
MAPPING = "JSON-Image_files_mapping.txt"
SECOND_DATASET = ("post_info.txt", "json", "pic")
REQUEST = (
    "The Instagram Influencer Dataset (Kim et al., WWW 2020) is given by its authors for research only: ask with the "
    "request form on the dataset's page, unpack all parts, and give the folder that holds influencers.txt"
)
THREADS = min(32, 4 * (os.cpu_count() or 1))  # reading waits for the disk more than for the processor
SLICE = 64  # posts a thread takes at a time
WINDOW = 8192  # posts in flight


class Influencer(NamedTuple):
    name: str
    category: str
    followers: int


class Row(NamedTuple):
    """One row of the mapping: image names as listed, without the user's prefix."""

    account: str
    post_id: str
    images: list[str]


def read(raw: Path, options: dict, skips: Skips) -> pl.DataFrame:
    """The posts table of the `top_n` accounts with the most followers, chosen before any post is looked at.

    Raises RawDataError when the folder, its two lists or its two folders are not there.
    """
    _refuse_broken_root(raw)
    chosen = top_accounts(read_influencers(raw / INFLUENCERS, skips), options["top_n"])
    if not chosen:
        raise RawDataError(
            raw / INFLUENCERS,
            "no account in it",
            "Each line must read Username, Category, #Followers, #Followees, #Posts, with tabs between",
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
    """The accounts of influencers.txt in file order; a repeated or unreadable line is a "bad row"."""
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
    """The `top_n` accounts with the most followers, ties by name ascending."""
    return sorted(accounts, key=lambda account: (-account.followers, account.name))[:top_n]


def parse_row(line: str) -> Row:
    """One line of the mapping. Raises ValueError when it is cut, no list of names, or would leave the folder."""
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) != 3 or not fields[1].strip().endswith(".info"):
        raise ValueError("a row has three fields: user, <post>.info, [images]")
    if "\\" in fields[2]:
        raise ValueError("a backslash in an image name")
    try:
        images = ast.literal_eval(fields[2].strip())
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"the images are no list literal: {error}") from error
    account, post_id = fields[0].strip(), fields[1].strip().removesuffix(".info")
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise ValueError("the images are no list of names")
    if not all(is_plain_name(name) for name in (account, post_id, *images)):
        raise ValueError("a name that would leave its folder")
    return Row(account, post_id, images)


def parse_info(data: bytes, row: Row) -> Post | str:
    """One .info file -> the post as listed, or the reason to skip it: "info empty" or "info broken"."""
    if not data.strip(b"\xef\xbb\xbf \t\r\n\0"):
        return "info empty"
    node = _loads(data.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(node, dict):
        return "info broken"
    comments = "edge_media_to_comment" if _at(node, "edge_media_to_comment") else "edge_media_preview_comment"
    caption = _edges(node, "edge_media_to_caption")
    return Post(
        account=row.account,
        post_id=row.post_id,
        time=_integer(_at(node, "taken_at_timestamp")),
        likes=_integer(_at(node, "edge_media_preview_like", "count")),
        images=[(os.path.splitext(name)[0], f"image/{row.account}-{name}") for name in row.images],
        caption=_text(_at(caption[0], "node", "text")) if caption else "",
        comments=_comments(_edges(node, comments)),
        comment_count=_integer(_at(node, comments, "count")) or 0,
        sponsored=bool(_edges(node, "edge_media_to_sponsor_user")),
        tagged=len(_edges(node, "edge_media_to_tagged_user")),
        video=_at(node, "is_video") is True or _at(node, "__typename") == "GraphVideo",
        shortcode=_text(_at(node, "shortcode")),
    )


def _comments(edges: list) -> list[str]:
    """The comments, a line each: the earliest first where every one tells its time, else as the file has them."""
    found = []
    for edge in edges:
        # The data set keeps a post's comments as lines, so that a break within one would make two of it.
        if text := " ".join(_text(_at(edge, "node", "text")).splitlines()):
            found.append((_integer(_at(edge, "node", "created_at")), text))
    if all(time is not None for time, _ in found):
        found.sort(key=lambda comment: comment[0])
    return [text for _, text in found]


def _refuse_broken_root(raw: Path) -> None:
    if not raw.is_dir():
        raise RawDataError(raw, "there is no such folder", REQUEST)
    missing = [name for name in (INFLUENCERS, MAPPING, "info", "image") if not (raw / name).exists()]
    found = [name for name in SECOND_DATASET if (raw / name).exists()]
    if missing and found:
        raise RawDataError(
            raw,
            f"this is the authors' second dataset (influencers and brands), it holds {', '.join(found)}",
            f"Its layout is not read. {REQUEST}",
        )
    if (raw / "Post_metadata").exists() and "info" in missing:
        raise RawDataError(raw, "the archives are still packed", "Unpack all parts, so that info/ and image/ lie here")
    if missing:
        raise RawDataError(
            raw, f"{', '.join(missing)} not found", f"{REQUEST}. People's own posts come as posts.csv instead"
        )


def _find_rows(path: Path, accounts: set[str], skips: Skips) -> dict[str, array]:
    """Where each account's rows start: 8 bytes a row, however long the file. Names ascending."""
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
    """The usable rows, account by account; of a repeated post the first row counts."""
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
    """The checked posts in the order of their rows; a window of them is in flight at a time."""
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


def _loads(data: bytes) -> Any:
    """The JSON value, None where broken. orjson refuses half an emoji and stray bytes, which only harm a caption."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _edges(node: dict, key: str) -> list:
    edges = _at(node, key, "edges")
    return edges if isinstance(edges, list) else []


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _text(value: Any) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _whole_number(text: str) -> int | None:
    digits = text.replace(",", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
