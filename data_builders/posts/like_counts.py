"""Reads a column of like counts: 1234, 1,234, 1.234, 1 234, 1'234, 12.0, 1.2K, 3 Mio, and India's 12,34,567.

A single cell cannot say whether 12.000 is twelve thousand or twelve. The column usually can, so every cell is seen
before one is read.
"""

import re
from pathlib import Path

from data_builders.posts.post import MOST_LIKES, RawDataError

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
        self.rounded = 0  # counts such as 1.2K

    def see(self, text: str, number: int) -> None:
        """Learns from the cell `text` of line `number` what `.` and `,` mean in this column."""
        self.rounded += bool(_SHORT.fullmatch(text))
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
        elif groups[0] == "000":
            self._either.setdefault(marks[0], cell)
        else:  # 12.345 likes can only be twelve thousand and some
            self._thousands.setdefault(marks[0], cell)

    def settle(self) -> None:
        """Decides what `.` and `,` mean. Raises RawDataError, with the line, where the column leaves it open."""
        for mark in ".,":
            one, other, either = (seen.get(mark) for seen in (self._thousands, self._decimals, self._either))
            if one and other:
                problem = f"line {one[0]}: in the likes {one[1]!r}, {mark!r} separates thousands, but in {other[1]!r} "
                problem += f"(line {other[0]}) it separates decimals"
                raise RawDataError(self._path, problem, REMEDY)
            if either and not one and not other:
                if mark == ".":
                    problem = f"line {either[0]}: the likes {either[1]!r} may be thousands or a number with decimals"
                    raise RawDataError(self._path, f"{problem}, and no other line tells", REMEDY)
                self._thousands[mark] = either

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
        else:
            likes = self._marked(text)
        if likes > MOST_LIKES:
            raise ValueError(f"{text!r} is more than {MOST_LIKES:,}")
        return likes

    def _marked(self, text: str) -> int:
        wrong = ValueError(f"{text!r} is not a whole number")
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


def _digits(text: str, wrong: ValueError) -> int:
    if not (text.isascii() and text.isdigit()):
        raise wrong
    return int(text)
