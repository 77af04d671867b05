"""A column of like counts: what a cell means depends on the others."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.posts.like_counts import LikeCounts
from data_builders.posts.post import RawDataError


def column(*cells: str) -> LikeCounts:
    counts = LikeCounts(Path("posts.csv"))
    for number, cell in enumerate(cells, 2):
        counts.see(cell, number)
    counts.settle()
    return counts


@pytest.mark.parametrize(
    ("text", "likes"),
    [("12", 12), ("12.0", 12), ("+5", 5), ("-1", -1), ("", None), ("--", None), ("NaN", None), ("1.2 k", 1200),
     ("1.25M", 1_250_000), ("1.234.567", 1_234_567), ("1,234.00", 1234), ("1.234,0", 1234), ("12,5K", 12_500),
     ("12,34,567", 1_234_567), ("1.00E+02", 100), ("1,23e2", 123), ("5E0", 5), ("1.2340E+03", 1234)],
)  # fmt: skip
def test_a_cell_that_speaks_for_itself(text, likes):
    assert column(text).read(text) == likes


@pytest.mark.parametrize("text", ["1.5", "1_000", "1,2345.5", "12,34,56", "inf", "x", "1e3", "K", "1.234K", ".5", "5.",
                                  "1.2.3", "3 mil", str(10**12 + 1), str(2**63), "9" * 5000, "12,345,67",
                                  "-1,234", "1.23E+05", "1.234E+02", "1E-2"])  # fmt: skip
def test_no_likes(text):
    with pytest.raises(ValueError):
        column(text).read(text)


@pytest.mark.parametrize("cells", [("12.000",), ("12.000", "999"), ("12.000", "1.2K"), ("12.000", "12,345")])
def test_doubt_is_refused_by_line(cells):
    with pytest.raises(RawDataError, match=r"line 2: the likes '12\.000'"):
        column(*cells)


@pytest.mark.parametrize(
    "cells",
    [
        ("211.375", "150", "1543"),
        ("12.345", "5", "7"),  # the only one, and a mean has such decimals too
        ("12.345", "13.579", "1543", "2000"),
        ("211,375", "1543"),
        ("12,000", "1543"),
    ],
)
def test_a_column_that_separates_no_thousands_does_not_do_so_in_one_cell(cells):
    with pytest.raises(RawDataError, match=rf"line 2: the likes '{cells[0]}'.*only digits.*plain digits"):
        column(*cells)


@pytest.mark.parametrize("cells", [("12,345", "999"), ("12.345", "13.579", "999"), ("12,345", "1,234", "5000")])
def test_a_column_that_separates_thousands_is_read(cells):
    assert column(*cells).read(cells[0]) == 12_345


@pytest.mark.parametrize("cells", [("12.345", "7.5"), ("7.0", "12.345"), ("12,345", "7,0")])
def test_a_contradiction_is_refused_with_both_lines(cells):
    with pytest.raises(RawDataError, match=r"line [23]:.*line [23]"):
        column(*cells)


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([",", " ", "'", "\u00a0"]))
def test_grouped_digits_are_what_python_groups(numbers, mark):
    cells = [f"{number:,}".replace(",", mark) for number in numbers]
    counts = column(*cells)
    assert [counts.read(cell) for cell in cells] == numbers
