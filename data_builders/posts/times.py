"""Reads a column of times: ISO 8601, Unix seconds or milliseconds, Excel's days, 20200131, 31/01/2020, 31 Jan 2020.

Whether 03/04/2020 is in March or in April, only the rest of the column can tell. So every cell is seen before one is
read.
"""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from data_builders.posts.post import RawDataError

ISO, SECONDS, MILLISECONDS = "dates as 2020-01-31", "Unix seconds", "Unix milliseconds"
EXCEL, DIGITS, DAY_FIRST = "day numbers of Excel", "days as 20200131", "dates as 31/01/2020"
MONTH_FIRST, NAMED = "dates as 01/31/2020", "dates with the month's name"
EXCEL_DAYS = (29_221, 73_051)  # 1980 to 2099
EXCEL_1970 = 25_569  # Excel's number of 1 January 1970
EARLIEST = 10**8  # Unix seconds of 1973: a smaller number is no time of a post
LATEST = 10**11
EARLIEST_MILLISECONDS = 6 * 10**11  # 1989

_CLOCK = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d\d:?(?:\d\d)?)?)?"
)
_YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})([-/.:])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}}){_CLOCK}")
_YEAR_LAST = re.compile(rf"(?P<one>\d{{1,2}})(?P<mark>[-/.])(?P<two>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}|\d\d){_CLOCK}")
_DAY_NAME = re.compile(
    rf"(?:[A-Za-z]{{3,9}}\.?,? )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ -](?P<name>[A-Za-z]{{3,9}})\.?,?[ -]"
    rf"(?P<year>\d{{4}}|\d\d){_CLOCK}"
)
_NAME_DAY = re.compile(
    r"(?:[A-Za-z]{3,9}\.?,? )?(?P<name>[A-Za-z]{3,9})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,? "
    rf"(?P<year>\d{{4}}){_CLOCK}"
)
_NUMBER = re.compile(r"(\d{1,20})(?:[.,](\d{1,20}))?")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip


class Time(NamedTuple):
    """A time that was read: Unix seconds rounded down, in which form it was written, and whether it had a time zone."""

    seconds: int
    form: str
    zoned: bool


class Times:
    """The times of one column. Call `see` for every cell, then `settle`, then `read`.

    Args:
      path, column: the file and the column, for error messages.

    Attributes:
      forms: cells by the form that they were read in.
      naive: cells without a time zone.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._proof: dict[bool, str] = {}  # a cell by what it proves: True: the day comes first
        self._doubt = ""
        self._day_first = True
        self.forms: Counter[str] = Counter()
        self.naive = 0

    def see(self, text: str, number: int) -> None:
        """Learns from the cell `text` of line `number` whether days or months come first."""
        match = _YEAR_LAST.fullmatch(text)
        if match and match["one"] != match["two"]:
            where = f"line {number}: {self._column} {text!r}"
            # With dots, the day comes first in every country. 20/01/15 may begin with its year, and 31/01/15 cannot.
            no_month = 12 if len(match["year"]) == 4 else 30
            if int(match["one"]) > no_month or match["mark"] == ".":
                self._proof.setdefault(True, where)
            elif int(match["two"]) > 12:
                self._proof.setdefault(False, where)
            else:
                self._doubt = self._doubt or where

    def settle(self) -> None:
        """Decides whether days or months come first. Raises RawDataError, with the line, if that stays open."""
        remedy = f"Write the column {self._column} with the year first, as 2020-04-03"
        if len(self._proof) == 2:
            problem = f"{self._proof[True]} has the day first, and {self._proof[False]} has the month first"
            raise RawDataError(self._path, problem, remedy)
        if self._doubt and not self._proof:
            problem = f"{self._doubt} may have the day or the month first, and no other line tells"
            raise RawDataError(self._path, problem, remedy)
        self._day_first = self._proof.keys() != {False}

    def read(self, text: str) -> int | None:
        """Unix seconds, rounded down; None if the text is not a time."""
        time = parse(text, self._day_first)
        if time is None:
            return None
        self.forms[time.form] += 1
        self.naive += not time.zoned
        return time.seconds

    def notes(self) -> list[str]:
        """What to tell the user about the times that were read, in sentences."""
        odd = [f"{n} are {form}" for form, n in self.forms.items() if form not in (ISO, SECONDS)]
        found = [f"{self._path}: of the times in the column {self._column}, {', '.join(odd)}"] if odd else []
        if self.naive:
            found.append(f"{self._path}: {self.naive} timestamps have no time zone; they are read as UTC")
        return found


def parse(text: str, day_first: bool = True) -> Time | None:
    """Reads one time.

    Args:
      text: without blanks around it.
      day_first: whether 03/04/2020 is in April.

    Returns:
      The time, or None if the text is not a time of a post.
    """
    if match := _NUMBER.fullmatch(text):
        return _number(match[1], match[2] or "")
    try:
        if match := _YEAR_FIRST.fullmatch(text):
            return _time(match, int(match["month"]), int(match["day"]), ISO)
        if match := _YEAR_LAST.fullmatch(text):
            one, two = int(match["one"]), int(match["two"])
            form = DAY_FIRST if day_first else MONTH_FIRST
            return _time(match, two if day_first else one, one if day_first else two, form)
        if match := _DAY_NAME.fullmatch(text) or _NAME_DAY.fullmatch(text):
            # The first letters of an English name; those of other languages could be another month's.
            months = [i for i, name in enumerate(_MONTHS, 1) if name.startswith(match["name"].lower())]
            return _time(match, months[0], int(match["day"]), NAMED) if months else None
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return _of(moment, ISO)


def _time(match: re.Match[str], month: int, day: int, form: str) -> Time:
    hour = int(match["hour"] or 0)
    if half := match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{hour} {half} is not an hour")
        hour = hour % 12 + 12 * (half[0] in "Pp")
    zone = match["zone"] and _zone(match["zone"])
    year = int(match["year"]) + 2000 * (len(match["year"]) == 2)
    moment = datetime(year, month, day, hour, int(match["minute"] or 0), int(match["second"] or 0))
    return _of(moment.replace(tzinfo=zone or None), form)


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _of(moment: datetime, form: str) -> Time:
    zoned = moment.tzinfo is not None
    since = (moment if zoned else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return Time(since // timedelta(seconds=1), form, zoned)


def _number(whole: str, fraction: str) -> Time | None:
    """A time that is written as a number: days with digits, Excel's days, or a count since 1970."""
    if not fraction and whole[:2] in ("19", "20") and len(whole) in (8, 12, 14):
        try:
            return _of(datetime.strptime(whole.ljust(14, "0"), "%Y%m%d%H%M%S"), DIGITS)
        except ValueError:
            pass
    number = int(whole)
    if EXCEL_DAYS[0] <= number < EXCEL_DAYS[1]:
        days = float(f"{whole}.{fraction or 0}") - EXCEL_1970
        return Time(round(days * 86_400), EXCEL, False)
    if EARLIEST <= number < LATEST:
        return Time(number, SECONDS, True)
    for power, form in ((3, MILLISECONDS), (6, "Unix microseconds"), (9, "Unix nanoseconds")):
        if EARLIEST_MILLISECONDS <= number // 10 ** (power - 3) < LATEST * 1000:
            return Time(number // 10**power, form, True)
    return None
