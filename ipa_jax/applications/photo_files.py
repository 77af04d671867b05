"""Finds the photos to rank: files as they were given, folders with everything below them."""

import re
from collections.abc import Sequence
from pathlib import Path

from data_builders.photo_formats import SUFFIXES as PHOTOS

# Pictures of formats that the project does not open: a folder that holds them must say so.
OTHERS = (".gif", ".bmp", ".jxl", ".jp2", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf",
          ".orf", ".rw2", ".pef", ".srw")  # fmt: skip
MOST = 20_000  # files; a larger number is most likely the wrong folder


def find_photos(paths: Sequence[Path], flag: str = "--photos") -> tuple[list[Path], dict[str, int]]:
    """Lists the photos that the paths name.

    Args:
      paths: files and folders. Folders are searched with all below them, hidden files and folders apart.
      flag: that gave the paths, for messages.

    Returns:
      The photos, each once, folders in natural order (2 before 10); and how many pictures of other formats the folders
      hold, by suffix.

    Raises:
      ValueError: a path does not exist, there is no photo, or there are more than 20,000.
    """
    found: dict[Path, None] = {}
    others: dict[str, int] = {}
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*"), key=lambda file: natural(file.relative_to(path).as_posix())):
                suffix = file.suffix.lower()
                hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
                if suffix in PHOTOS and not hidden and file.is_file():
                    found.setdefault(file)
                elif suffix in OTHERS and not hidden:
                    others[suffix] = others.get(suffix, 0) + 1
        elif path.is_file():
            found.setdefault(path)
        else:
            raise ValueError(f"{flag}: {path} does not exist; name photos, or a folder of photos")
    if not found:
        named = ", ".join(map(str, paths))
        held = f"; it holds {', '.join(f'{n} {suffix}' for suffix, n in others.items())}" if others else ""
        raise ValueError(f"{flag}: no JPEG, PNG or WebP photo in {named}{held}")
    if len(found) > MOST:
        raise ValueError(f"{flag}: {len(found)} photos, more than {MOST}; give fewer at once")
    return list(found), others


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sorting key under which numbers within names count as numbers."""
    parts = re.split(r"(\d+)", name.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
