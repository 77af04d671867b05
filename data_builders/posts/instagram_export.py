"""Reads the export that Instagram gives to its users (Accounts Center, "Download your information", as JSON).

    logged_information/past_instagram_insights/posts.json   likes, of professional accounts alone
    your_instagram_activity/media/posts_1.json              the photos of each post, without likes; older: content/
    personal_information/.../personal_information.json      the account's name
    media/posts/202001/17850123456789012.jpg                photos

Labels are in the language of the user, and texts are UTF-8 that was written as Latin-1: both are repaired.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from data_builders.posts import json_file
from data_builders.posts.json_file import JsonError, at, integer, items
from data_builders.posts.post import Post, RawDataError, Skips, is_plain_name
from data_builders.posts.table import table_of

INSIGHTS = "past_instagram_insights/posts.json"
POSTS = "posts_*.json"
NO_NAME = "me"  # the account's name where the export gives none
LIKES = (  # the label of the likes, by language; case, blanks and marks do not count
    "Likes", "Curtidas", "Gostos", "Me gusta", "J'aime", "Mentions J'aime", "Nombre de J'aime", "Gefällt mir",
    "Gefällt mir-Angaben", "Mi piace", "Vind-ik-leuks", "Beğeniler", "Beğenme", "Beğenmeler", "Polubienia",
    "Нравится", "Отметки Нравится", "Вподобання", "いいね", "좋아요", "赞", "讚", "按讚數", "Suka", "Lượt thích",
    "ถูกใจ", "Gilla-markeringar", "Synes godt om", "Liker-klikk", "Tykkäykset", "To se mi líbí", "Kedvelések",
    "Aprecieri", "Μου αρέσει", "الإعجابات", "تسجيلات الإعجاب", "लाइक",  # noqa: RUF001
)  # fmt: skip
NAMES = (  # the label of the account's name
    "Username", "Nome de usuário", "Nome de utilizador", "Nombre de usuario", "Nom d'utilisateur", "Nom de profil",
    "Benutzername", "Nome utente", "Gebruikersnaam", "Kullanıcı Adı", "Nazwa użytkownika",  # noqa: RUF001
    "Имя пользователя", "ユーザーネーム", "사용자 이름", "用户名", "用戶名稱", "Nama Pengguna", "Användarnamn",
)  # fmt: skip
MISSING = ("", "--", None)  # what the export writes for no count
PROFESSIONAL = (
    "Only the export of a professional account (creator or business) has likes, in logged_information/"
    "past_instagram_insights/posts.json: ask for an export in JSON of all time, with the insights. Otherwise give a "
    "folder of Instaloader, the Graph API's media as JSON, or write posts.csv"
)

_WHOLE = re.compile(r"\d+|\d{1,3}(?:[.,\s'\u2019]\d{3})+")
_FOLDER = re.compile(r"instagram-(.+?)-\d{4}-\d\d-\d\d.*")


def read(raw: Path, options: Mapping[str, Any], skips: Skips) -> pl.DataFrame:
    """Reads an unpacked export, or several of them in one folder.

    Args:
      raw: the folder of the export, or the folder that it was unpacked into.
      options: config.data; `posts.carousel` is read.
      skips: counts what is left out.

    Returns:
      The posts table (columns post.SCHEMA). An image id is the name of the photo's file without its extension.

    Raises:
      RawDataError: the export has no likes, is in HTML, or its labels are in an unknown language.
    """
    insights = find(raw, INSIGHTS)
    if not insights:
        html = find(raw, "posts_1.html") or find(raw, "past_instagram_insights/posts.html")
        if html:
            raise RawDataError(html[0], "this export is in HTML", "Ask Instagram for an export in JSON")
        raise RawDataError(raw, "this export of Instagram has no likes", PROFESSIONAL)
    accounts: dict[str, list[Post]] = {}
    for file in insights:
        root = file.parents[2] if file.parents[1].name == "logged_information" else file.parents[1]
        account = account_of(root)
        if not is_plain_name(account):
            skips.add("bad row", f"account {account!r}")
            continue
        bases = (root, raw, *sorted(each for each in raw.iterdir() if each.is_dir()))
        accounts.setdefault(account, []).extend(_posts(file, account, raw, bases, skips))
    return table_of(accounts, lambda where: os.path.isfile(raw / where), options["posts"]["carousel"], skips)


def find(raw: Path, name: str) -> list[Path]:
    """Files of an export, up to four folders down, in order."""
    return sorted(file for depth in range(5) for file in raw.glob("*/" * depth + name) if file.is_file())


def repaired(text: Any) -> str:
    """A text of an export, repaired: its UTF-8 was written as Latin-1. "" for anything but a text."""
    if not isinstance(text, str):
        return ""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return json_file.text(text)


def account_of(root: Path) -> str:
    """The account's name: of the personal information, else of the folder's name, else "me"."""
    for file in find(root, "personal_information.json"):
        try:
            users = items(json_file.read(file), "profile_user")
        except JsonError:
            continue
        for label, entry in _entries(users[0] if users else None):
            if label in _NAME_LABELS and (name := repaired(at(entry, "value")).strip()):
                return name
    match = _FOLDER.fullmatch(root.absolute().name)
    return match[1] if match else NO_NAME


def _plain(label: str) -> str:
    """A label without case, quotes, blanks and dashes."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", label).casefold()))


