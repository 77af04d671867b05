"""The SQLite file of a study: who takes part, which pairs they see, and what they chose. It never holds likes.

Each call opens a connection and makes one transaction, so threads and processes may share the file, and everything that
a call has kept is on the disk when it returns.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from ipa_jax.human_study import row_seals
from ipa_jax.human_study.pairs import Pair
from third_party_ports.reading import warn_once

SIDES = ("left", "right")
NAME_LENGTH = 80
PACE = 0.4  # s: an answer sooner after the last is a double click, or a key that is held down
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without characters that are easily confused: 0 and o, 1, i and l
_APPLICATION = 0x49504148  # "IPAH": marks the file as a study
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
    """What the answers in a file belong to.

    Attributes:
      data: the data set's folder.
      split: train, validation or test.
      digest: of the split's images (pairs.py).
      pairs: how many each participant sees.
      seed: of the draw of pairs.
    """

    data: str
    split: str
    digest: str
    pairs: int
    seed: int


class Participant(NamedTuple):
    """A person: their number, the code to resume with, their name, and how many pairs they have answered."""

    id: int
    code: str
    name: str
    answered: int


class Shown(NamedTuple):
    """A pair on the page: its position from 1, and the random keys of the pair and its photos in forms and URLs."""

    position: int
    key: str
    left: str
    right: str


class Choice(NamedTuple):
    """An answer: the chosen image and the other one, by their positions in the group `record`."""

    participant: int
    record: int
    chosen: int
    other: int
    side: str


def new_code() -> str:
    """A new code for a participant, such as k7fq-2m9x: about 40 random bits that are easy to copy by hand."""
    letters = [secrets.choice(_ALPHABET) for _ in range(8)]
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"


def read_code(text: str) -> str | None:
    """A typed code as `new_code` writes it, whatever its case and separators; None if it is not a code."""
    letters = "".join(c for c in text.lower() if c.isalnum())
    return f"{letters[:4]}-{letters[4:]}" if len(letters) == 8 and set(letters) <= set(_ALPHABET) else None


class Answers:
    """The study in a file. `create` makes the file; everything else needs it to exist.

    Every method raises OSError if the file cannot be read or written.
    """

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def _open(self, mode: str, begin: str) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            uri = f"{self.path.resolve().as_uri()}?mode={mode}"
            connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # in WAL mode the default may lose the last commits
            if mode == "rwc":
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(begin)
            with connection:
                yield connection
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # sqlite3's own message may hold a damaged name
            raise OSError(f"{self.path}: {error}; check the file and its disk, or give another one (--db)") from error
        except row_seals.RowError as error:
            raise OSError(
                f"{self.path} is damaged ({error}); put back a copy of it, or give another file (--db)"
            ) from error
        finally:
            if connection is not None:
                connection.close()

    def _read(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._open("rw", "BEGIN")  # not "ro": a reader of a WAL file may have to clean up after a killed writer

    def _write(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._open("rw", "BEGIN IMMEDIATE")

    def create(self, study: Study) -> None:
        """Makes the file, or resumes the study if the file exists.

        Raises:
          ValueError: the file holds another study; names the fields that differ.
          OSError: the file is not a study's, or cannot be written.
        """
        if not self.path.exists() or not self.path.stat().st_size:
            self._make(study)
        else:
            self.study()  # it is one: only then it is written into
            with self._write() as db:
                row_seals.begin(db)
        held, wanted = asdict(self.study()), asdict(study)
        differ = [name for name in ("split", "digest", "pairs", "seed") if held[name] != wanted[name]]
        if differ:
            fields = ", ".join(f"{name} {held[name]}, not {wanted[name]}" for name in differ)
            raise ValueError(
                f"{self.path} holds another study ({fields}); repeat its flags, or give another file (--db)"
            )

    def _make(self, study: Study) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open("rwc", "BEGIN IMMEDIATE") as db:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return  # another process was faster
            for statement in _SCHEMA.split(";\n"):  # executescript would commit first
                db.execute(statement)
            db.execute("INSERT INTO study VALUES (1, :data, :split, :digest, :pairs, :seed)", asdict(study))
            row_seals.begin(db)

    def study(self) -> Study:
        """What the answers belong to; all rows of the file are checked.

        Raises:
          FileNotFoundError: there is no file.
          OSError: the file is not a study's, or it is damaged.
        """
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such file (--db); start a study with `ipa-jax human-study serve`")
        with self._read() as db:
            if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise OSError(f"{self.path} is not the file of a study (--db); give another file")
            if not row_seals.check(db):
                warn_once(f"{self.path} has no checksums, so damage would not show (an earlier version made it)")
            row = db.execute("SELECT data, split, digest, pairs, seed FROM study").fetchone()
            if row is None:
                raise row_seals.RowError("the row of the study is missing")
            return Study(*row)

    def enter(self, code: str, name: str, draw: Callable[[int], Sequence[Pair]], now: float) -> str:
        """Adds a participant and returns their code.

        A form that is sent twice has the same code and name again, and gives the same participant.

        Args:
          code: the participant's code, unless somebody else has it: then they get a new one.
          name: at most NAME_LENGTH characters.
          draw: gives the pairs of a participant by their number.
          now: UTC seconds.
        """
        with self._write() as db:
            taken = db.execute("SELECT name FROM participants WHERE code = ?", (code,)).fetchone()
            if taken == (name,):
                return code
            code = new_code() if taken else code
            participant = db.execute(
                "INSERT INTO participants (code, name, started) VALUES (?, ?, ?)", (code, name, now)
            ).lastrowid
            assert participant is not None  # it is, after an INSERT
            rows = [
                (participant, position, *pair, *(secrets.token_urlsafe(16) for _ in range(3)))
                for position, pair in enumerate(draw(participant), start=1)
            ]
            db.executemany(
                "INSERT INTO pairs (participant, position, record, left_image, right_image, key, left_key, right_key) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            row_seals.add(db, "participants", "id = ?", participant)
            row_seals.add(db, "pairs", "participant = ?", participant)
        return code

    def participant(self, code: str) -> Participant | None:
        """The participant with this code; None if nobody has it."""
        found = self._participants("WHERE code = ?", code)
        return found[0] if found else None

    def participants(self) -> list[Participant]:
        """All participants, in the order in which they started."""
        return self._participants("ORDER BY id")

    def _participants(self, which: str, *values: str) -> list[Participant]:
        answered = "(SELECT count(*) FROM answers WHERE participant = id)"
        query = f"SELECT id, code, name, {answered} FROM participants {which}"
        with self._read() as db:
            return [Participant(*row) for row in db.execute(query, values)]

    def upcoming(self, participant: int) -> list[Shown]:
        """The first pair without an answer and the one after it: two, one or no pairs."""
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
        """Keeps an answer to the participant's next pair; returns False, and changes nothing, for any other answer.

        Args:
          participant: their number.
          key: of the pair that was on the page.
          side: "left" or "right".
          now: UTC seconds.
          pace: seconds since the participant's last answer; sooner ones are refused.
        """
        with self._write() as db:
            upcoming = self._upcoming(db, participant)
            if not upcoming or upcoming[0].key != key or side not in SIDES:
                return False
            before = db.execute("SELECT max(answered) FROM answers WHERE participant = ?", (participant,)).fetchone()[0]
            if before is not None and 0 <= now - before < pace:  # below 0 if the clock was set back
                return False
            place = (participant, upcoming[0].position)
            db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (*place, side, now))
            row_seals.add(db, "answers", "participant = ? AND position = ?", *place)
        return True

    def photo(self, participant: int, key: str) -> tuple[int, int] | None:
        """(record, position in it) of a photo of the participant's next two or earlier pairs; None otherwise."""
        with self._read() as db:
            row = db.execute(
                "SELECT record, iif(left_key = :key, left_image, right_image) FROM pairs "
                "WHERE participant = :participant AND :key IN (left_key, right_key) "
                "AND position <= 2 + (SELECT count(*) FROM answers WHERE participant = :participant)",
                {"participant": participant, "key": key},
            ).fetchone()
        return tuple(row) if row else None

    def choices(self) -> list[Choice]:
        """All answers, by participant and position."""
        with self._read() as db:
            rows = db.execute(
                "SELECT participant, record, iif(side = 'left', left_image, right_image), "
                "iif(side = 'left', right_image, left_image), side "
                "FROM answers JOIN pairs USING (participant, position) ORDER BY participant, position"
            )
            return [Choice(*row) for row in rows]
