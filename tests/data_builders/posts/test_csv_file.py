"""Your own posts.csv: what is read, what is left out, and what is refused."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.posts.image_paths import relative_path
from data_builders.posts.post import SCHEMA, RawDataError
from data_builders.posts.read import read_posts
from tests.helpers.raw_layout import LIST_HEADER as HEADER
from tests.helpers.raw_layout import OPTIONS, save_image, with_options


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
    table, _ = own(f"{HEADER}\na.jpg,x,1,1500000005\nb.jpg,y,1,1500000005\nc.jpg,z,1,1500000005\n", top_n=1)
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
    text = f"{HEADER},post,caption\na.jpg,me,9,1500000100,P,hello\nb.jpg,me,9,1500000100,P,\nc.jpg,me,4,1500000200,,\n"
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
        "a.jpg,me,5,1500000100,P\n"
        "b.jpg,me,6,1500000100,P\n"  # not the likes of its post
        "../out.jpg,me,5,1500000100,\n"
        "/etc/passwd,me,5,1500000100,\n"
        "C:\\x.jpg,me,5,1500000100,\n"
        ",me,5,1500000100,\n"
        "b.jpg,,5,1500000100,\n"
        "b.jpg,a/b,5,1500000100,\n"
        "b.jpg,me,many,1500000100,\n"
        "b.jpg,me,5\n"
        "\n"
        "b.jpg,me,,1500000100,e\n"
        "b.jpg,me,--,1500000100,f\n"
        "b.jpg,me,-1,1500000100,g\n"
        "b.jpg,me,0,1500000100,h\n"
        "b.jpg,me,5,soon,i\n"
        "gone.jpg,me,5,1500000100,\n"
        "a.jpg,me,5,1500000100,P\n"  # the row again
        "./a.jpg,me,5,1500000100,Q\n"  # the same file as another post
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
    rows = ["a.jpg,me,5,2020-01-02", "b.jpg,me,6,2020-01-02T00:00:01", "c.jpg,me,7,2020-01-02T00:00:02Z"]
    table, skips = own("\n".join([HEADER, *rows]))
    assert table["time"].to_list() == [1_577_923_200, 1_577_923_201, 1_577_923_202]
    assert len(skips.warnings) == 1 and "2 timestamps have no time zone" in skips.warnings[0]


def test_columns_that_are_not_read_are_named(own):
    _, skips = own(f"{HEADER},captions\na.jpg,me,5,1500000100,hello\n")
    assert len(skips.warnings) == 1 and "captions" in skips.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,account,timestamp\n", "lacks the column likes"),
        ("a.jpg,me,5,1500000100\n", "lacks the column image, account, likes, timestamp"),
        ("", "empty"),
        ("\n\n", "empty"),
        ("image^account^likes^timestamp\n", "lacks the column image.*one cell.*commas, semicolons, tabs and bars"),
        (f"{HEADER}\n".encode("utf-16-le"), "not UTF-8"),
        (f"{HEADER}\n".encode("utf-16-be"), "not UTF-8"),
        ("x" * 5000 + "\n", r"'x{57}\.\.\.'"),
        (f"{HEADER},likes\n", "names the column likes twice"),
        (f"{HEADER}\n", "no usable post"),
        (f"{HEADER},caption\na.jpg,me,5,1500000100,café\n".encode("latin-1"), "not UTF-8.*UTF-8"),
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


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_what_comes_before_the_header(own, separator):
    rows = ["image,account,likes,timestamp", "a.jpg,me,3,1500000000", "b.jpg,me,4,1500000001"]
    plain = "\n".join(rows).replace(",", separator)
    for text in (
        plain,
        f"sep={separator}\n{plain}",
        f"# my posts, all\n\n{plain}",
        f"\ufeffSEP={separator}\r\n{plain}",
    ):
        table, skips = own(text)
        assert table["likes"].to_list() == [3, 4] and not skips.counts and not skips.warnings


def test_unseen_marks_around_a_cell_do_no_harm(own):
    """Windows copies them with dates, and web pages with blanks."""
    table, skips = own(f"{HEADER}\n\u200ea.jpg\u00a0,me, \u200b12 ,\u200e31/01/2020\u200f\n")
    assert table["likes"].to_list() == [12] and table["image_ids"].to_list() == [["a.jpg"]] and not skips.counts


def test_cells_that_a_spreadsheet_adds_or_leaves_out(own):
    text = f"{HEADER},caption\na.jpg,me,3,1500000000\nb.jpg,me,3,1500000001,hello,,\nc.jpg,me,3,1500000002,one,two\n"
    table, skips = own(text)
    assert table["caption"].to_list() == ["", "hello"]
    assert skips.counts == {"bad row": 1} and "posts.csv:4: 6 cells" in skips.examples["bad row"][0]


def rows_with(captions: dict[int, str]) -> str:
    lines = [f"b{i}.jpg,me,{i + 3},{1_500_000_000 + i},{captions.get(i, 'nice day')}" for i in range(40)]
    return "\n".join([f"{HEADER},caption", *lines]) + "\n"


@pytest.mark.parametrize(
    "captions",
    [
        {10: '"golden hour', 25: 'they call it "summer"'},
        {10: '"golden hour', 25: '"golden hour'},
        {10: '"golden hour', 25: 'a lens of 5"'},  # would close it
        {10: '"golden hour'},  # to the end of the file
        {39: '"golden hour'},
    ],
)
def test_an_open_quote_names_its_line(own, captions):
    with pytest.raises(RawDataError, match=rf"posts\.csv: line {min(captions) + 2}: a quote"):
        own(rows_with(captions))


@pytest.mark.parametrize("likes", ["", "1.2K", "1 234", "-1"])
@pytest.mark.parametrize("time", ["01/31/2020 2:05 PM", "31.01.2020", "43861.5"])
def test_swallowed_rows_are_known_in_every_form(own, likes, time):
    lines = [f"b{i}.jpg,me,{likes},{time},nice" for i in range(9)]
    lines[3] += "\n" + f'c.jpg,me,{likes},{time},"open'
    lines[7] += ' at 5"'
    with pytest.raises(RawDataError, match="line 6: a quote"):
        own("\n".join([f"{HEADER},caption", *lines]))


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (r'"he said \"wow\", ok"', 'he said "wow", ok'),
        (r'"\"wow\""', '"wow"'),
        (r'"say \"no"', 'say "no'),
        ('"two\n\\"lines\\""', 'two\n"lines"'),
        (r'"a \\ b, \"c\""', r'a \ b, "c"'),
    ],
)
def test_quotes_behind_a_backslash_are_read_where_the_whole_file_fits(own, caption, expected):
    table, skips = own(f'{HEADER},caption\na.jpg,me,5,1500000000,{caption}\nb.jpg,me,6,1500000001,"a ""b"""\n')
    assert table["caption"].to_list() == [expected, 'a "b"'] and not skips.counts


