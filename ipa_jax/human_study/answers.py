"""The SQLite file of a study: who takes part, which pairs each sees, what each chose. Likes are never in it.

Every call is a transaction of its own on a connection of its own, so threads and processes may share the file, and
what a call has returned is on the disk.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from ipa_jax.human_study.pairs import Pair

SIDES = ("left", "right")
NAME_LENGTH = 80
PACE = 0.4  # s: an answer so soon after the one before is the rest of a double click, or of a key held down
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without what is misread: 0 and o, 1, i and l
_APPLICATION = 0x49504148  # "IPAH", so that another program's file is not taken for ours
_SCHEMA = f"""
CREATE TABLE study (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  data TEXT NOT NULL, split TEXT NOT NULL, digest TEXT NOT NULL,
  pairs INTEGER NOT NULL CHECK (pairs > 0), seed INTEGER NOT NULL);
CREATE TABLE participants (
  id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND {NAME_LENGTH}), started REAL NOT NULL);
CREATE TABLE pairs (
  participant INTEGER NOT NULL REFERENCES participants (id), position INTEGER NOT NULL CHECK (position > 0),
  key TEXT NOT NULL UNIQUE, record INTEGER NOT NULL,
  left_image INTEGER NOT NULL, right_image INTEGER NOT NULL CHECK (left_image <> right_image),
  left_key TEXT NOT NULL UNIQUE, right_key TEXT NOT NULL UNIQUE,
  PRIMARY KEY (participant, position));
CREATE UNIQUE INDEX pair_once ON pairs
  (participant, record, min(left_image, right_image), max(left_image, right_image));
CREATE TABLE answers (
  participant INTEGER NOT NULL, position INTEGER NOT NULL,
  side TEXT NOT NULL CHECK (side IN ('left', 'right')), answered REAL NOT NULL,
  UNIQUE (participant, position),
  FOREIGN KEY (participant, position) REFERENCES pairs (participant, position));
PRAGMA application_id = {_APPLICATION};
"""


@dataclass(frozen=True)
class Study:
    """What a file belongs to; `data` is the data set's folder, `digest` of pairs.py, `pairs` a participant."""

    data: str
    split: str
    digest: str
    pairs: int
    seed: int


class Participant(NamedTuple):
    id: int
    code: str
    name: str
    answered: int


class Shown(NamedTuple):
    """A pair on the page: position from 1, and the keys that stand for it and for its photos in URLs."""

    position: int
    key: str
    left: str
    right: str


class Choice(NamedTuple):
    """An answer as it is scored: the image chosen and the other, by position in the group `record`."""

    participant: int
    record: int
    chosen: int
    other: int
    side: str


def new_code() -> str:
    """A participant's code, such as k7fq-2m9x: 40 random bits that can be copied by hand."""
    letters = [secrets.choice(_ALPHABET) for _ in range(8)]
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


def read_code(text: str) -> str | None:
    """A code as typed, in whatever case and with whatever between, as `new_code` writes it; None: not one."""
    letters = "".join(c for c in text.lower() if c.isalnum())
    return f"{letters[:4]}-{letters[4:]}" if len(letters) == 8 and set(letters) <= set(_ALPHABET) else None


