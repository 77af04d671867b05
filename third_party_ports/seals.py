"""The seal of a file: a sha256 that the file itself holds, so that no damage to it goes unseen.

A file that can hold a text (JSON, .safetensors, Parquet, Arrow) holds `ipa_jax:sha256:` and 64 digits: the sha256 of
the whole file with these digits as zeros. Writers put `EMPTY` where the text goes and then seal the file; readers check
the seal before they parse anything. A file of an earlier version has no seal: it is read with one warning.
The module `checksums` does the same for folders with files that cannot hold a text.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from third_party_ports import files
from third_party_ports.reading import damaged, json_object, reading, warn_once

FIELD = "checksum"  # of JSON, and the name of the text elsewhere
MARK = b"ipa_jax:sha256:"
DIGITS = 64
EMPTY = MARK.decode() + "0" * DIGITS  # what a writer puts where the seal goes
WINDOW = 1 << 16  # bytes at either end of a file, where a seal is looked for
CHUNK = 1 << 20  # bytes that are hashed at a time
MOST = 8  # seals in one file, of which one is its own
_SEAL = re.compile(re.escape(MARK) + rb"(.{%d})" % DIGITS, re.DOTALL)


def seal(path: Path) -> None:
    """Seals a file that holds `EMPTY`. Raises ValueError for a file that does not hold it."""
    with Path(path).open("r+b") as file:
        _seal(file, str(path))


def sealed(content: bytes) -> bytes:
    """The content of a file that holds `EMPTY`, sealed. Raises ValueError for one that does not hold it."""
    file = io.BytesIO(content)
    _seal(file, "the content")
    return file.getvalue()


def check(path: Path, kind: type[Exception], remedy: str, *, ours: bool = True) -> bool:
    """Checks the seal of a file, which may be larger than the memory.

    Args:
      path: the file.
      kind: the error class of the artefact.
      remedy: how to make the file again; the message ends with it.
      ours: warns once of a file without a seal, which an earlier version wrote.

    Returns:
      Whether the file has a seal.

    Raises:
      kind: the file is missing, cannot be read, is empty, or is not what was sealed.
    """
    with reading(path, kind, remedy), Path(path).open("rb") as file:
        return _check(file, path, kind, remedy, ours)


def read(path: Path, kind: type[Exception], remedy: str, *, ours: bool = True) -> bytes:
    """The content of a file, checked as `check` does and read only once; no warning if it may not be `ours`."""
    with reading(path, kind, remedy):
        content = Path(path).read_bytes()
        _check(io.BytesIO(content), path, kind, remedy, ours)
    return content


def write_json(path: Path, value: Mapping[str, Any], indent: int | None = 2) -> None:
    """Writes a JSON object with a new seal, whole or not at all. Raises OSError as files.replacing does."""
    write_text(path, json.dumps({FIELD: EMPTY} | dict(value) | {FIELD: EMPTY}, indent=indent))


def write_text(path: Path, text: str) -> None:
    """Writes a text that holds `EMPTY`, sealed, whole or not at all. Raises OSError as files.replacing does."""
    files.write_bytes(path, sealed(text.encode()))


def read_json(path: Path, kind: type[Exception], remedy: str, *, ours: bool = True) -> dict[str, Any]:
    """A JSON object without its seal, which is checked; a file that may not be `ours` may have none.

    Raises:
      kind: as `check`; also for a file that is no JSON object.
    """
    content = read(path, kind, remedy, ours=ours)
    with reading(path, kind, remedy):
        value = json_object(content)
    value.pop(FIELD, None)
    return value


def arrays_sha256(arrays: Mapping[str, Any]) -> str:
    """The sha256 of named arrays: of their names, dtypes, shapes and numbers, in whatever order they come."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _seal(file: BinaryIO, name: str) -> None:
    places = _places(file).get(EMPTY[-DIGITS:].encode())
    if not places:
        raise ValueError(f"{name} holds no {EMPTY} in its first or last {WINDOW} bytes")
    digest = _digest(file, places)
    for place in places:
        file.seek(place)
        file.write(digest.encode())


def _check(file: BinaryIO, path: Path, kind: type[Exception], remedy: str, ours: bool) -> bool:
    found = _places(file)
    if not file.seek(0, io.SEEK_END):
        raise damaged(path, kind, "it is empty", remedy)
    if found and not any(_digest(file, places).encode() == digits for digits, places in found.items()):
        raise damaged(path, kind, "its bytes do not match its checksum", remedy)
    if not found and ours:
        warn_once(f"{path} has no checksum, so damage would not show (an earlier version wrote it); {remedy}")
    return bool(found)


def _places(file: BinaryIO) -> dict[bytes, list[int]]:
    """The digits of seals, and where they begin. Arrow writes a seal twice; a text in the file may quote another's."""
    size = file.seek(0, io.SEEK_END)
    found: dict[bytes, set[int]] = {}
    for start in {0, max(0, size - WINDOW)}:
        file.seek(start)
        for match in _SEAL.finditer(file.read(WINDOW)):
            found.setdefault(match[1], set()).add(start + match.start(1))
    return {digits: sorted(places) for digits, places in list(found.items())[:MOST]}


def _digest(file: BinaryIO, places: Iterable[int]) -> str:
    """The sha256 of a file whose digits at `places` count as zeros."""
    digest = hashlib.sha256()
    file.seek(0)
    for place in places:
        _update(digest, file, place - file.tell())
        digest.update(b"0" * len(file.read(DIGITS)))
    _update(digest, file, None)
    return digest.hexdigest()


def _update(digest: Any, file: BinaryIO, length: int | None) -> None:
    """Hashes the next `length` bytes, or all that are left."""
    while length is None or length > 0:
        chunk = file.read(CHUNK if length is None else min(CHUNK, length))
        if not chunk:
            return
        digest.update(chunk)
        length = None if length is None else length - len(chunk)
