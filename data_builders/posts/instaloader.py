"""Reads profile folders that Instaloader downloaded: photos with a metadata file for each post.

    2020-01-31_14-05-09_UTC.jpg          the photo; _1.jpg, _2.jpg, ... in a carousel; also the thumbnail of a video
    2020-01-31_14-05-09_UTC.json.xz      {"node": ..., "instaloader": {"node_type": "Post", ...}}; or .json
    2020-01-31_14-05-09_UTC.txt          the caption

The folder is one profile, or holds several of them side by side. Files may be named by another pattern, as long as a
post's files share their stem. Other metadata (of profiles, stories, hashtags), comments and profile pictures are not
read.
"""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from tqdm import tqdm

from data_builders.posts import graphql_node, json_file
from data_builders.posts.json_file import JsonError, at, integer, items, text
from data_builders.posts.post import Post, RawDataError, Skips, is_plain_name
from data_builders.posts.table import table_of

PHOTOS = (".jpg", ".jpeg", ".webp", ".png", ".heic", ".avif")
METADATA = (".json.xz", ".json")
MOST_METADATA = 32 << 20  # bytes of a post's JSON, comments included
MOST_CAPTION = 1 << 16  # bytes
MOST_CHILDREN = 100  # of a carousel; Instagram allows 20
HIDDEN_BELOW = 10  # likes: with hidden likes, so small a count is no count

_TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
_PHOTO = re.compile(r"(.*_UTC)(?:_\d+)?\.(?:jpe?g|webp|png|heic|avif)")


