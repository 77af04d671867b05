"""Reads media as the Instagram Graph API gives them, in JSON, for professional accounts.

    {"data": [{"id", "like_count", "timestamp", "media_type", "media_url", "caption", "username", "children"}, ...]}

The fields to ask for are those above. A file is one answer, an account's node with `media` in it, or a list of answers
or of media. Several files in one folder are read together. Photos lie beside the JSON, in the folder itself or one
below it, and are named by their id (17850123456789012.jpg), as `ipa-jax fetch-images` writes them.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.posts import json_file
from data_builders.posts.json_file import JsonError, at, integer, items, text
from data_builders.posts.post import Post, RawDataError, Skips, is_plain_name
from data_builders.posts.table import table_of
from data_builders.posts.times import parse

NO_NAME = "me"  # the account's name where the media give none
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".avif")
MOST_FILES = 1000  # answers in one folder
FIELDS = "id,username,caption,like_count,timestamp,media_type,media_url,children{id,media_type,media_url}"


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads a JSON file of media, or all of a folder.

    Args:
      raw: the file or the folder.
      options: config.data; `posts.carousel` is read.
      skips: counts what is left out. A post without like_count, which the API leaves out for hidden likes, is
        "likes missing".

    Returns:
      The posts table (columns post.SCHEMA). Image ids are the ids of the media, or of the children of a carousel.

    Raises:
      RawDataError: no media has a like count.
    """
    root = raw if raw.is_dir() else raw.parent
    photos = _photos(root)
    accounts: dict[str, list[Post]] = {}
    counted = False
    for media, owner in _listed(raw, skips):
        account = text(at(media, "username") or at(media, "owner", "username") or owner or NO_NAME)
        number = str(at(media, "id") or "")
        if not is_plain_name(account) or not is_plain_name(number):
            skips.add("bad row", f"media {number!r} of account {account!r}")
            continue
        post = _post(media, account, number, photos)
        counted |= post.likes is not None
        accounts.setdefault(account, []).append(post)
    if accounts and not counted:
        raise RawDataError(raw, "no media has a like_count", f"Ask the API for fields={FIELDS}")
    return table_of(accounts, lambda where: os.path.isfile(root / where), options["posts"]["carousel"], skips)


def fits(file: Path) -> bool:
    """Whether a JSON file holds media of the Graph API."""
    try:
        return next(media_of(json_file.read(file)), None) is not None
    except JsonError:
        return False


def media_of(value: Any) -> Iterator[tuple[dict, str]]:
    """(media, the account's name or "") of an answer, of an account's node, or of a list of either."""
    for answer in value if isinstance(value, list) else [value]:
        owner = text(at(answer, "username"))
        if _is_media(answer):
            yield answer, owner
        for media in items(answer, "data") or items(answer, "media", "data"):
            if _is_media(media):
                yield media, owner


def children_of(media: dict) -> list[dict]:
    """The photos of a post: the media itself, or the children of a carousel that are no videos."""
    children = [child for child in items(media, "children", "data") if isinstance(child, dict)]
    return [child for child in children or [media] if at(child, "media_type") not in ("VIDEO", "REELS")]


def _is_media(value: Any) -> bool:
    return at(value, "media_type") in ("IMAGE", "VIDEO", "CAROUSEL_ALBUM", "REELS") or (
        at(value, "like_count") is not None and at(value, "timestamp") is not None
    )


def _listed(raw: Path, skips: Skips) -> Iterator[tuple[dict, str]]:
    files = sorted(raw.glob("*.json"))[:MOST_FILES] if raw.is_dir() else [raw]
    for file in files:
        try:
            yield from media_of(json_file.read(file))
        except JsonError as error:
            skips.warn(f"{file}: not read: {error}")


def _post(media: dict, account: str, number: str, photos: Mapping[str, str]) -> Post:
    time = parse(text(at(media, "timestamp")) or str(integer(at(media, "timestamp")) or ""))
    images = []
    for child in children_of(media):
        name = str(at(child, "id") or "")
        images.append((name, photos.get(name, f"{name}.jpg")))
    return Post(
        account,
        number,
        time and time.seconds,
        integer(at(media, "like_count")),
        [image for image in images if is_plain_name(image[0])],
        caption=text(at(media, "caption")),
        comment_count=integer(at(media, "comments_count")) or 0,
        video=at(media, "media_type") in ("VIDEO", "REELS") or not images,
        shortcode=text(at(media, "shortcode")),
    )


def _photos(root: Path) -> dict[str, str]:
    """Paths of photos relative to the root, by file name without extension: in the root, and in the folders below."""
    found: dict[str, str] = {}
    for folder in (root, *sorted(each for each in root.iterdir() if each.is_dir())):
        with os.scandir(folder) as entries:
            for name in sorted(entry.name for entry in entries):
                stem, end = os.path.splitext(name)
                if end.lower() in PHOTOS:
                    found.setdefault(stem, (folder / name).relative_to(root).as_posix())
    return found