def test_a_backslash_before_a_quote_that_closes_a_cell_is_itself(own):
    table, skips = own(f'{HEADER},caption\na.jpg,me,5,1500000000,"C:\\"\nb.jpg,me,6,1500000001,x\n')
    assert table["caption"].to_list() == ["C:\\", "x"] and not skips.counts


def test_quotes_behind_a_backslash_in_a_file_that_does_not_fit_are_named(own):
    rows = [r'a.jpg,me,5,1500000000,"he said \"wow\", ok"', 'b.jpg,me,6,1500000001,"open']
    with pytest.raises(RawDataError, match="line 3: a quote"):
        own("\n".join([f"{HEADER},caption", *rows]))


def test_what_spreadsheets_make_of_cells(own):
    rows = ['="a.jpg",="me",="100",="1500000000"', '"=""b.jpg""",me,1.00E+02,1.500000001E+09']
    table, skips = own("\n".join([HEADER, *rows, "c.jpg,me,1.23E+05,1500000002"]))
    assert table["likes"].to_list() == [100, 100] and table["time"].to_list() == [1_500_000_000, 1_500_000_001]
    assert table["account"].to_list() == ["me", "me"] and table["image_ids"].to_list() == [["a.jpg"], ["b.jpg"]]
    assert skips.counts == {"bad row": 1} and "'1.23E+05' is rounded" in skips.examples["bad row"][0]


