"""Unpacks a zip of somebody's posts: only what a reader needs, and nothing outside the folder."""

import errno
import hashlib
import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data_builders.photo_formats import SUFFIXES
from data_builders.posts.post import RawDataError, is_plain_name
from third_party_ports import files

PHOTOS = SUFFIXES
LISTS = (".json", ".json.xz", ".txt", ".csv", ".tsv")
EXPORT = ("past_instagram_insights/", "your_instagram_activity/")  # in the names of an export of Instagram
OF_EXPORT = ("posts", "personal_information")  # what the names of its lists that are needed begin with
PRIVATE = ("messages", "inbox", "__MACOSX")  # folders that are never unpacked
MOST_FILES = 200_000
LONGEST_NAME = 255  # bytes that file systems take for a file or folder
MOST_PHOTO, MOST_LIST = 64 << 20, 256 << 20  # bytes of a file
MOST_BYTES = 200 << 30  # of all files
SPARE = 1 << 30  # bytes of the disk to leave free
CHUNK = 1 << 20

_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)


def unpacked(path: Path, cache: Path) -> Path:
    """The folder with the photos and lists of a zip, unpacked below `cache` the first time.

    Args:
      path: the zip.
      cache: a folder, made if it does not exist. Zips with other content have other folders in it.

    Returns:
      The folder.

    Raises:
      RawDataError: the file is no zip, is broken or locked with a password, has a member whose path leads out of the
        folder, or has too many or too large files.
      OSError: the cache cannot be written, or another process unpacks there.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = _needed(path, archive)
            digest = hashlib.sha256(repr([(i.filename, i.file_size, i.CRC) for i, _ in listed]).encode()).hexdigest()
            folder = cache / digest[:32]
            if folder.is_dir():
                return folder
            cache.mkdir(parents=True, exist_ok=True)
            _check_space(path, listed, cache)
            with files.lock(cache):
                temporary = Path(tempfile.mkdtemp(prefix=".unpacking.", dir=cache))
                try:
                    _extract(path, archive, listed, temporary)
                    temporary.rename(folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
            return folder
    except _BROKEN as error:
        raise RawDataError(path, f"this zip is broken or not supported ({error})", "Download it again") from error


def _needed(path: Path, archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """(member, parts of its path) of the photos and lists that a reader may need. Raises RawDataError for bad ones."""
    members = archive.infolist()
    export = any(mark in member.filename for member in members for mark in EXPORT)
    found: dict[tuple[str, ...], zipfile.ZipInfo] = {}
    for member in members:
        parts = tuple(member.filename.replace("\\", "/").split("/"))
        if member.is_dir() or not _is_needed(parts, export):
            continue
        if not all(map(is_plain_name, parts)) or ":" in parts[0]:
            raise RawDataError(path, f"the member {member.filename!r} leads out of its folder", "Do not use this zip")
        if max(len(part.encode(errors="replace")) for part in parts) > LONGEST_NAME:
            problem = f"the name of the member {member.filename[:40]!r}... is longer than files may be called"
            raise RawDataError(path, problem, "Unpack the zip, and give the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise RawDataError(path, f"the member {member.filename!r} is a link", "Do not use this zip")
        if member.flag_bits & 1:
            raise RawDataError(path, "this zip is locked with a password", "Unpack it, and give the folder")
        if member.file_size > _most(parts):
            problem = f"the member {member.filename!r} has {member.file_size} bytes, more than {_most(parts)}"
            raise RawDataError(path, problem, "Unpack the zip, and give the folder")
        found.setdefault(parts, member)
    if not found:
        raise RawDataError(path, "this zip holds no photos and no lists of posts", "Give another file")
    if len(found) > MOST_FILES:
        raise RawDataError(path, f"this zip holds more than {MOST_FILES} files", "Unpack it, and give the folder")
    return [(member, parts) for parts, member in found.items()]


def _is_needed(parts: Sequence[str], export: bool) -> bool:
    name = parts[-1].lower()
    if any(part in PRIVATE for part in parts[:-1]) or name.startswith("."):
        return False
    if export and not name.endswith(PHOTOS):
        return name.startswith(OF_EXPORT) and name.endswith((".json", ".html"))
    return name.endswith(PHOTOS + LISTS)


def _most(parts: Sequence[str]) -> int:
    return MOST_PHOTO if parts[-1].lower().endswith(PHOTOS) else MOST_LIST


def _check_space(path: Path, listed: Sequence[tuple[zipfile.ZipInfo, tuple[str, ...]]], cache: Path) -> None:
    size = sum(member.file_size for member, _ in listed)
    free = min(MOST_BYTES, shutil.disk_usage(cache).free - SPARE)
    if size > free:
        problem = f"its photos and lists have {size >> 20} MB, and at most {max(free, 0) >> 20} MB can be unpacked here"
        raise RawDataError(path, problem, "Unpack it yourself, and give the folder")


def _extract(
    path: Path, archive: zipfile.ZipFile, listed: Sequence[tuple[zipfile.ZipInfo, tuple[str, ...]]], folder: Path
) -> None:
    for member, parts in tqdm(listed, unit="file", desc=f"unpack {path.name}"):
        target = folder.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, target.open("xb") as out:
                left = member.file_size  # what the zip says; it may lie, and zipfile stops there
                while chunk := packed.read(min(CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        raise zipfile.BadZipFile(f"{member.filename} is larger than the zip says")
                    out.write(chunk)
        except OSError as error:
            if error.errno == errno.EINVAL:  # the zip says that the member begins before the file
                raise zipfile.BadZipFile(f"{member.filename} is nowhere in it") from error
            if not isinstance(error, (FileExistsError, NotADirectoryError)):
                raise
            # a.jpg and a.jpg/b.jpg, or A.jpg on a Mac
            raise zipfile.BadZipFile(f"{member.filename} is there twice") from error
