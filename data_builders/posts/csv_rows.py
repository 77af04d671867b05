"""Reads the rows of a list as people and spreadsheets write it: separators, BOM, quotes, lines before the header."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from data_builders.posts.post import RawDataError, Skips, short
from data_builders.posts.spreadsheets import text_of

SEPARATORS = ",;\t|"
SEPARATORS_IN_WORDS = "commas, semicolons, tabs and bars"
ENCODING = "Save it as CSV in UTF-8, with commas, semicolons or tabs"
LONGEST_LINE = 1 << 20  # characters
MOST_LINES = 500  # of one row: a caption on Instagram has at most 2,200 characters
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u200e\u200f\u2060\ufeff"  # and marks unseen
HEADER_WITHIN = 50  # lines: `sep=;`, comments and blank lines may come first

_ESCAPES = re.compile(r"\\[\"\\]")


class CsvRows:
    """The rows of a CSV file whose first line names its columns.

    Before the header there may be blank lines, lines that begin with #, and Excel's `sep=;`. Commas, semicolons, tabs
    and bars separate the columns, whichever gives the columns that are asked for.

    Args:
      path: the file.
      required, optional: names of columns, in lower case.
      form: what the header should be, for error messages.
      instead: cells of required columns that may be absent, by column.

    Attributes:
      path: the file.
      columns: the header, in lower case.

    Raises:
      RawDataError: the file is not UTF-8, or its header lacks or repeats a column.
    """

    def __init__(
        self,
        path: Path,
        required: Sequence[str],
        optional: Sequence[str],
        form: str,
        instead: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._escapes: bool | None = None  # whether \\" is a quote inside a cell; None: not known yet
        self._absent = dict.fromkeys(optional, "") | dict(instead or {})
        with _text(path) as lines:
            self._header_line, self._separator, self.columns = _header(path, lines, {*required, *optional})
        if not self.columns:
            raise RawDataError(path, "this file is empty, or has no header", form)
        missing = [name for name in required if name not in self.columns and name not in self._absent]
        if missing:
            problem = f"the header lacks the column {', '.join(missing)}"
            if len(self.columns) == 1:
                problem += f"; it is one cell, {short(self.columns[0])}, as only {SEPARATORS_IN_WORDS} separate cells"
            raise RawDataError(path, problem, form)
        for name in (*required, *optional):
            if self.columns.count(name) > 1:
                raise RawDataError(path, f"the header names the column {name} twice", form)

    def rows(
        self, fits: Callable[[dict[str, str]], bool], skips: Skips, *, bar: bool = True
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows, each time from the start.

        Args:
          fits: whether cells look like a row of this list. It finds rows that an open quote swallowed.
          skips: counts rows of a wrong length as "bad row".
          bar: whether to show progress.

        Yields:
          (line number from 1, cell by column, without blanks around it). An optional column that is absent is empty.

        Raises:
          RawDataError: the file is not UTF-8, a line is too long, or a quote opens and does not close; names the line.
        """
        if self._escapes is None:
            self._escapes = self._has_escapes(fits)
        with _text(self.path) as lines, tqdm(unit="row", desc=f"read {self.path.name}", disable=not bar) as progress:
            for _ in range(self._header_line):
                lines.readline()
            for number, cells in self._records(lines, fits, self._escapes):
                progress.update()
                if not any(cell.strip() for cell in cells):
                    continue
                if not self._fill(cells):
                    found = f"{len(cells)} cells, but the header has {len(self.columns)}"
                    found += f": {short(self._separator.join(cells))}"
                    found += f'; put quotes (") around a cell that holds {self._separator!r}, and leave none out'
                    skips.add("bad row", f"{self.path.name}:{number}: {found}")
                    continue
                yield number, self._row(cells)

    def _fill(self, cells: list[str]) -> bool:
        """Adds and drops empty cells at the end, in place. False if the row still has a wrong length."""
        width = len(self.columns)
        while len(cells) > width and not cells[-1].strip():  # a separator at the end of the line
            cells.pop()
        if len(cells) < width and all(name in self._absent for name in self.columns[len(cells) :]):
            cells += [""] * (width - len(cells))  # Excel leaves empty cells at the end out
        return len(cells) == width

    def _has_escapes(self, fits: Callable[[dict[str, str]], bool]) -> bool:
        """Whether quotes inside cells are written as MySQL and old programs do: only so does the whole file fit."""
        with _text(self.path) as lines:
            if not any('\\"' in line for line in iter(lambda: lines.readline(LONGEST_LINE), "")):
                return False
        return not self._all_fit(fits, False) and self._all_fit(fits, True)

    def _all_fit(self, fits: Callable[[dict[str, str]], bool], escapes: bool) -> bool:
        try:
            with _text(self.path) as lines:
                for _ in range(self._header_line):
                    lines.readline()
                records = self._records(lines, fits, escapes, strict=True)
                return all(self._fill(cells) or not any(map(str.strip, cells)) for _, cells in records)
        except RawDataError:
            return False

    def _row(self, cells: list[str]) -> dict[str, str]:
        row = dict(self._absent)
        row.update((name, text_of(cell.strip(BLANKS))) for name, cell in zip(self.columns, cells, strict=True))
        return row

    def _records(
        self, lines: TextIO, fits: Callable[[dict[str, str]], bool], escapes: bool, *, strict: bool = False
    ) -> Iterator[tuple[int, list[str]]]:
        """(line number, cells) of each row; a row of several lines has the number of its first one."""
        number = self._header_line
        while line := _line(lines, escapes):
            number += 1
            if len(line) == LONGEST_LINE:
                raise RawDataError(self.path, f"line {number} is longer than {LONGEST_LINE} characters", ENCODING)
            if '"' not in line:
                yield number, line.rstrip("\r\n").split(self._separator)
                continue
            try:
                cells = next(csv.reader([line], delimiter=self._separator, strict=True))
            except csv.Error:  # a cell of several lines, or a quote that is no quote
                cells = []
            if cells:
                yield number, cells
                continue
            parts, length = [line], len(line)
            quoted = _is_open(line, False, self._separator)
            while quoted:
                line = _line(lines, escapes)
                length += len(line)
                if not line or len(parts) == MOST_LINES or length > LONGEST_LINE or self._swallowed(line, fits):
                    raise self._open_quote(number)
                parts.append(line)
                quoted = _is_open(line, True, self._separator)
            try:
                yield number, next(csv.reader(parts, delimiter=self._separator, strict=strict or len(parts) > 1))
            except csv.Error as error:
                raise self._open_quote(number) from error
            number += len(parts) - 1

    def _swallowed(self, line: str, fits: Callable[[dict[str, str]], bool]) -> bool:
        """Whether a line within quotes is a whole row by itself."""
        cells = line.rstrip("\r\n").split(self._separator)
        return len(cells) == len(self.columns) and fits(self._row(cells))

    def _open_quote(self, number: int) -> RawDataError:
        return RawDataError(
            self.path,
            f'line {number}: a quote (") opens a cell and does not close it, so it would swallow the lines after it',
            'Delete that quote, or put one at the end of the cell. A quote inside a quoted cell is written twice ("")',
        )


