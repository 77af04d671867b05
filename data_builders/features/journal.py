"""The journal of a feature store: on disk, the rows of the shard that is not complete yet, for a run that was killed.

`journal.arrow` begins with MAGIC; each row follows as the length of an Arrow stream, its sha256, and the stream itself.
Each row is handed to the operating system at once. The journal is deleted after the shard with its rows is in place. If
a run is killed between the two, its rows are in both; the writer drops them by key.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from third_party_ports import disks

NAME = "journal.arrow"
MAGIC = b"ipa_jax journal 2\n"  # version 1 is one Arrow stream with a batch per row
_LENGTH, _DIGEST = 8, 32  # bytes


class Journal:
    """Appends rows to the journal of the store at `path`. The first row starts the file. Raises DiskError."""

    def __init__(self, path: Path):
        self._path = path / NAME
        self._open: BinaryIO | None = None

    def append(self, row: dict[str, Any], schema: pa.Schema) -> None:
        """Appends a row with the columns of `schema`."""
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, schema) as stream:
            stream.write_batch(pa.record_batch({name: [row[name]] for name in schema.names}, schema=schema))
        content = sink.getvalue()
        with disks.writing(self._path):
            if self._open is None:
                self._open = open(self._path, "wb")  # noqa: SIM115 - stays open until the shard is written
                self._open.write(MAGIC)
            self._open.write(len(content).to_bytes(_LENGTH, "little") + hashlib.sha256(content).digest() + content)
            self._open.flush()

    def delete(self) -> None:
        """Deletes the journal, when its rows are in a shard."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; its rows stay on disk."""
        if self._open is not None:
            with disks.writing(self._path):  # what a full disk did not take is tried again
                self._open.close()
            self._open = None


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of the journal of the store at `path`, up to the first that is cut short or damaged: the others are
    extracted again. [] without a journal."""
    if not (path / NAME).exists():
        return []
    with open(path / NAME, "rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            return [row for content in _rows(file) for row in pa.ipc.open_stream(content).read_all().to_pylist()]
        file.seek(0)
        return _version_1(file)


def _rows(file: BinaryIO) -> Iterator[bytes]:
    """The streams of the rows that are as they were written."""
    size = file.seek(0, io.SEEK_END)
    file.seek(len(MAGIC))
    while head := file.read(_LENGTH + _DIGEST):
        content = file.read(min(size, int.from_bytes(head[:_LENGTH], "little")))
        if hashlib.sha256(content).digest() != head[_LENGTH:]:
            return
        yield content


def _version_1(file: BinaryIO) -> list[dict[str, Any]]:
    rows = []
    try:
        for batch in pa.ipc.open_stream(file):
            rows += batch.to_pylist()
    except (pa.ArrowException, OSError):  # the stream has no end: the run was killed
        pass
    return rows
