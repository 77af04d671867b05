"""Reads a column of times: ISO 8601, Unix seconds or milliseconds, Excel's days, 20200131, 31/01/2020, 31 Jan 2020.

Whether 03/04/2020 is in March or in April, only the rest of the column can tell, and so it is with the day from which a
number counts. So every cell is seen before one is read.
"""

import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from data_builders.posts.post import RawDataError, short
from data_builders.posts.spreadsheets import exact

ISO, SECONDS, MILLISECONDS = "dates as 2020-01-31", "Unix seconds", "Unix milliseconds"
EXCEL, DIGITS, DAY_FIRST = "day numbers of Excel", "days as 20200131", "dates as 31/01/2020"
MONTH_FIRST, NAMED = "dates as 01/31/2020", "dates with the month's name"
EXCEL_DAYS = (29_221, 73_051)  # 1980 to 2099
EXCEL_1970 = 25_569  # Excel's number of 1 January 1970
EARLIEST = 10**8  # Unix seconds of 1973: a smaller number is no time of a post
LATEST = 10**11
EARLIEST_MILLISECONDS = 6 * 10**11  # 1989
PLAUSIBLE = 946_684_800  # Unix seconds of 2000: photo networks are younger
NETWORKS = 1_072_915_200  # Unix seconds of 2004, when Flickr began
DAY = 86_400  # seconds: clocks and zones differ
OTHER_COUNTS = (  # of other systems: units in a second, and Unix seconds of their zero
    ("seconds since 2001 (Apple)", 1, 978_307_200),
    ("seconds since 1904 (old Macs)", 1, -2_082_844_800),
    ("microseconds since 1601 (Chrome)", 10**6, -11_644_473_600),
    ("ticks since 1601 (Windows)", 10**7, -11_644_473_600),
    ("ticks since the year 1 (.NET)", 10**7, -62_135_596_800),
)

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
        self._proof: dict[str, dict[bool, str]] = {}  # by mark, a cell by what it proves: True: the day comes first
        self._doubt: dict[str, str] = {}  # by mark
        self._month_first = ""  # marks
        self._odd: list[str] = []  # the first number whose time is not plausible
        self._numbers = Counter[bool]()  # times by whether they are numbers that are not plausible
        self._latest = time.time() + DAY
        self.forms: Counter[str] = Counter()
        self.naive = 0

    def see(self, text: str, number: int) -> None:
        """Learns from the cell `text` of line `number` what numbers count, and whether days or months come first."""
        where = f"line {number}: {self._column} {short(text)}"
        if _NUMBER.fullmatch(text):
            found = parse(text)
            if found is None:
                odd = bool(self._other_counts(text))
            else:
                odd = found.form != DIGITS and not PLAUSIBLE <= found.seconds <= self._latest
            self._numbers[odd] += odd or found is not None
            if odd and not self._odd:
                self._odd = [text, where]
            return
        self._numbers[False] += bool(text)
        if (match := _YEAR_FIRST.fullmatch(text)) and int(match["month"]) > 12 >= int(match["day"]):
            problem = f"{where} has no month {match['month']}, so the day seems to come before the month"
            raise RawDataError(self._path, problem, self._remedy())
        match = _YEAR_LAST.fullmatch(text)
        if match and match["one"] != match["two"] and match["mark"] != ".":
            proof = self._proof.setdefault(match["mark"], {})
            # 20/01/15 may begin with its year, and 31/01/15 cannot.
            if int(match["one"]) > (12 if len(match["year"]) == 4 else 30):
                proof.setdefault(True, where)
            elif int(match["two"]) > 12:
                proof.setdefault(False, where)
            else:
                self._doubt.setdefault(match["mark"], where)

    def settle(self) -> None:
        """Decides whether days or months come first.

        Raises RawDataError, with the line, if that stays open, or if most times are numbers that give years in which
        nobody posted.
        """
        if self._numbers[True] > self._numbers[False]:
            self._refuse_numbers(*self._odd)
        for mark, proof in self._proof.items():
            if len(proof) == 2:
                problem = f"{proof[True]} has the day first, and {proof[False]} has the month first"
                raise RawDataError(self._path, problem, self._remedy())
            if not proof and mark in self._doubt:
                problem = f"{self._doubt[mark]} may have the day or the month first, and no other line tells"
                raise RawDataError(self._path, problem, self._remedy())
        self._month_first = "".join(mark for mark, proof in self._proof.items() if proof.keys() == {False})

    def _remedy(self) -> str:
        return f"Write the column {self._column} with the year first, as 2020-04-03"

    def _refuse_numbers(self, text: str, where: str) -> None:
        problem = f"{where} is no time that can be read"
        if found := parse(text):
            day = datetime(1970, 1, 1) + timedelta(seconds=found.seconds)
            problem = f"{where} would be {day:%Y-%m-%d} as {found.form}"
        problem += ", and most times are like this"
        if counts := self._other_counts(text):
            problem += f"; they may be {' or '.join(counts)}"
        raise RawDataError(self._path, problem, f"Write the column {self._column} as 2020-04-03 or in Unix seconds")

    def _other_counts(self, text: str) -> list[str]:
        """What a number may be, if it counts from another day, in words."""
        number = int(re.split("[.,]", text)[0])
        found = [name for name, unit, zero in OTHER_COUNTS if NETWORKS <= number // unit + zero <= self._latest]
        if re.fullmatch(r"(19|20)\d{8}", text) and _number(f"{text}00", ""):
            found.insert(0, "dates with hours, as 2020013114")
        return found

    def read(self, text: str) -> int | None:
        """Unix seconds, rounded down; None if the text is not a time."""
        found = parse(text, self._month_first)
        if found is None:
            return None
        self.forms[found.form] += 1
        self.naive += not found.zoned
        return found.seconds

    def notes(self) -> list[str]:
        """What to tell the user about the times that were read, in sentences."""
        odd = [f"{n} are {form}" for form, n in self.forms.items() if form not in (ISO, SECONDS)]
        found = [f"{self._path}: of the times in the column {self._column}, {', '.join(odd)}"] if odd else []
        if self.naive:
            found.append(f"{self._path}: {self.naive} timestamps have no time zone; they are read as UTC")
        return found


def parse(text: str, month_first: str = "") -> Time | None:
    """Reads one time.

    Args:
      text: without blanks around it.
      month_first: marks with which months come before days: with "/" in it, 03/04/2020 is in March. With dots, the day
        comes first in every country.

    Returns:
      The time, or None if the text is not a time of a post.
    """
    if match := _NUMBER.fullmatch(text):
        return _number(match[1], match[2] or "")
    if digits := exact(text):
        return _number(*digits)
    try:
        if match := _YEAR_FIRST.fullmatch(text):
            return _time(match, int(match["month"]), int(match["day"]), ISO)
        if match := _YEAR_LAST.fullmatch(text):
            one, two = int(match["one"]), int(match["two"])
            day_first = match["mark"] not in month_first
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
    minute, second = int(match["minute"] or 0), int(match["second"] or 0)
    midnight = hour == 24 and not (half or minute or second)  # of the next day
    zone = match["zone"] and _zone(match["zone"])
    year = int(match["year"]) + 2000 * (len(match["year"]) == 2)
    moment = datetime(year, month, day, 0 if midnight else hour, minute, second) + timedelta(days=midnight)
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