def _line(lines: TextIO, escapes: bool) -> str:
    """The next line; with `escapes`, quotes inside cells are written twice in it."""
    line = lines.readline(LONGEST_LINE)
    return _ESCAPES.sub(lambda match: '""' if match[0] == '\\"' else "\\", line) if escapes else line


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            yield lines
    except UnicodeDecodeError as error:
        raise RawDataError(path, f"this file is not UTF-8 ({error.reason})", ENCODING) from error


def _header(path: Path, lines: TextIO, known: set[str]) -> tuple[int, str, list[str]]:
    """(line number, separator, columns in lower case) of the header."""
    separators = SEPARATORS
    for number in range(1, HEADER_WITHIN + 1):
        line = lines.readline(LONGEST_LINE)
        if not line:
            return number, ",", []
        if "\0" in line:
            raise RawDataError(path, "this file is not UTF-8; its zeros look like UTF-16", ENCODING)
        text = line.strip("\r\n")
        if text.lower().startswith("sep=") and len(text) == 5:
            separators = text[4]
        elif text.strip(f" {SEPARATORS}") and not text.lstrip().startswith("#"):
            found = [(separator, _columns(text, separator)) for separator in separators]
            separator, columns = max(found, key=lambda each: (len(known & set(each[1])), len(each[1])))
            return number, separator, columns
    return HEADER_WITHIN, ",", []


def _columns(text: str, separator: str) -> list[str]:
    try:
        columns = next(csv.reader([text], delimiter=separator), [])
    except csv.Error:
        return []
    return [name.strip().lower() for name in columns]


def _is_open(line: str, quoted: bool, separator: str) -> bool:
    """Whether a quoted cell is open after a line, if one was (`quoted`) or was not before it."""
    start = True  # at the beginning of a cell
    position = 0
    while position < len(line):
        character = line[position]
        if quoted and character == '"':
            if line[position + 1 : position + 2] == '"':
                position += 1
            else:
                quoted = start = False
        elif not quoted:
            quoted = start and character == '"'
            start = character == separator
        position += 1
    return quoted
