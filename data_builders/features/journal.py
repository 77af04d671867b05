"""The rows that a feature store's open shard holds, on disk: what a killed extraction finds again.

`journal.arrow` is an Arrow stream with one record batch a row, appended to and handed to the operating system as rows
come. It is deleted after the shard with its rows is in place; rows of a journal that a kill left behind in between are
in both, and the writer drops them by key.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "journal.arrow"


class Journal:
    """Appends rows to the journal of the store at `path`; the first one starts the file."""

    def __init__(self, path: Path):
        self._path = path / NAME
        self._file = self._stream = None

    def append(self, row: dict, schema: "pa.Schema") -> None:
        """One row, its columns as in a shard of `schema`."""
        import pyarrow as pa

        if self._stream is None:
            self._file = open(self._path, "wb")  # noqa: SIM115 - open as long as the shard is
            self._stream = pa.ipc.new_stream(self._file, schema)
        self._stream.write_batch(pa.record_batch({name: [row[name]] for name in schema.names}, schema=schema))
        self._file.flush()

    def delete(self) -> None:
        """Ends the journal: its rows are in a shard."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = self._stream = None


def read(path: Path) -> list[dict]:
    """The rows of the journal of the store at `path`, but for one that a kill cut short; [] where there is none."""
    import pyarrow as pa

    file, rows = path / NAME, []
    if not file.exists():
        return rows
    with open(file, "rb") as source:
        try:
            for batch in pa.ipc.open_stream(source):
                rows += batch.to_pylist()
        except (pa.ArrowInvalid, OSError):  # the end was not reached
            pass
    return rows
