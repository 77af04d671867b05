"""A column of times: every form, and the dates that only the column can settle."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.posts.post import RawDataError
from data_builders.posts.times import Times, parse

MOMENT = datetime(2020, 1, 31, 14, 5, 9, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


def column(*cells: str) -> list[int | None]:
    times = Times(Path("posts.csv"), "timestamp")
    for number, cell in enumerate(cells, 2):
        times.see(cell, number)
    times.settle()
    return [times.read(cell) for cell in cells]


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2098, 1, 1)))
def test_all_forms_of_a_time_agree(moment):
    moment = moment.replace(microsecond=0)
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    for text, zoned in [
        (moment.isoformat(), False),
        (f"{moment}", False),
        (f"{moment}.9", False),
        (f"{moment:%Y/%m/%d %H:%M:%S}", False),
        (f"{moment:%Y:%m:%d %H:%M:%S}", False),  # as EXIF has it
        (f"{moment:%Y%m%d%H%M%S}", False),
        (f"{moment:%Y%m%dT%H%M%S}", False),
        (f"{moment:%d/%m/%Y %H:%M:%S}", False),
        (f"{moment:%d %b %Y, %I:%M:%S %p}", False),
        (f"{moment:%A, %B %d, %Y %H:%M:%S}", False),
        (f"{moment}Z", True),
        (f"{moment} UTC", True),
        (moment.replace(tzinfo=UTC).isoformat(), True),
        (f"{moment:%a, %d %b %Y %H:%M:%S} +0000", True),
        (f"{moment + timedelta(hours=5, minutes=30)}+05:30", True),
        (f"{moment - timedelta(hours=8)} -08", True),
    ]:
        time = parse(text)
        assert time is not None and (time.seconds, time.zoned) == (seconds, zoned), text
    excel = (moment - datetime(1899, 12, 30)) / timedelta(days=1)
    assert parse(f"{excel:.6f}").seconds == pytest.approx(seconds, abs=1)


@settings(deadline=None)
@given(st.integers(6 * 10**8, 4 * 10**9))
def test_counts_since_1970(seconds):
    for text in (f"{seconds}", f"{seconds}.9", f"{seconds}123", f"{seconds}123456", f"{seconds}123456789"):
        assert parse(text).seconds == seconds and parse(text).zoned


@pytest.mark.parametrize(
    "text",
    ["", "soon", "nan", "inf", "-5", "5", "2020", "202001", "1.58E+09", "2020-13-01", "20201301", "31/31/2020",
     "0001-01-01T00:00:00+23:00x", "31 Foo 2020", "30 marras 2020", "31 janv. 2020",
     "2020-01-31 14:61", "2020-01-31 13:05 PM", "9" * 30, "1/2/200",
     "2020-01-31T14:05:09+99:00"],
)  # fmt: skip
def test_no_time(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["31/01/2020", "03/04/2020"], "2020-04-03"),
        (["01/31/2020", "03/04/2020"], "2020-03-04"),
        (["03.04.2020"], "2020-04-03"),
        (["31-1-2020", "3-4-2020"], "2020-04-03"),
        (["31/01/20", "03/04/20"], "2020-04-03"),
        (["1/31/20 14:05", "3/4/20"], "2020-03-04"),
        (["03.04.20"], "2020-04-03"),
        (["3-Apr-20"], "2020-04-03"),
        (["April 3rd, 2020"], "2020-04-03"),
        (["03.04.2020", "04/13/2020"], "2020-04-13"),
        (["31-01-2020", "01/31/2020", "03/04/2020"], "2020-03-04"),
        (["2020-04-02T24:00:00Z"], "2020-04-03"),
        (["1.585872000E+09"], "2020-04-03"),
        (["100000000", "1500000000", "1585872000"], "2020-04-03"),  # one that is odd is no reason to refuse the column
        (["100000000", "2020-04-02", "2020-04-03"], "2020-04-03"),
    ],
)
def test_the_column_tells_days_from_months(cells, expected):
    assert column(*cells)[-1] == datetime.fromisoformat(f"{expected}+00:00").timestamp()


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (["01/01/2020", "03/04/2020"], 3),
        (["31/01/2020", "01/31/2020"], 2),
        (["3-4-2020"], 2),
        (["20/01/15"], 2),
        (["01/01/20", "12/03/04"], 3),
        (["13.02.2020", "03/04/2020"], 3),
        (["31-01-2020", "03/04/2020"], 3),
        (["2020-01-01", "2020-13-01"], 3),
        (["2020/13/01 10:00"], 2),
    ],
)
def test_doubt_is_refused_by_line(cells, line):
    with pytest.raises(RawDataError, match=rf"line {line}: timestamp .*year first"):
        column(*cells)


START = 1_577_880_000  # 2020


@pytest.mark.parametrize(
    ("zero", "unit", "meant"),
    [
        (978_307_200, 1, "2001"),
        (-2_082_844_800, 1, "1904"),
        (-11_644_473_600, 10**6, "1601.*Chrome"),
        (-11_644_473_600, 10**7, "1601.*Windows"),
        (-62_135_596_800, 10**7, r"\.NET"),
    ],
)
def test_counts_of_other_systems_are_refused_by_name(zero, unit, meant):
    cells = [str((START + i * 86_400 - zero) * unit) for i in range(4)]
    with pytest.raises(RawDataError, match=rf"line 3: timestamp .*{meant}"):
        column("2020-01-01", *cells)


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        (["2020010112", "2020010223"], "dates with hours"),
        (["30000.5", "30001"], "Excel"),
        (["100000000", "100000009", str(START)], "Unix seconds"),
        (["4000000000000"], "Unix milliseconds"),
    ],
)
def test_numbers_that_give_years_without_posts_are_refused(cells, meant):
    with pytest.raises(RawDataError, match=rf"line 2: timestamp '{cells[0]}'.*{meant}"):
        column(*cells)
