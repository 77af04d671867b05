"""The cells of your own posts.csv: likes, times, paths and names as people and spreadsheets write them."""

import time
import unicodedata

import pytest

from data_builders.posts.post import RawDataError
from data_builders.posts.read import read_posts
from tests.helpers.raw_layout import LIST_HEADER as HEADER
from tests.helpers.raw_layout import save_image


@pytest.mark.parametrize(
    ("cells", "likes"),
    [
        (["1,234", "12,345", "999"], [1234, 12345, 999]),
        (["12,000", "3,000"], [12000, 3000]),
        (["12.345", "12.000", "999"], [12345, 12000, 999]),
        (["12.000", "7.00"], [12, 7]),
        (["1 234", "1\u202f234", "1'234"], [1234] * 3),
        (["1.2K", "3,4k", "1M"], [1200, 3400, 1_000_000]),
        (["1,2 Tsd.", "3 Mio", "12,5 Mio."], [1200, 3_000_000, 12_500_000]),
    ],
)
def test_the_likes_of_a_list(own, cells, likes):
    names = ["a.jpg", "b.jpg", "c.jpg"]
    rows = [f"{name};me;{cell};{1_500_000_000 + i}" for i, (name, cell) in enumerate(zip(names, cells, strict=False))]
    table, skips = own("\n".join([HEADER.replace(",", ";"), *rows]))
    assert table["likes"].to_list() == likes and not skips.counts
    assert len(skips.warnings) == any(letter in cells[0] for letter in "KT")


def test_likes_in_doubt_stop_the_reading(own):
    text = f"{HEADER}\na.jpg,me,999,1500000000\nb.jpg,me,12.000,1500000001\n"
    with pytest.raises(RawDataError, match=r"posts\.csv: line 3: the likes '12\.000'.*12000"):
        own(text)