class Answers:
    """The study in the file `path`; `create` makes it, everything else needs it to be there."""

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def _open(self, mode: str, begin: str) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30, isolation_level=None
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # in WAL mode the default may lose the last commits
            if mode == "rwc":
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(begin)
            with connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise OSError(f"{self.path}: {error} (--db)") from error
        finally:
            connection.close()

    def _read(self):
        return self._open("rw", "BEGIN")  # not "ro": a reader of a WAL file may have to tidy up after a killed writer

    def _write(self):
        return self._open("rw", "BEGIN IMMEDIATE")

    def create(self, study: Study) -> None:
        """Makes the file, or goes on with one that is there.

        Raises:
          ValueError: the file holds another study; names the fields.
          OSError: it is no file of ours, or cannot be written.
        """
        if not self.path.exists() or not self.path.stat().st_size:
            self._make(study)
        there, wanted = asdict(self.study()), asdict(study)
        differ = [name for name in ("split", "digest", "pairs", "seed") if there[name] != wanted[name]]
        if differ:
            told = ", ".join(f"{name} {there[name]}, not {wanted[name]}" for name in differ)
            raise ValueError(f"{self.path} holds another study ({told}): start it likewise, or with another --db")

    def _make(self, study: Study) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open("rwc", "BEGIN IMMEDIATE") as db:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return  # another process was quicker
            for statement in _SCHEMA.split(";\n"):  # executescript would commit first
                db.execute(statement)
            db.execute("INSERT INTO study VALUES (1, :data, :split, :digest, :pairs, :seed)", asdict(study))

    def study(self) -> Study:
        """Raises FileNotFoundError where there is no file, OSError where it is not a study's."""
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such file (--db); `serve` makes one")
        with self._read() as db:
            if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise OSError(f"{self.path} is not a file of `serve` (--db)")
            return Study(*db.execute("SELECT data, split, digest, pairs, seed FROM study").fetchone())

    def enter(self, code: str, name: str, draw: Callable[[int], Sequence[Pair]], now: float) -> str:
        """Adds a participant with the pairs draw(participant's number), and returns the code that is theirs.

        The same code and name again, as a form sent twice has them, is the same participant; a code that someone else
        has is replaced by a new one.
        """
        with self._write() as db:
            taken = db.execute("SELECT name FROM participants WHERE code = ?", (code,)).fetchone()
            if taken == (name,):
                return code
            code = new_code() if taken else code
            participant = db.execute(
                "INSERT INTO participants (code, name, started) VALUES (?, ?, ?)", (code, name, now)
            ).lastrowid
            rows = [
                (participant, position, *pair, *(secrets.token_urlsafe(16) for _ in range(3)))
                for position, pair in enumerate(draw(participant), start=1)
            ]
            db.executemany(
                "INSERT INTO pairs (participant, position, record, left_image, right_image, key, left_key, right_key) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        return code

    def participant(self, code: str) -> Participant | None:
        """Who has this code; None where nobody has."""
        found = self._participants("WHERE code = ?", code)
        return found[0] if found else None

    def participants(self) -> list[Participant]:
        """All, in the order in which they started."""
        return self._participants("ORDER BY id")

    def _participants(self, which: str, *values: str) -> list[Participant]:
        answered = "(SELECT count(*) FROM answers WHERE participant = id)"
        query = f"SELECT id, code, name, {answered} FROM participants {which}"
        with self._read() as db:
            return [Participant(*row) for row in db.execute(query, values)]

    def upcoming(self, participant: int) -> list[Shown]:
        """The first pair without an answer and the one after it, as far as there are any."""
        with self._read() as db:
            return self._upcoming(db, participant)

    @staticmethod
    def _upcoming(db: sqlite3.Connection, participant: int) -> list[Shown]:
        rows = db.execute(
            "SELECT position, key, left_key, right_key FROM pairs LEFT JOIN answers USING (participant, position) "
            "WHERE participant = ? AND side IS NULL ORDER BY position LIMIT 2",
            (participant,),
        )
        return [Shown(*row) for row in rows]

    def answer(self, participant: int, key: str, side: str, now: float, *, pace: float = PACE) -> bool:
        """Keeps an answer to the pair that is next; returns False, and changes nothing, for any other.

        Args:
          key: of the pair that was on the page.
          pace: s, the least time since this participant's answer before; sooner ones are refused.
        """
        with self._write() as db:
            upcoming = self._upcoming(db, participant)
            if not upcoming or upcoming[0].key != key or side not in SIDES:
                return False
            before = db.execute("SELECT max(answered) FROM answers WHERE participant = ?", (participant,)).fetchone()[0]
            if before is not None and 0 <= now - before < pace:  # below 0: the clock was set back
                return False
            db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (participant, upcoming[0].position, side, now))
        return True

    def photo(self, participant: int, key: str) -> tuple[int, int] | None:
        """(record, position in it) of a photo of this participant's pairs up to the one after the next."""
        with self._read() as db:
            row = db.execute(
                "SELECT record, iif(left_key = :key, left_image, right_image) FROM pairs "
                "WHERE participant = :participant AND :key IN (left_key, right_key) "
                "AND position <= 2 + (SELECT count(*) FROM answers WHERE participant = :participant)",
                {"participant": participant, "key": key},
            ).fetchone()
        return row and tuple(row)

    def choices(self) -> list[Choice]:
        """All answers, by participant and position."""
        with self._read() as db:
            rows = db.execute(
                "SELECT participant, record, iif(side = 'left', left_image, right_image), "
                "iif(side = 'left', right_image, left_image), side "
                "FROM answers JOIN pairs USING (participant, position) ORDER BY participant, position"
            )
            return [Choice(*row) for row in rows]
