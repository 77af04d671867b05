"""Reads the rows of a list as people and spreadsheets write it: separators, BOM, quotes, lines before the header."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from data_builders.posts.post import RawDataError, Skips

SEPARATORS = ",;\t|"
ENCODING = "Save it as CSV in UTF-8, with commas, semicolons or tabs"
LONGEST_LINE = 1 << 20  # characters
MOST_LINES = 500  # of one row: a caption on Instagram has at most 2,200 characters
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u200e\u200f\u2060\ufeff"  # and marks unseen
HEADER_WITHIN = 50  # lines: `sep=;`, comments and blank lines may come first


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
        self._absent = dict.fromkeys(optional, "") | dict(instead or {})
        with _text(path) as lines:
            self._header_line, self._separator, self.columns = _header(lines, {*required, *optional})
        missing = [name for name in required if name not in self.columns and name not in self._absent]
        if missing:
            raise RawDataError(path, f"the header lacks the column {', '.join(missing)}", form)
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
        width = len(self.columns)
        fill = [name in self._absent for name in self.columns]
        with _text(self.path) as lines, tqdm(unit="row", desc=f"read {self.path.name}", disable=not bar) as progress:
            for _ in range(self._header_line):
                lines.readline()
            for number, cells in self._records(lines, fits):
                progress.update()
                if not any(cell.strip() for cell in cells):
                    continue
                while len(cells) > width and not cells[-1].strip():  # a separator at the end of the line
                    cells.pop()
                if len(cells) < width and all(fill[len(cells) :]):  # Excel leaves empty cells at the end out
                    cells += [""] * (width - len(cells))
                if len(cells) != width:
                    found = f"{len(cells)} cells, but the header has {width}"
                    skips.add("bad row", f"{self.path.name}:{number}: {found}")
                    continue
                yield number, self._row(cells)

    def _row(self, cells: list[str]) -> dict[str, str]:
        row = dict(self._absent)
        row.update((name, cell.strip(BLANKS)) for name, cell in zip(self.columns, cells, strict=True))
        return row

    def _records(self, lines: TextIO, fits: Callable[[dict[str, str]], bool]) -> Iterator[tuple[int, list[str]]]:
        """(line number, cells) of each row; a row of several lines has the number of its first one."""
        number = self._header_line
        while line := lines.readline(LONGEST_LINE):
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
                line = lines.readline(LONGEST_LINE)
                length += len(line)
                if not line or len(parts) == MOST_LINES or length > LONGEST_LINE or self._swallowed(line, fits):
                    raise self._open_quote(number)
                parts.append(line)
                quoted = _is_open(line, True, self._separator)
            try:
                yield number, next(csv.reader(parts, delimiter=self._separator, strict=len(parts) > 1))
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


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as lines:
            yield lines
    except UnicodeDecodeError as error:
        raise RawDataError(path, f"this file is not UTF-8 ({error.reason})", ENCODING) from error


def _header(lines: TextIO, known: set[str]) -> tuple[int, str, list[str]]:
    """(line number, separator, columns in lower case) of the header."""
    separators = SEPARATORS
    for number in range(1, HEADER_WITHIN + 1):
        line = lines.readline(LONGEST_LINE)
        if not line:
            return number, ",", []
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
