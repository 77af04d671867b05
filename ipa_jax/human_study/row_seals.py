"""A sha256 for each row of a study's file, in a table of their own: SQLite itself would not see a changed bit."""

import hashlib
import sqlite3
from collections.abc import Iterator

# Table: the columns that tell its rows apart.
KEYS = {"study": ("one",), "participants": ("id",), "pairs": ("participant", "position"),
        "answers": ("participant", "position")}  # fmt: skip
_SCHEMA = "CREATE TABLE seals (place TEXT PRIMARY KEY, sha256 TEXT NOT NULL)"


class RowError(ValueError):
    """A row is not the one that was written."""


def begin(db: sqlite3.Connection) -> None:
    """Makes the table, with the seals of all rows that exist; does nothing where it exists."""
    if not _exists(db):
        db.execute(_SCHEMA)
        for table in KEYS:
            add(db, table, "1")


def add(db: sqlite3.Connection, table: str, where: str, *values: object) -> None:
    """Seals new rows: those of a table that fulfil an SQL condition. A file of an earlier version stays as it is."""
    if _exists(db):
        db.executemany("INSERT INTO seals VALUES (?, ?)", list(_rows(db, table, where, *values)))


def check(db: sqlite3.Connection) -> bool:
    """Compares every row with its seal; False for a file of an earlier version, which has none.

    Raises:
      RowError: a row was changed, lost or added, or the file's structure is damaged.
    """
    if not _exists(db):
        return False
    told = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if told != "ok":
        raise RowError(" ".join(str(told).split()))
    sealed = dict(db.execute("SELECT place, sha256 FROM seals"))
    found = dict(row for table in KEYS for row in _rows(db, table, "1"))
    if wrong := sorted(place for place in sealed.keys() | found.keys() if sealed.get(place) != found.get(place)):
        raise RowError(f"{len(wrong)} rows do not match their checksums, such as {wrong[0]}")
    return True


def _exists(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'seals'").fetchone()[0] > 0


def _rows(db: sqlite3.Connection, table: str, where: str, *values: object) -> Iterator[tuple[str, str]]:
    cursor = db.execute(f"SELECT * FROM {table} WHERE {where}", values)
    names = [column[0] for column in cursor.description]
    for row in cursor:
        filled = dict(zip(names, row, strict=True))
        place = " ".join([table, *(str(filled[name]) for name in KEYS[table])])
        yield place, hashlib.sha256(repr(sorted(filled.items())).encode()).hexdigest()