@pytest.mark.parametrize(
    ("cells", "days"),
    [
        (["20200131", "20200201"], [18292, 18293]),
        (["43861", "43862,5"], [18292, 18293]),
        (["1580428800000", "1580515200000"], [18292, 18293]),
        (["31/01/2020", "01/02/2020"], [18292, 18293]),
        (["01/31/2020 2:05 PM", "02/01/2020 2:05 PM"], [18292, 18293]),
        (["31.01.2020 14:05", "01.02.2020"], [18292, 18293]),
        (["Jan 31, 2020, 2:05 PM", "1 February 2020 10:00"], [18292, 18293]),
    ],
)
def test_the_times_of_a_list(own, cells, days):
    rows = [f'{name},me,5,"{cell}"' for name, cell in zip(["a.jpg", "b.jpg"], cells, strict=True)]
    table, skips = own("\n".join([HEADER, *rows]))
    assert [time // 86_400 for time in table["time"]] == days and not skips.counts
    assert "2 are" in skips.warnings[0] or "1 are" in skips.warnings[0]


def test_a_time_in_doubt_stops_the_reading(own):
    text = f"{HEADER}\na.jpg,me,999,05/05/2020\nb.jpg,me,12,03/04/2020\n"
    with pytest.raises(RawDataError, match=r"posts\.csv: line 3: timestamp '03/04/2020'.*2020-04-03"):
        own(text)


def test_times_that_cannot_be_read_are_shown(own):
    _, skips = own(f"{HEADER}\na.jpg,me,999,1500000000\nb.jpg,me,12,202001\nc.jpg,me,12,1.58E+09\n")
    assert skips.counts == {"no timestamp": 2}
    with pytest.raises(RawDataError, match=r"no usable post.*no timestamp: 1.*posts\.csv:2: timestamp 'soon'"):
        own(f"{HEADER}\na.jpg,me,999,soon\n")
    assert any("2 timestamps cannot be read, such as posts.csv:3: '202001'" in text for text in skips.warnings)


def test_paths_as_people_write_them(own, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "more" / "d.jpg").rename(tmp_path / "more" / "e f.jpg")
    cells = [f"{tmp_path}/a.jpg", "~/b.jpg", f"file://{tmp_path}/more/e%20f.jpg", "/etc/passwd", "~/../x.jpg"]
    table, skips = own("\n".join([HEADER, *(f"{cell},me,5,{1_500_000_000 + i}" for i, cell in enumerate(cells))]))
    assert table["image_paths"].to_list() == [["a.jpg"], ["b.jpg"], ["more/e f.jpg"]]
    assert table["image_ids"].to_list() == table["image_paths"].to_list()
    assert skips.counts == {"bad row": 2} and "below the folder" in skips.examples["bad row"][0]
    _, skips = own(
        f"{HEADER}\na.jpg,me,5,1500000000\nhttps://x.org/a.jpg,me,5,1500000000\nfile://x/a.jpg,me,5,1500000000\n"
    )
    assert skips.counts == {"bad row": 2} and "download it first" in skips.examples["bad row"][0]
    assert own(f"{HEADER}\nmore\\e f.jpg,me,5,1500000000\n")[0]["image_paths"].to_list() == [["more/e f.jpg"]]


@pytest.mark.parametrize(("stored", "written"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_accents_may_be_stored_in_another_form(own, tmp_path, stored, written):
    save_image(tmp_path / unicodedata.normalize(stored, "été.jpg"))
    table, skips = own(f"{HEADER}\n{unicodedata.normalize(written, 'été.jpg')},me,5,1500000000\n")
    assert table["image_paths"].to_list() == [[unicodedata.normalize(stored, "été.jpg")]] and not skips.counts


@pytest.mark.parametrize(
    "written",
    ["MORE/A b.JPG", "more\\a b.jpg", "more/a%20b.jpg", "More/A%20B.jpg", "./more/../MORE/a b.JPG"],
)
def test_names_may_be_written_in_another_way(own, tmp_path, written):
    """Windows forgets case, web addresses write %20; the disk's own name counts."""
    save_image(tmp_path / "more" / "a b.jpg")
    table, skips = own(f"{HEADER}\n{written},me,5,1500000000\n")
    assert table["image_paths"].to_list() == [["more/a b.jpg"]] and not skips.counts
    assert "\\" in written or any("posts.csv: 1 images have another name on the disk" in w for w in skips.warnings)


def test_a_name_that_fits_two_files_is_named_and_not_guessed(own, tmp_path):
    for name in ("x.jpg", "X.jpg"):
        save_image(tmp_path / name)
    table, skips = own(f"{HEADER}\nx.jpg,me,5,1500000000\nX.jpg,me,5,1500000001\nx.JPG,me,5,1500000002\n")
    assert table["image_paths"].to_list() == [["x.jpg"], ["X.jpg"]] and skips.counts == {"image missing": 1}
    assert any("1 images fit several files, such as x.JPG: X.jpg and x.jpg" in text for text in skips.warnings)


def test_a_name_that_is_spelled_out_leads_nowhere_else(own, tmp_path):
    save_image(tmp_path.parent / "out.jpg")
    save_image(tmp_path / "100%25.jpg")  # a file's own name comes first
    names = ["%2e%2e/out.jpg", "..%2Fout.jpg", "100%25.jpg"]
    table, skips = own("\n".join([HEADER, *(f"{name},me,5,{1_500_000_000 + i}" for i, name in enumerate(names))]))
    assert table["image_paths"].to_list() == [["100%25.jpg"]] and skips.counts == {"image missing": 2}


def test_too_many_likes_are_a_bad_row(own):
    table, skips = own(f"{HEADER}\na.jpg,me,{10**12},1500000000\nb.jpg,me,{10**12 + 1},1500000001\n")
    assert table["likes"].to_list() == [10**12] and skips.counts == {"bad row": 1}
    assert "posts.csv:3: likes '1000000000001' is more than 1,000,000,000,000" in skips.examples["bad row"][0]


def test_posts_with_a_constant_for_hidden_likes_may_be_left_out(own, tmp_path):
    for i in range(12):
        save_image(tmp_path / f"p{i}.jpg")
    rows = [f"p{i}.jpg,me,{3 if i % 3 == 0 else 90 + i},{1_500_000_000 + i}" for i in range(12)]
    table, skips = own("\n".join([HEADER, *rows]))
    assert len(table) == 12 and any("4 of 12 posts have exactly 3 likes" in warning for warning in skips.warnings)
    table, skips = read_posts(tmp_path, {"top_n": 9, "posts": {"carousel": "first", "drop_constant_likes": True}})
    assert len(table) == 8 and skips.counts == {"likes hidden (constant)": 4} and not skips.warnings
    assert "me/p0.jpg: 3 likes" in skips.examples["likes hidden (constant)"][0]


def test_posts_of_the_future_are_warned_of(own):
    later = int(time.time()) + 3 * 86_400
    table, skips = own(f"{HEADER}\na.jpg,me,5,1500000000\nb.jpg,me,5,{later}\n")
    assert len(table) == 2 and any("1 posts are dated in the future, such as me/b.jpg" in w for w in skips.warnings)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (",me,5,1500000000", "image '' of account 'me'; write the path"),
        ("a.jpg,,5,1500000000", "account '' of image 'a.jpg'; write a name"),
        ("a.jpg,a/b,5,1500000000", "account 'a/b' of image 'a.jpg'; write a name"),
        ("a.jpg,me,many,1500000000", "likes 'many' is not a whole number; write it in plain digits"),
        ("a.jpg,me,,1500000000", "likes ''; write how many"),
        ("a.jpg,me,0,1500000000", "likes '0'; write how many"),
        ("a.jpg,me,5,soon", "timestamp 'soon'; write it as"),
        ("a.jpg,me,5,9999-01-01", "timestamp '9999-01-01'; write it as"),
        ("a.jpg,me,5", "3 cells, but the header has 4: 'a.jpg,me,5'; put quotes"),
        ("no.jpg,me,5,1500000000", "image 'no.jpg'; put the photo there"),
    ],
)
def test_every_refused_cell_is_named_with_its_line_its_value_and_a_remedy(own, row, told):
    _, skips = own(f"{HEADER}\nb.jpg,me,12,1500000000\n{row}\n")
    ((example,),) = skips.examples.values()
    assert example.startswith(f"posts.csv:3: {told}")
