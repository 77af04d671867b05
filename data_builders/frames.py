"""Tables on disk: Parquet files with a seal (third_party_ports.seals), and one error for a file that is none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from third_party_ports import seals
from third_party_ports.files import replacing
from third_party_ports.reading import reading

Columns = Mapping[str, Any]  # the columns that a table must have, and their dtypes; any integer will do for another


def write(frame: pl.DataFrame, path: Path) -> None:
    """Writes a sealed Parquet file, whole or not at all. Raises OSError as files.replacing does."""
    with replacing(path) as temporary:
        frame.write_parquet(temporary, metadata={seals.FIELD: seals.EMPTY})
        seals.seal(temporary)


def read(path: Path, columns: Columns, kind: type[Exception], remedy: str) -> pl.DataFrame:
    """Reads a Parquet file after a check of its seal; a file of an earlier version has none, which is warned of once.

    Args:
      path: the file.
      columns: as `parse` takes them.
      kind: the error class of the artefact.
      remedy: how to make the file again.

    Raises:
      kind: the file is missing, damaged, no Parquet file, or lacks a column.
    """
    return parse(seals.read(path, kind, remedy), path, columns, kind, remedy)


def parse(content: bytes, path: Path, columns: Columns, kind: type[Exception], remedy: str) -> pl.DataFrame:
    """The table in the bytes of a Parquet file, which have been checked. Arguments and errors are those of `read`."""
    with reading(path, kind, remedy):
        frame = pl.read_parquet(content)
        for column, dtype in columns.items():
            found = frame.schema[column]
            if found != dtype and not (found.is_integer() and dtype.is_integer()):
                raise ValueError(f"the column {column!r} is {found} in place of {dtype}")
    return frame
