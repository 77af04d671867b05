"""The checksums of a folder: `checksums.json`, written last, with the sha256 and the size of every file in it.

For artefacts whose files cannot hold a seal of their own (see the module `seals`), or only mean something together.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from third_party_ports import files, seals
from third_party_ports.reading import damaged, reading, warn_once

NAME = "checksums.json"
THREADS = 8  # that hash at the same time; hashing leaves Python's lock


def write(folder: Path) -> None:
    """Writes the checksums of all files below a folder, when they are complete. Hidden files are left out.

    Raises OSError if a file cannot be read or the folder cannot be written.
    """
    folder = Path(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [name for name in names if name != NAME and not any(part.startswith(".") for part in name.split("/"))]
    with _threads() as threads:
        digests = threads.map(lambda name: files.sha256(folder / name), names)
        sums = {
            name: {"sha256": digest, "bytes": (folder / name).stat().st_size}
            for name, digest in zip(names, digests, strict=True)
        }
    seals.write_json(folder / NAME, {"files": sums}, indent=1)


@dataclass(frozen=True)
class Checksums:
    """The checksums of a folder, read once; picklable, so that reading processes get them from their parent.

    Attributes:
      folder: of the files.
      kind: the error class of the artefact.
      remedy: how to make the artefact again; messages end with it.
      files: {name: {"sha256", "bytes"}}; None for a folder of an earlier version, which is read unchecked.
    """

    folder: Path
    kind: type[Exception]
    remedy: str
    files: Mapping[str, Mapping[str, Any]] | None

    def path(self, name: str) -> Path:
        """Where a file is. Raises `kind` if the folder should have it and does not, or has it unlisted."""
        path = self.folder / name
        if not path.is_file():
            raise self.kind(f"{path} is missing; {self.remedy}")
        if self.files is not None and name not in self.files:
            raise self.kind(f"{path} is not in {NAME} beside it, so it is from elsewhere; {self.remedy}")
        return path

    def has(self, name: str) -> bool:
        """Whether the folder holds a file, or should hold it."""
        return name in self.files if self.files is not None else (self.folder / name).is_file()

    def read(self, name: str) -> bytes:
        """The content of a file, checked. Raises `kind` if it is missing, cannot be read or is damaged."""
        path = self.path(name)
        with reading(path, self.kind, self.remedy):
            content = path.read_bytes()
            self._require(name, len(content), lambda: hashlib.sha256(content).hexdigest())
        return content

    def check(self, names: Iterable[str], *, sizes_only: bool = False) -> None:
        """Checks files of any size, several at a time, or compares their sizes alone.

        Raises `kind` as `read`, for the first one that is damaged.
        """
        with _threads() as threads:
            for _ in threads.map(lambda name: self._check(name, sizes_only), names):
                pass

    def _check(self, name: str, sizes_only: bool) -> None:
        path = self.path(name)
        if self.files is not None:
            with reading(path, self.kind, self.remedy):
                digest = None if sizes_only else lambda: files.sha256(path)
                self._require(name, path.stat().st_size, digest)

    def _require(self, name: str, size: int, digest: Callable[[], str] | None) -> None:
        """Raises `kind` for a file of another size, or of another digest if `digest` computes it."""
        if self.files is None:
            return
        path, listed = self.folder / name, self.files[name]
        if size != listed["bytes"]:
            raise damaged(path, self.kind, f"it has {size} bytes in place of {listed['bytes']}", self.remedy)
        if digest and digest() != listed["sha256"]:
            raise damaged(path, self.kind, f"its bytes do not match {NAME}", self.remedy)


def read(folder: Path, kind: type[Exception], remedy: str) -> Checksums:
    """The checksums of a folder. A folder without them, of an earlier version, is warned of once.

    Raises:
      kind: checksums.json is damaged.
    """
    folder = Path(folder)
    if not (folder / NAME).is_file():
        warn_once(f"{folder} has no {NAME}, so damage would not show (an earlier version wrote it); {remedy}")
        return Checksums(folder, kind, remedy, None)
    listed = seals.read_json(folder / NAME, kind, remedy)
    with reading(folder / NAME, kind, remedy):
        return Checksums(folder, kind, remedy, dict(listed["files"]))


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