def test_two_spellings_of_an_account_are_one(own):
    names = [unicodedata.normalize(form, "Zoé") for form in ("NFC", "NFD", "NFC")]
    rows = [f"{image},{name},{5 + i},{1_500_000_000 + i}" for i, (image, name) in enumerate(
        zip(["a.jpg", "b.jpg", "c.jpg"], names, strict=True))]  # fmt: skip
    table, skips = own("\n".join([HEADER, *rows]))
    assert table["account"].unique().to_list() == [names[0]] and len(table) == 3
    assert any("two spellings" in text for text in skips.warnings)
    alone, skips = own(f"{HEADER}\n{rows[1]}\n")
    assert alone["account"].to_list() == [names[0]] and not skips.warnings


def test_a_cell_in_a_message_is_cut(own):
    long = "z" * 5000
    _, skips = own(f"{HEADER}\na.jpg,me,5,1500000000\n/{long},me,5,1500000000\nb.jpg,me,{long},1\nc.jpg,me,5,{long}\n")
    assert skips.counts == {"bad row": 2, "no timestamp": 1}
    assert max(map(len, [*skips.examples["bad row"], *skips.warnings])) < 300


def test_a_folder_around_the_raw_data_names_it(own, tmp_path):
    (tmp_path / "world" / "raw").mkdir(parents=True)
    (tmp_path / "world" / "raw" / "posts.csv").write_text(HEADER)
    with pytest.raises(RawDataError, match=r"Give .*world/raw"):
        read_posts(tmp_path / "world", OPTIONS)


def test_quotes_that_do_no_harm(own):
    captions = {0: '"first line\nsecond, line\n\n""quoted"""', 1: '"Summer" is here', 2: 'a 5" lens', 3: '"a, b"'}
    text = rows_with(captions).replace("b0.jpg", "a.jpg").replace("b1.jpg", "b.jpg").replace("b2.jpg", "c.jpg")
    table, skips = own(text.replace("b3.jpg", "more/d.jpg"))
    assert table["caption"].to_list() == ['first line\nsecond, line\n\n"quoted"', "Summer is here", 'a 5" lens', "a, b"]
    assert skips.counts == {"image missing": 36}


def test_lines_and_captions_are_bounded(own, monkeypatch):
    with pytest.raises(RawDataError, match="line 2: a quote"):
        own(f'{HEADER},caption\na.jpg,me,3,1500000000,"' + "x\n" * 600 + '"\n')
    with pytest.raises(RawDataError, match="line 2: a quote"):
        own(f'{HEADER},caption\na.jpg,me,3,1500000000,"' + ("x" * 1_000_000 + "\n") * 9 + '"\n')
    with pytest.raises(RawDataError, match="line 2 is longer"):
        own(f"{HEADER},caption\na.jpg,me,3,1500000000," + "x" * (1 << 20) + "\n")
    with pytest.raises(RawDataError, match="line 2: a quote"):
        own(f'{HEADER},caption\na.jpg,me,3,1500000000,"' + "x" * 200_000 + '"\n')


CELL = st.one_of(
    st.text(max_size=8), st.sampled_from(["a.jpg", "me", "5", "1500000000", '"', "12.000", "03/04/2020", ""])
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(CELL, max_size=6).map(",".join), max_size=8), st.binary(max_size=30))
def test_any_file_is_read_or_refused(tmp_path_factory, lines, tail):
    folder = tmp_path_factory.getbasetemp() / "any"
    save_image(folder / "a.jpg")
    (folder / "posts.csv").write_bytes("\n".join([HEADER, *lines]).encode("utf-8", "replace") + tail)
    try:
        table, _ = read_posts(folder, with_options(carousel="all"))
    except RawDataError as error:
        assert str(folder) in str(error)
    else:
        assert table["image_paths"].explode().unique().to_list() == ["a.jpg"]
