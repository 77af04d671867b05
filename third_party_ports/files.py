"""How the project writes files and holds folders: nothing is ever half-written, and one process writes a folder.

At the bottom of the house, so that everything may use it.
"""

import hashlib
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from third_party_ports import disks

LOCK = ".lock"
_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{4})-(\d+)-\w{8}\.tmp(\..*)?", re.DOTALL)  # a name that `replacing` gives


def cache_folder() -> Path:
    """The user's folder for what can be made again: $XDG_CACHE_HOME/ipa_jax or ~/.cache/ipa_jax, and on a Mac
    ~/Library/Caches/ipa_jax. It may not exist."""
    home = os.environ.get("XDG_CACHE_HOME")
    if home and Path(home).is_absolute():  # as the XDG specification says
        return Path(home) / "ipa_jax"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "ipa_jax"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write; it takes the place of `path` when the block ends without an error.

    Args:
      path: the file to write, new or existing. Its folder must exist.
    Yields:
      The temporary file's path. It has the suffix of `path`, for libraries that go by that, and the mode that the
      process's umask gives.
    Raises:
      OSError: the folder cannot be written, or the disk is full (then a DiskError); `path` is as it was and the
        temporary file is gone.
    """
    path = Path(path)
    _sweep(path.parent.absolute())
    with disks.writing(path):
        prefix = f".{path.stem}.{_machine()}-{os.getpid()}-"
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(descriptor)
    temporary = Path(name)
    temporary.unlink()  # mkstemp's mode is 0600: whoever writes makes the file anew, with the usual one
    try:
        with disks.writing(path):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@cache
def _machine() -> str:
    """Four hexadecimal digits for this machine: other machines that see a folder have process numbers of their own."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


@cache
def _sweep(folder: Path) -> None:
    """Removes what killed processes of this machine left half-written in a folder. Each process looks once."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if (match := _TEMPORARY.fullmatch(name)) and match[1] == _machine() and not _lives(int(match[2])):
                with suppress(OSError):
                    (folder / name).unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file, or leaves it as it was. Raises OSError as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 file with \\n at line ends, or leaves it as it was. Raises OSError as `replacing` does."""
    write_bytes(path, text.encode())


def sha256(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock(folder: Path, wait: float = 0) -> Iterator[None]:
    """Holds an existing folder while the block runs; the lock ends with the process, however that ends.

    Args:
      folder: to hold.
      wait: seconds to wait for another holder.

    Raises:
      BlockingIOError: another process, or another block of this one, holds the folder.
    """
    file = Path(folder) / LOCK
    held = FileLock(file, timeout=wait)
    with disks.writing(file):
        try:
            held.acquire()
        except Timeout as error:
            raise BlockingIOError(
                f"{folder}: another process{_holder(file)} is writing here; wait for it, or stop it"
            ) from error
    try:
        with suppress(OSError):  # on a full disk the lock holds nevertheless
            if not file.stat().st_size:  # where flock is missing, filelock has written the same
                file.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
        yield
    finally:
        with suppress(OSError):
            (Path(folder) / LOCK).unlink()  # while it is held: filelock refuses a file that was unlinked meanwhile
        held.release()


def _holder(file: Path) -> str:
    """Who holds a lock, for a message, if the file of the lock says so: " (process id 12)"."""
    try:
        process, host, *_ = file.read_text().splitlines()
        return f" (process id {int(process)}{'' if host == socket.gethostname() else f' on {host}'})"
    except (OSError, ValueError):
        return ""