_LIKE_LABELS, _NAME_LABELS = ({_plain(label) for label in labels} for labels in (LIKES, NAMES))


def _entries(post: Any) -> list[tuple[str, Any]]:
    """(plain label, entry) of a post's string_map_data."""
    found = at(post, "string_map_data")
    return [(_plain(repaired(label)), entry) for label, entry in found.items()] if isinstance(found, dict) else []


def _posts(file: Path, account: str, raw: Path, bases: tuple[Path, ...], skips: Skips) -> list[Post]:
    try:
        listed = items(json_file.read(file), "organic_insights_posts")
    except JsonError as error:
        raise RawDataError(file, f"this file cannot be read: {error}", "Unpack the export again") from error
    maps = (at(post, "string_map_data") for post in listed)
    labels = {repaired(label) for entries in maps if isinstance(entries, dict) for label in entries}
    if labels and not {_plain(label) for label in labels} & _LIKE_LABELS:
        raise RawDataError(
            file,
            f"none of its labels is known to mean likes: {', '.join(sorted(labels))}",
            "Set Instagram to English and ask for the export again, or add the label to LIKES in "
            "data_builders/posts/instagram_export.py",
        )
    whole = _whole_posts(bases, skips)
    posts = [_post(each, account, raw, bases, whole) for each in listed]
    cells = [entry for each in listed for label, entry in _entries(each) if label in _LIKE_LABELS]
    if unread := [at(cell, "value") for cell in cells if _count(cell) is None and at(cell, "value") not in MISSING]:
        skips.warn(f"{file}: {len(unread)} like counts cannot be read, such as {unread[0]!r}")
    return posts


def _post(listed: Any, account: str, raw: Path, bases: tuple[Path, ...], whole: dict[str, list[str]]) -> Post:
    """A post of the insights; `whole` has the photos of its carousel, if the export lists them."""
    thumbnails = at(listed, "media_map_data")
    thumbnail = next(iter(thumbnails.values()), None) if isinstance(thumbnails, dict) else None
    entries = _entries(listed)
    times = [at(thumbnail, "creation_timestamp"), *(at(entry, "timestamp") for _, entry in entries)]
    likes = next((_count(entry) for label, entry in entries if label in _LIKE_LABELS), None)
    uri = repaired(at(thumbnail, "uri"))
    time = next((time for time in map(integer, times) if time), None)
    uris = whole.get(Path(uri).name) or whole.get(str(time)) or [uri]
    photos = [each for each in uris if not each.lower().endswith((".mp4", ".mov"))]
    paths = [path for each in photos if (path := _place(each, raw, bases))]
    images = [(Path(path).stem, path) for path in paths]
    caption = repaired(at(thumbnail, "title"))
    return Post(
        account, Path(uri).stem or str(time), time, likes, images, caption=caption, video=bool(uri and not photos)
    )


def _count(entry: Any) -> int | None:
    """The likes in an entry of string_map_data. They are whole numbers, so marks can only separate thousands."""
    value = at(entry, "value")
    value = str(value) if isinstance(value, int) else repaired(value).strip()
    return int(re.sub(r"\D", "", value)) if _WHOLE.fullmatch(value) and len(value) < 20 else None


def _place(uri: str, raw: Path, bases: tuple[Path, ...]) -> str:
    """The photo's path relative to the raw folder; "" if the address is not that of a file of the export."""
    parts = uri.split("/")
    if not uri or "://" in uri or not all(map(is_plain_name, parts)):
        return ""
    base = next((base for base in bases if (base / uri).is_file()), bases[0])
    return (base / uri).relative_to(raw).as_posix()


def _whole_posts(bases: tuple[Path, ...], skips: Skips) -> dict[str, list[str]]:
    """The photos of each post as posts_1.json and the like list them, by the name of each and by a time that is unique.

    The insights name one photo of a carousel only.
    """
    found: dict[str, list[str]] = {}
    twice: set[str] = set()
    for file in dict.fromkeys(file for base in bases[:2] for file in find(base, POSTS)):
        try:
            listed = json_file.read(file)
        except JsonError as error:
            skips.warn(f"{file}: not read: {error}")
            continue
        for post in listed if isinstance(listed, list) else ():
            media = items(post, "media")
            uris = [uri for each in media if (uri := repaired(at(each, "uri")))]
            found |= {Path(uri).name: uris for uri in uris}
            times = {str(integer(at(each, "creation_timestamp"))) for each in (post, *media)} - {"None"}
            for time in times:
                twice |= {time} & found.keys()
                found[time] = uris
    return {key: uris for key, uris in found.items() if key not in twice}
