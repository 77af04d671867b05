"""The journal of a feature store: on disk, the rows of the shard that is not complete yet, for a run that was killed.

`journal.arrow` is an Arrow stream with one record batch per row. Each row is handed to the operating system at once.
The journal is deleted after the shard with its rows is in place. If a run is killed between the two, its rows are in
both; the writer drops them by key.
"""

from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

NAME = "journal.arrow"


class Journal:
    """Appends rows to the journal of the store at `path`. The first row starts the file."""

    def __init__(self, path: Path):
        self._path = path / NAME
        self._open: tuple[BinaryIO, pa.RecordBatchStreamWriter] | None = None

    def append(self, row: dict[str, Any], schema: pa.Schema) -> None:
        """Appends a row with the columns of `schema`."""
        if self._open is None:
            file = open(self._path, "wb")  # noqa: SIM115 - stays open until the shard is written
            self._open = file, pa.ipc.new_stream(file, schema)
        file, stream = self._open
        stream.write_batch(pa.record_batch({name: [row[name]] for name in schema.names}, schema=schema))
        file.flush()

    def delete(self) -> None:
        """Deletes the journal, when its rows are in a shard."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; its rows stay on disk."""
        if self._open is not None:
            self._open[0].close()
            self._open = None


def read(path: Path) -> list[dict[str, Any]]:
    """The complete rows of the journal of the store at `path`; [] without a journal. The last row may be cut short."""
    file, rows = path / NAME, []
    if not file.exists():
        return rows
    with open(file, "rb") as source:
        try:
            for batch in pa.ipc.open_stream(source):
                rows += batch.to_pylist()
        except (pa.ArrowInvalid, OSError):  # the stream has no end: the run was killed
            pass
    return rows
