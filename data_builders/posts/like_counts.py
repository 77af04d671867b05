"""Reads a column of like counts: 1234, 1,234, 1.234, 1 234, 1'234, 12.0, 1.2K, 3 Mio, and India's 12,34,567.

A single cell cannot say whether 12.000 is twelve thousand or twelve. The column usually can, so every cell is seen
before one is read.
"""

import re
from collections import Counter
from pathlib import Path

from data_builders.posts.post import MOST_LIKES, RawDataError, short
from data_builders.posts.spreadsheets import exact, is_scientific

MISSING = ("", "-", "--", "n/a", "na", "nan", "none", "null")
REMEDY = "Write the column likes in plain digits, as 12000"

_PLAIN = re.compile(r"[+-]?\d+")
_SPACED = re.compile(r"\d{1,3}(?:[ \u00a0\u2009\u202f'\u2019]\d{3})+")
_MARKED = re.compile(r"(\d+)((?:[.,]\d+)+)")
_FACTORS = {  # as counts are shortened in several languages. Not "mil": a thousand in Spanish, a million to others
    **dict.fromkeys(("k", "tsd", "тыс"), 1_000),
    "万": 10_000,
    **dict.fromkeys(("m", "mio", "mn", "mln", "млн"), 1_000_000),
    "億": 100_000_000,
}
_SHORT = re.compile(rf"(\d+)(?:[.,](\d{{1,2}}))?\s?({'|'.join(_FACTORS)})\.?", re.IGNORECASE)

Cell = tuple[int, str]  # line number, text


class LikeCounts:
    """The like counts of one column. Call `see` for every cell, then `settle`, then `read`.

    Args:
      path: the file, for error messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thousands: dict[str, Cell] = {}  # by mark, `.` or `,`: a cell where it can only separate thousands
        self._decimals: dict[str, Cell] = {}  # a cell where it can only separate decimals
        self._either: dict[str, Cell] = {}  # a cell such as 12.000
        self._groups: dict[str, Cell] = {}  # a cell such as 12.345: thousands, if the column separates them at all
        self._marked = Counter[str]()  # by mark, cells such as 12.000 and 12.345
        self._plain: Cell | None = None  # a cell of only digits,
        self._long: Cell | None = None  # and one that would be separated
        self._long_ones = 0
        self.rounded = 0  # counts such as 1.2K

    def see(self, text: str, number: int) -> None:
        """Learns from the cell `text` of line `number` what `.` and `,` mean in this column."""
        self.rounded += bool(_SHORT.fullmatch(text))
        if _PLAIN.fullmatch(text):
            self._plain = self._plain or (number, text)
            if len(text.lstrip("+-0")) > 3:
                self._long = self._long or (number, text)
                self._long_ones += 1
        if not (match := _MARKED.fullmatch(text)):
            return
        first, *groups = re.split(r"[.,]", text)
        marks = [character for character in match[2] if character in ".,"]
        cell = (number, text)
        if marks[-1] not in marks[:-1] and len(marks) > 1:  # 1,234.0
            self._decimals.setdefault(marks[-1], cell)
            marks, groups = marks[:-1], groups[:-1]
            self._thousands.setdefault(marks[0], cell)
        elif len(marks) > 1:  # 1.234.567
            self._thousands.setdefault(marks[0], cell)
        elif len(groups[0]) != 3 or len(first) > 3 or first.startswith("0"):  # 12.0
            self._decimals.setdefault(marks[0], cell)
        else:
            self._marked[marks[0]] += 1
            (self._either if groups[0] == "000" else self._groups).setdefault(marks[0], cell)

    def settle(self) -> None:
        """Decides what `.` and `,` mean. Raises RawDataError, with the line, where the column leaves it open."""
        for mark in ".,":
            self._settle_groups(mark)
            one, other, either = (seen.get(mark) for seen in (self._thousands, self._decimals, self._either))
            if one and other:
                problem = f"line {one[0]}: in the likes {short(one[1])}, {mark!r} separates thousands, "
                problem += f"but in {short(other[1])} (line {other[0]}) it separates decimals"
                raise RawDataError(self._path, problem, REMEDY)
            if either and not one and not other:
                if mark == ".":
                    problem = (
                        f"line {either[0]}: the likes {short(either[1])} may be thousands or a number with decimals"
                    )
                    raise RawDataError(self._path, f"{problem}, and no other line tells", REMEDY)
                self._thousands[mark] = either

    def _settle_groups(self, mark: str) -> None:
        """Takes 12.345 for thousands, unless the other cells show that this column does not separate them."""
        found = self._groups.get(mark) or self._either.get(mark)
        if found and mark not in self._thousands and mark not in self._decimals:
            other = self._long if self._long_ones >= self._marked[mark] else None
            if mark == "." and self._marked[mark] == 1:
                other = other or self._plain
            if other is not None:
                problem = f"line {found[0]}: the likes {short(found[1])} may be thousands or a number with decimals"
                problem += f", as line {other[0]} has only digits ({short(other[1])})"
                raise RawDataError(self._path, problem, REMEDY)
        if mark in self._groups:
            self._thousands.setdefault(mark, self._groups[mark])

    def read(self, text: str) -> int | None:
        """The likes in a cell, or None if it is empty or says that there are none (MISSING).

        Raises ValueError for any other text.
        """
        if text.lower() in MISSING:
            return None
        if _PLAIN.fullmatch(text) and len(text) < 20:
            likes = int(text)
        elif match := _SHORT.fullmatch(text):
            decimals = match[2] or ""
            likes = int(match[1] + decimals) * _FACTORS[match[3].lower()] // 10 ** len(decimals)
        elif _SPACED.fullmatch(text):
            likes = int(re.sub(r"\D", "", text))
        elif is_scientific(text):
            likes = _whole(text)
        else:
            likes = self._read_marked(text)
        if likes > MOST_LIKES:
            raise ValueError(f"{short(text)} is more than {MOST_LIKES:,}")
        return likes

    def _read_marked(self, text: str) -> int:
        wrong = ValueError(f"{short(text)} is not a whole number")
        for mark in self._thousands:
            whole, _, rest = text.partition("." if mark == "," else ",")
            if mark in whole and not rest.strip("0"):
                first, *groups = whole.split(mark)
                sizes = {len(group) for group in groups[:-1]}  # of 2 digits in India: 12,34,567
                if 0 < len(first) <= 3 and len(groups[-1]) == 3 and sizes in (set(), {2}, {3}) and len(whole) < 25:
                    return _digits(first + "".join(groups), wrong)
        whole, *rest = re.split(r"[.,]", text)
        if len(rest) == 1 and rest[0] and not rest[0].strip("0") and len(whole) < 20:
            return _digits(whole, wrong)
        raise wrong


def _whole(text: str) -> int:
    """The likes in a cell such as 1.00E+02."""
    if (digits := exact(text)) is None:
        raise ValueError(f"{text!r} is rounded by a spreadsheet; give the column the format of whole numbers there")
    if digits[1].strip("0"):
        raise ValueError(f"{text!r} is not a whole number")
    return int(digits[0])


def _digits(text: str, wrong: ValueError) -> int:
    if not (text.isascii() and text.isdigit()):
        raise wrong
    return int(text)
