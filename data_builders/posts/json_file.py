"""Reads JSON that nobody has checked: bounded in size, and of any shape. A value of a wrong type counts as missing."""

import json
import lzma
from pathlib import Path
from typing import Any

import orjson

MOST_BYTES = 256 << 20  # of a file that lists all posts
XZ_MEMORY = 128 << 20  # bytes that decompressing may take


class JsonError(ValueError):
    """A file cannot be read as JSON; the message says why."""


def read(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The value in a .json or .json.xz file.

    Raises:
      JsonError: the file cannot be opened, is cut short, is no JSON, or has more than `most_bytes` bytes as text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise JsonError(error.strerror or "it cannot be opened") from error
    if path.suffix == ".xz" and len(data) <= most_bytes:
        data = _unpacked(data, most_bytes)
    if len(data) > most_bytes:
        raise JsonError(f"it has more than {most_bytes >> 20} MB")
    value = loads(data)
    if value is None:
        raise JsonError("it is not JSON, or it is cut short")
    return value


def _unpacked(data: bytes, most_bytes: int) -> bytes:
    unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    try:
        text = unpacker.decompress(data, max_length=most_bytes + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise JsonError(f"it is not an .xz file ({error})") from error
    if not unpacker.eof and len(text) <= most_bytes:
        raise JsonError("it is cut short")
    return text


def loads(data: bytes) -> Any:
    """The JSON value, or None if it is broken.

    orjson refuses half an emoji and stray bytes. These harm only a caption, so Python's own parser gets a second try.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None


def at(value: Any, *keys: str) -> Any:
    """The value below a path of keys; None where a key is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def items(value: Any, *keys: str) -> list:
    """The list below a path of keys; [] where there is none."""
    found = at(value, *keys)
    return found if isinstance(found, list) else []


def integer(value: Any) -> int | None:
    """A whole number of 64 bits, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def text(value: Any) -> str:
    """A text without half emojis, or ""."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
