"""What a full, read-only or foreign disk does to a writer, in one line: the file, what is needed, and what to do.

Each library raises a class of its own: polars and pyarrow OSErrors without a file, tensorstore and XLA a text.
"""

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL, QUOTA, LIMIT, READ_ONLY, REFUSED, BROKEN = "full", "quota", "limit", "read-only", "refused", "broken"
A_FILE, TOO_LONG = "a file", "too long"
ERRNOS = {errno.ENOSPC: FULL, errno.EDQUOT: QUOTA, errno.EFBIG: LIMIT, errno.EROFS: READ_ONLY, errno.EACCES: REFUSED,
          errno.EPERM: REFUSED, errno.EIO: BROKEN, errno.ENOTDIR: A_FILE, errno.EEXIST: A_FILE,
          errno.ENAMETOOLONG: TOO_LONG}  # fmt: skip
TEXTS = {"no space left on device": FULL, "disk quota exceeded": QUOTA, "file too large": LIMIT,
         "read-only file system": READ_ONLY, "permission denied": REFUSED, "input/output error": BROKEN,
         "database or disk is full": FULL, "attempt to write a readonly database": READ_ONLY}  # fmt: skip


class DiskError(OSError):
    """A file cannot be written; the message is one line with file, need and remedy."""


@contextmanager
def writing(place: Path, clean: Callable[[], None] | None = None) -> Iterator[None]:
    """Turns what a disk does to the block into a DiskError; other errors pass.

    Args:
      place: the file or folder that the block writes; the message names it, and not a temporary file.
      clean: removes what the block left unfinished; called on any error.
    """
    try:
        yield
    except BaseException as error:
        if clean:
            with suppress(OSError):
                clean()
        if isinstance(error, Exception) and (told := explain(error, place)):
            raise DiskError(told) from error
        raise


def remove_folder(folder: Path) -> None:
    """Removes a folder into which threads of a library may still write; gives up after two seconds."""
    end = time.monotonic() + 2
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)  # a write that is under way makes its folder again


def explain(error: BaseException, place: Path | None = None) -> str | None:
    """The line about a disk that does not take a file; None for an error of another kind.

    Args:
      error: of any class; its causes are looked at too.
      place: the file or folder that was to be written; None: the file that the error names.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DiskError):
            return str(seen)
        if kind := _kind(seen):
            return _line(kind, _where(kind, seen, place), seen)
        seen = seen.__cause__ or seen.__context__
    return None


def _where(kind: str, error: BaseException, place: Path | None) -> Path | None:
    """The file of the message. A right may be missing for a file that is only read, so the error's own one counts."""
    named = getattr(error, "filename", None)
    if not isinstance(named, str) or (place and (kind not in (REFUSED, BROKEN, A_FILE) or ".tmp" in named)):
        return place
    return Path(named)


def _kind(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno is not None:
        return ERRNOS.get(error.errno)
    text = str(error).lower()
    return next((kind for words, kind in TEXTS.items() if words in text), None)


def _line(kind: str, place: Path | None, error: BaseException) -> str:
    where = str(place) if place else "a file"
    if kind == FULL:
        return (
            f"{where}: the disk is full{_free(place)}: free some space there or name another place, then run it again"
        )
    if kind == QUOTA:
        return (
            f"{where}: your quota of the disk is used up: delete files there or name another place, then run it again"
        )
    if kind == LIMIT:
        return (f"{where}: the file grows beyond what the system lets a file be: raise the limit (ulimit -f) or name "
                "another place, then run it again")  # fmt: skip
    if kind == READ_ONLY:
        return f"{where}: the disk is read-only: make it writable or name another place, then run it again"
    if kind == REFUSED:
        return f"{where}: permission denied: give yourself the right to it (chmod, chown) or name another place"
    if kind == A_FILE:
        return f"{where}: a folder is needed there, but a file is in its place: name another place"
    if kind == TOO_LONG:
        return f"{where}: the name is longer than the disk takes: give a shorter one"
    return f"{where}: the disk reports an error ({error}): check the disk, or name another place"


def _free(place: Path | None) -> str:
    """How much is free where the file should go, for the message; "" where nobody can tell."""
    for folder in [place, *place.absolute().parents] if place else []:
        with suppress(OSError):
            return f" ({shutil.disk_usage(folder).free / 1e6:,.1f} MB free)"
    return ""
