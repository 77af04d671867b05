"""Opens a zip of unknown origin: a sound directory, no name twice, no name that leaves a folder."""

import os
import re
import struct
import zipfile
from typing import BinaryIO

from third_party_ports.checkpoints.collected import AGAIN, RefusedError

END, LARGE_END = b"PK\x05\x06", b"PK\x06\x06"  # begin the records after the directory
OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
LARGEST_DIRECTORY = 4 << 20  # bytes, about 40,000 entries; zipfile takes ten times as much memory


def opened(file: BinaryIO) -> zipfile.ZipFile:
    """Opens the archive.

    Raises:
      RefusedError: the directory is too large, has a name twice, or a name that leaves the archive's folder.
      zipfile.BadZipFile, ValueError, OSError, NotImplementedError: the archive is damaged.
    """
    size = _directory_size(file)
    if size > LARGEST_DIRECTORY:
        raise RefusedError(f"its directory has {size:,} bytes, more than any checkpoint's. {AGAIN}")
    archive = zipfile.ZipFile(file)
    seen: set[str] = set()
    for name in archive.namelist():
        if name in seen:
            raise RefusedError(f"it has two entries called {name[:200]}. {AGAIN}")
        if OUTSIDE.match(name) or ".." in re.split(r"[/\\]", name):
            raise RefusedError(f"its entry {name[:200]} would leave the archive's folder. {AGAIN}")
        seen.add(name)
    return archive


def _directory_size(file: BinaryIO) -> int:
    """The size of the directory in bytes, as the archive's end has it; 0 if there is no end."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - 65_557 - 76))  # up to 65,535 bytes of a comment and three records
    tail = file.read()
    place, large = tail.rfind(END), tail.rfind(LARGE_END)
    if not 0 <= place <= len(tail) - 22:
        return 0
    (size,) = struct.unpack_from("<I", tail, place + 12)
    if size == 0xFFFFFFFF and 0 <= large <= len(tail) - 56:
        (size,) = struct.unpack_from("<Q", tail, large + 40)
    return size
