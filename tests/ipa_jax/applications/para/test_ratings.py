"""PARA's ratings and the paper's filters, against plain loops; what is wrong is named."""

import csv
from collections import Counter, defaultdict

import numpy as np
import pytest

from ipa_jax.applications.para.ratings import RATINGS, ParaError, missing, read_ratings, select
from tests.helpers import made_para


@pytest.fixture
def para(tmp_path):
    return made_para.write(tmp_path / "PARA", sessions=6, each=10)


def rated(para):
    """(session, image) -> rates, by a loop."""
    rates = defaultdict(list)
    with open(para / RATINGS, newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            rates[row["sessionId"], row["imageName"]].append(float(row["willingnessToShare"]))
    return rates


def edit(para, change):
    """Writes the ratings anew, their rows (the head first) changed in place."""
    with open(para / RATINGS, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    change(rows)
    with open(para / RATINGS, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def test_ratings_against_a_loop(para):
    found = read_ratings(para)
    rates = rated(para)
    assert len(found) == len(rates) == 60
    for session, image, raters, mean, agreement in found.iter_rows():
        own = rates[session, image]
        assert raters == len(own) == 26 and mean == pytest.approx(np.mean(own))
        assert agreement == max(Counter(own).values()) / len(own)


def test_the_filters_against_a_loop(para):
    photos, counts = select(read_ratings(para), para)
    agreed = {key: np.mean(own) for key, own in rated(para).items() if max(Counter(own).values()) / len(own) >= 0.33}
    low, high = np.percentile(list(agreed.values()), [10, 90])
    expected = {key: mean > high for key, mean in agreed.items() if mean < low or mean > high}
    assert {file.parts[-2:]: willing for file, willing in zip(photos.files, photos.willing, strict=True)} == expected
    assert counts == {
        "images": 60, "agreed": len(agreed), "kept": len(expected), "willing": sum(expected.values()),
        "unwilling": len(expected) - sum(expected.values()), "sessions": len({session for session, _ in expected}),
    }  # fmt: skip
    assert 0 < counts["agreed"] < 60  # a fifth of the photos divides its raters
    assert not missing(photos)
    sessions = {file.parts[-2]: number for file, number in zip(photos.files, photos.session, strict=True)}
    assert sorted(sessions.values()) == list(range(len(sessions)))


def test_what_is_lacking_is_named(para):
    edit(para, lambda rows: rows[0].__setitem__(made_para.RATES, "share"))
    with pytest.raises(
        ParaError, match=r"PARA-Images.csv lacks the column willingnessToShare; it has .sessionId.*unzip"
    ):
        read_ratings(para)
    (para / RATINGS).unlink()
    with pytest.raises(ParaError, match=r"PARA-Images.csv is missing; unzip PARA again, and give --para"):
        read_ratings(para)


@pytest.mark.parametrize("value", ["", "six", "0", "5.5", "nan"])
def test_a_rate_that_is_none_is_named(para, value):
    edit(para, lambda rows: rows[3].__setitem__(made_para.RATES, value))
    with pytest.raises(ParaError, match=r"willingnessToShare is .* in rating 3 \(1 such ratings\), not a number"):
        read_ratings(para)


@pytest.mark.parametrize(("session", "image"), [("..", "a.jpg"), ("s", "../a.jpg"), ("s", ""), ("s\\t", "a.jpg")])
def test_no_path_leads_out_of_the_folder(para, session, image):
    edit(para, lambda rows: rows[2].__setitem__(slice(0, 2), [session, image]))
    with pytest.raises(ParaError, match="name no photo"):
        read_ratings(para)


def test_a_file_of_something_else_is_named(para):
    for content in (b"", b"\xff\xfe\x00PK\x03", b"sessionId,imageName,willingnessToShare\n", b'a,"b\n1,2,3\n'):
        (para / RATINGS).write_bytes(content)
        with pytest.raises(ParaError, match=r"PARA-Images.csv.*; unzip PARA again"):
            select(read_ratings(para), para)


def test_ratings_that_leave_nothing_to_compare_are_refused(para):
    def same(rows):
        for row in rows[1:]:
            row[made_para.RATES] = "3"

    edit(para, same)
    with pytest.raises(ParaError, match="keep 0 willing and 0 unwilling ones"):
        select(read_ratings(para), para)