class Owner(NamedTuple):
    """Who posted: the account's number and name as the metadata give them ("" if unknown), and the folder's name."""

    number: str
    name: str
    folder: str


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads a profile folder, or all profile folders in a folder.

    Args:
      raw: the folder.
      options: config.data; `posts.carousel` is read.
      skips: counts what is left out.

    Returns:
      The posts table (columns post.SCHEMA). An account that was renamed has its newest name. Image ids are the photos'
      file names without the extension.

    Raises:
      RawDataError: there are photos, but no metadata.
    """
    found: list[tuple[Owner, Post]] = []
    for folder in (raw, *sorted(entry for entry in raw.iterdir() if entry.is_dir())):
        found += _posts(folder, f"{folder.name}/" if folder != raw else "", skips)
    if not found and skips.counts["info missing"]:
        raise RawDataError(
            raw,
            f"{skips.counts['info missing']} posts have photos, but no file .json.xz or .json, which holds the likes",
            "Run instaloader again without --no-metadata-json",
        )
    names = _names(found)
    accounts: dict[str, list[Post]] = {}
    for owner, post in found:
        post.account = names[owner]
        if is_plain_name(post.account):
            accounts.setdefault(post.account, []).append(post)
        else:
            skips.add("bad row", f"account {post.account!r} of post {post.post_id}")
    return table_of(accounts, lambda where: os.path.isfile(raw / where), options["posts"]["carousel"], skips)


def parse(value: Any, stem: str, prefix: str, files: frozenset[str] | set[str]) -> Post | None:
    """Reads a post's metadata.

    Args:
      value: the content of the metadata file.
      stem: what the names of the post's files begin with.
      prefix: the path of their folder relative to the raw folder, "" or with / at its end.
      files: the names of all files in the folder.

    Returns:
      The post without its account, or None if these are not the metadata of a post.
    """
    node = at(value, "node")
    if not isinstance(node, dict) or at(value, "instaloader", "node_type") not in (None, "Post"):
        return None
    shortcode = text(at(node, "shortcode") or at(node, "code") or at(node, "iphone_struct", "code"))
    names = _photos(node, stem, files)
    images = [(os.path.splitext(name)[0], f"{prefix}{name}") for name in names or ()]
    post = graphql_node.post_of(node, "", shortcode or stem, images)
    phone = at(node, "iphone_struct")
    post.likes = _likes(node)
    post.shortcode = shortcode
    post.caption = post.caption or text(at(phone, "caption", "text"))
    for time in (at(node, "taken_at_timestamp"), at(node, "date"), at(phone, "taken_at"), _time_of(stem)):
        post.time = integer(time) if post.time is None else post.time
    post.video = post.video or names is None or at(phone, "media_type") == 2
    return post


def _posts(folder: Path, prefix: str, skips: Skips) -> Iterator[tuple[Owner, Post]]:
    with os.scandir(folder) as entries:
        files = {entry.name for entry in entries if entry.is_file()}
    stems: dict[str, str] = {}
    for end in METADATA:
        for name in sorted(files):
            if name.endswith(end) and not name.startswith("iterator_") and not name.endswith(f"_comments{end}"):
                stems.setdefault(name.removesuffix(end), name)
    for stem, name in tqdm(sorted(stems.items()), unit="post", desc=f"read {folder.name}", disable=not stems):
        try:
            value = json_file.read(folder / name, MOST_METADATA)
        except JsonError as error:
            skips.add("info broken", f"{prefix}{name}: {error}")
            continue
        post = parse(value, stem, prefix, files)
        if post is None:
            continue
        if f"{stem}.txt" in files:
            post.caption = _caption(folder / f"{stem}.txt") or post.caption
        phone = at(value, "node", "iphone_struct", "user")
        owner = at(value, "node", "owner")
        number = at(owner, "id") or at(phone, "pk")
        yield (
            Owner(str(number or ""), text(at(owner, "username") or at(phone, "username")), folder.absolute().name),
            post,
        )
    photos = {match[1] for name in files if (match := _PHOTO.fullmatch(name)) and _TIME.search(name)}
    for stem in sorted(photos - stems.keys()):
        skips.add("info missing", f"{prefix}{stem}")


def _photos(node: dict, stem: str, files: frozenset[str] | set[str]) -> list[str] | None:
    """The names of the post's photos, those of a carousel in order; None if it has only videos.

    A photo that should be there and is not has the name that Instaloader would give it.
    """
    children = [at(edge, "node", "is_video") for edge in items(node, "edge_sidecar_to_children", "edges")]
    children = children or [at(child, "media_type") == 2 for child in items(node, "iphone_struct", "carousel_media")]
    count = min(len(children), MOST_CHILDREN)
    while count < MOST_CHILDREN and _photo(f"{stem}_{count + 1}", files):
        count += 1
    if not count:
        return None if f"{stem}.mp4" in files else [_photo(stem, files) or f"{stem}.jpg"]
    found = []
    for number in range(1, count + 1):
        is_video = number <= len(children) and children[number - 1] is True
        if not is_video and f"{stem}_{number}.mp4" not in files:
            found.append(_photo(f"{stem}_{number}", files) or f"{stem}_{number}.jpg")
    return found or None


def _photo(stem: str, files: frozenset[str] | set[str]) -> str:
    return next((stem + end for end in PHOTOS if stem + end in files), "")


def _likes(node: dict) -> int | None:
    """The likes, -1 if they are hidden, None if the metadata give none."""
    phone = at(node, "iphone_struct")
    places = (at(node, "edge_media_preview_like", "count"), at(node, "edge_liked_by", "count"), at(phone, "like_count"))
    counts = [count for count in map(integer, places) if count is not None]
    known = next((count for count in counts if count >= 0), None)
    hidden = True in (at(phone, "like_and_view_counts_disabled"), at(node, "like_and_view_counts_disabled"))
    if hidden and (known is None or known < HIDDEN_BELOW):
        return -1
    return known if known is not None or not counts else -1


def _time_of(stem: str) -> int | None:
    match = _TIME.search(stem)
    try:
        return match and int(datetime.strptime(match[0], "%Y-%m-%d_%H-%M-%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _caption(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(MOST_CAPTION).decode("utf-8", "replace").strip("\ufeff\r\n")
    except OSError:
        return ""


def _names(found: list[tuple[Owner, Post]]) -> dict[Owner, str]:
    """The account's name by owner: the newest name of its number, else the owner's name, else the folder's."""
    newest: dict[str, tuple[int, str]] = {}
    for owner, post in found:
        if owner.number and owner.name:
            newest[owner.number] = max(newest.get(owner.number, (0, "")), (post.time or 0, owner.name))
    return {owner: newest.get(owner.number, (0, owner.name or owner.folder))[1] for owner, _ in found}
