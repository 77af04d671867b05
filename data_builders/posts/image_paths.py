"""Finds the photos that a list names: paths as people and spreadsheets write them, and names as the disk has them.

Lists travel between systems. Windows writes backslashes and forgets case, Macs write e and an accent for é, and web
addresses write %20 for a blank. No path leads out of the list's folder.
"""

import os
import posixpath
import unicodedata
from pathlib import Path
from urllib.parse import unquote

from data_builders.posts.post import Skips, is_plain_name


def relative_path(image: str, roots: tuple[str, ...] = ()) -> str | None:
    """Finds where an image lies below a list's folder.

    Args:
      image: a path as people write it: with backslashes, absolute, with ~, or file://.
      roots: absolute paths of the folder.

    Returns:
      The path below the folder, with `/` in it; None if it is empty or leads out of the folder.
    """
    if image[:7].lower() == "file://":
        host, _, path = image[7:].partition("/")
        image = unquote(f"/{path}") if host in ("", "localhost") else ""
    elif "://" in image:
        return None
    path = image.replace("\\", "/")
    if path.startswith("~/"):
        path = os.path.expanduser(path)
    if path.startswith("/"):
        path = posixpath.normpath(path)
        path = next((path.removeprefix(f"{root.rstrip('/')}/") for root in roots
                     if path.startswith(f"{root.rstrip('/')}/")), "")  # fmt: skip
    where = posixpath.normpath(path) if path else "."
    outside = where in (".", "..") or where.startswith(("/", "../")) or where[1:2] == ":"
    if outside or not all(map(is_plain_name, where.split("/"))):
        return None
    return image if where == image else where  # one string object, not two: there may be a million rows


class StoredPaths:
    """Finds files below a folder whose names differ in case, accents or %-codes from what a list says.

    A name that fits several files is left as it is. Folders are listed only where a name is not found.

    Args:
      root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._folders: dict[str, dict[str, list[str]]] = {}
        self._other: list[tuple[str, str]] = []  # names in the list, and the files they stand for
        self._several: list[tuple[str, list[str]]] = []

    def find(self, where: str) -> str | None:
        """The path of a file below the folder for what `relative_path` returned, or None."""
        if os.path.isfile(f"{self._root}/{where}"):
            return where
        for form in dict.fromkeys((where, relative_path(unquote(where)) or where)):
            found = self._in_folders(form)
            if found and os.path.isfile(f"{self._root}/{found}"):
                self._other.append((where, found))
                return found
        return None

    def warn(self, path: Path, skips: Skips) -> None:
        """Says which names were taken for others, and which fit several files, in warnings about the list `path`."""
        if self._other:
            written, found = self._other[0]
            other = f"{len(self._other)} images have another name on the disk"
            skips.warn(f"{path}: {other}, such as {found} for {written}")
        if self._several:
            written, names = self._several[0]
            skips.warn(
                f"{path}: {len(self._several)} images fit several files, such as {written}: {' and '.join(names[:3])}"
            )

    def _in_folders(self, where: str) -> str | None:
        """The path whose parts are the only ones that are spelled like those of `where`."""
        place = ""
        for part in where.split("/"):
            alike = self._names(place).get(_plain(part), [])
            if part not in alike and len(alike) > 1:
                self._several.append((where, alike))
            if part not in alike and len(alike) != 1:
                return None
            place = f"{place}/{part if part in alike else alike[0]}".lstrip("/")
        return place

    def _names(self, folder: str) -> dict[str, list[str]]:
        """The names in a folder, by how they are spelled without case and with joined accents."""
        if folder not in self._folders:
            found: dict[str, list[str]] = {}
            try:
                for name in sorted(os.listdir(f"{self._root}/{folder}")):
                    found.setdefault(_plain(name), []).append(name)
            except OSError:  # a file, or not there
                pass
            self._folders[folder] = found
        return self._folders[folder]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
