"""Your own posts.csv: what is read, what is left out, and what is refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.posts.csv_file import parse_likes, parse_time, relative_path
from data_builders.posts.post import SCHEMA, RawDataError
from data_builders.posts.read import read_posts
from tests.helpers.raw_layout import OPTIONS, save_image, with_options

HEADER = "image,account,likes,timestamp"


@pytest.fixture
def own(tmp_path):
    """Reads a posts.csv of the given text beside the images a.jpg, b.jpg, c.jpg and more/d.jpg."""
    for name in ("a.jpg", "b.jpg", "c.jpg", "more/d.jpg"):
        save_image(tmp_path / name)

    def read(text: str | bytes, **options):
        path = tmp_path / "posts.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_posts(path, with_options(**options))

    return read


def test_the_plain_form(own):
    table, skips = own(f"{HEADER}\nmore/d.jpg,me,12,1500000000\na.jpg,you,7,2017-07-14T04:40:00+02:00\n")
    assert table.schema == SCHEMA
    assert table.to_dicts()[0] == {
        "account": "me",
        "post_id": "more/d.jpg",
        "time": 1_500_000_000,
        "likes": 12,
        "followers": 0,
        "category": "",
        "caption": "",
        "hashtags": [],
        "comments": [],
        "comment_count": 0,
        "sponsored": False,
        "tagged": 0,
        "carousel_length": 1,
        "image_ids": ["more/d.jpg"],
        "image_paths": ["more/d.jpg"],
    }
    assert table["time"].to_list() == [1_500_000_000, 1_500_000_000]
    assert not skips.counts and not skips.warnings


def test_all_accounts_are_kept_whatever_top_n(own):
    table, _ = own(f"{HEADER}\na.jpg,x,1,5\nb.jpg,y,1,5\nc.jpg,z,1,5\n", top_n=1)
    assert table["account"].to_list() == ["x", "y", "z"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", [b",", b";"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_bom_semicolons_and_line_ends(own, start, separator, end):
    lines = [b"Likes,image, account,timestamp,caption", b'3,a.jpg,me,1500000000,"one, two; #Three"', b""]
    text = start + end.join(line if b'"' in line else line.replace(b",", separator) for line in lines)
    text = text.replace(b"3,a.jpg,me,1500000000,", separator.join([b"3", b"a.jpg", b"me", b"1500000000", b""]))
    table, skips = own(text)
    assert table["caption"].to_list() == ["one, two; #Three"] and table["hashtags"].to_list() == [["three"]]
    assert not skips.counts


def test_rows_that_share_a_post_are_one_carousel(own):
    text = f"{HEADER},post,caption\na.jpg,me,9,100,P,hello\nb.jpg,me,9,100,P,\nc.jpg,me,4,200,,\n"
    table, _ = own(text, carousel="all")
    assert table["post_id"].to_list() == ["P", "c.jpg"]
    assert table["image_ids"].to_list() == [["a.jpg", "b.jpg"], ["c.jpg"]]
    assert table["carousel_length"].to_list() == [2, 1] and table["caption"].to_list() == ["hello", ""]
    assert own(text, carousel="first")[0]["image_ids"].to_list() == [["a.jpg"], ["c.jpg"]]
    skipped, skips = own(text, carousel="skip")
    assert skipped["post_id"].to_list() == ["c.jpg"] and skips.counts == {"carousel skipped": 1}


def test_bad_records_are_skipped_by_name(own):
    table, skips = own(
        f"{HEADER},post\n"
        "a.jpg,me,5,100,P\n"
        "b.jpg,me,6,100,P\n"  # not the likes of its post
        "../out.jpg,me,5,100,\n"
        "/etc/passwd,me,5,100,\n"
        "C:\\x.jpg,me,5,100,\n"
        ",me,5,100,\n"
        "b.jpg,,5,100,\n"
        "b.jpg,a/b,5,100,\n"
        "b.jpg,me,many,100,\n"
        "b.jpg,me,5\n"
        "\n"
        "b.jpg,me,,100,e\n"
        "b.jpg,me,--,100,f\n"
        "b.jpg,me,-1,100,g\n"
        "b.jpg,me,0,100,h\n"
        "b.jpg,me,5,soon,i\n"
        "gone.jpg,me,5,100,\n"
        "a.jpg,me,5,100,P\n"  # the row again
        "./a.jpg,me,5,100,Q\n"  # the same file as another post
    )
    assert table["post_id"].to_list() == ["P"]
    assert skips.counts == {
        "bad row": 9,
        "likes missing": 2,
        "likes hidden (-1)": 1,
        "likes below 1": 1,
        "no timestamp": 1,
        "image missing": 1,
        "duplicate post": 2,
    }
    assert "posts.csv:3: likes or timestamp differ" in skips.examples["bad row"][0]


def test_times_without_a_zone_are_utc_and_warned_of_once(own):
    rows = ["a.jpg,me,5,2020-01-02", "b.jpg,me,5,2020-01-02T00:00:01", "c.jpg,me,5,2020-01-02T00:00:02Z"]
    table, skips = own("\n".join([HEADER, *rows]))
    assert table["time"].to_list() == [1_577_923_200, 1_577_923_201, 1_577_923_202]
    assert len(skips.warnings) == 1 and "2 timestamps have no time zone" in skips.warnings[0]


def test_columns_that_are_not_read_are_named(own):
    _, skips = own(f"{HEADER},captions\na.jpg,me,5,100,hello\n")
    assert len(skips.warnings) == 1 and "captions" in skips.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,account,timestamp\n", "lacks the column likes"),
        ("a.jpg,me,5,100\n", "lacks the column image, account, likes, timestamp"),
        ("", "lacks the column image"),
        (f"{HEADER},likes\n", "names the column likes twice"),
        (f"{HEADER}\n", "no usable post"),
        (f"{HEADER},caption\na.jpg,me,5,100,café\n".encode("latin-1"), "not UTF-8.*UTF-8"),
        (f"{HEADER}\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_a_broken_file_is_an_error_with_its_remedy(own, text, message):
    with pytest.raises(RawDataError, match=message) as error:
        own(text)
    assert "posts.csv" in str(error.value)


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(RawDataError, match=r"mine\.csv.*image,account,likes,timestamp"):
        read_posts(tmp_path / "mine.csv", OPTIONS)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("x/../a.jpg", "a.jpg"),
        ("x\\a.jpg", "x/a.jpg"),
        ("./x//a.jpg", "x/a.jpg"),
        ("..", None),
        ("../a.jpg", None),
        ("x/../../a.jpg", None),
        ("/a.jpg", None),
        ("\\a.jpg", None),
        ("c:/a.jpg", None),
        ("", None),
        (".", None),
        ("a\0.jpg", None),
    ],
)
def test_relative_paths(image, expected):
    assert relative_path(image) == expected


@settings(deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "a", "b.jpg", "", "/", "\\"]), max_size=8).map("/".join))
def test_no_path_leaves_the_folder(image):
    where = relative_path(image)
    assert where is None or not (where.startswith("/") or ".." in where.split("/"))


@pytest.mark.parametrize(("text", "likes"), [("12", 12), ("12.0", 12), ("-1", -1), ("", None), ("--", None)])
def test_likes(text, likes):
    assert parse_likes(text) == likes


@pytest.mark.parametrize("text", ["1.5", "1_000", "1,000", "nan", "inf", "x", str(2**63), "9" * 5000])
def test_no_likes(text):
    with pytest.raises(ValueError):
        parse_likes(text)


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)))
def test_both_forms_of_a_time_agree(moment):
    seconds = int(moment.replace(tzinfo=UTC, microsecond=0).timestamp())
    assert parse_time(moment.isoformat()) == (seconds, True)
    assert parse_time(moment.replace(tzinfo=UTC).isoformat()) == (seconds, False)
    assert parse_time(str(seconds)) == (seconds, False)
    assert parse_time(f"{seconds}.9") == (seconds, False)


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "0001-01-01T00:00:00+23:00x", "2020-13-01"])
def test_no_time(text):
    assert parse_time(text) == (None, False)
