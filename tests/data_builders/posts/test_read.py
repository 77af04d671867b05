"""Which reader reads what, and what it takes to add one."""

import re

import pytest

from data_builders.posts import read
from data_builders.posts.post import Post, RawDataError
from data_builders.posts.read import READERS, Reader, read_posts
from data_builders.posts.table import PostTable
from tests.helpers.raw_layout import OPTIONS, InstagramFolder, save_image, with_options


def test_read_picks_the_reader_by_what_lies_there(tmp_path):
    folder = InstagramFolder(tmp_path / "instagram")
    folder.account("u")
    folder.post("u", "1")
    own = tmp_path / "own"
    save_image(own / "a.jpg")
    (own / "posts.csv").write_text("image,account,likes,timestamp\na.jpg,me,3,1500000000\n")
    assert read_posts(folder.write(), OPTIONS)[0]["account"].to_list() == ["u"]
    assert read_posts(own, OPTIONS)[0]["account"].to_list() == ["me"]
    assert read_posts(own / "posts.csv", OPTIONS)[0]["account"].to_list() == ["me"]


def test_an_unknown_carousel_option_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.posts\.carousel is 'last'"):
        read_posts(tmp_path, with_options(carousel="last"))


def test_a_folder_with_both_layouts_is_the_influencer_dataset(tmp_path):
    (tmp_path / "influencers.txt").touch()
    (tmp_path / "posts.csv").touch()
    assert read.reader_of(tmp_path) is READERS["influencer_dataset"]


@pytest.mark.parametrize("name", ["nowhere", "file.txt", "folder"])
def test_what_no_reader_knows_is_an_error_that_lists_the_layouts(tmp_path, name):
    (tmp_path / "file.txt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(RawDataError) as error:
        read_posts(tmp_path / name, OPTIONS)
    assert name in str(error.value) and all(reader.layout in str(error.value) for reader in READERS.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("posts.xlsx", "this is a spreadsheet. Save it in UTF-8 as posts.csv"),
        ("posts.csv.gz", "this file is packed. Unpack it first"),
        ("export.zip", "this file is packed. Unpack it first"),
        ("a.JPG", "this is a photo, and no list"),
        ("photos", "this folder holds photos, and no list"),
        (".", "About posts.csv.gz: this file is packed. Unpack it first"),
        ("lists", "no posts were found in this folder; give 2020.csv itself"),
        ("lists/2021.csv", "this path does not exist; beside it there is 2020.csv"),
    ],
)
def test_what_is_no_list_is_named(tmp_path, name, message):
    for file in ("posts.xlsx", "posts.csv.gz", "export.zip", "a.JPG", "photos/b.jpg", "lists/2020.csv"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    with pytest.raises(RawDataError, match=re.escape(message)):
        read_posts(tmp_path / name, OPTIONS)


def test_a_spreadsheet_in_a_folder_is_named(tmp_path):
    for name in ("Posts.XLSX", "a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(RawDataError, match=r"About Posts\.XLSX: this is a spreadsheet"):
        read_posts(tmp_path, OPTIONS)


def test_a_list_with_tabs(tmp_path):
    save_image(tmp_path / "a.jpg")
    (tmp_path / "posts.tsv").write_text("image\taccount\tlikes\ttimestamp\na.jpg\tme\t3\t1500000000\n")
    for raw in (tmp_path, tmp_path / "posts.tsv"):
        assert read_posts(raw, OPTIONS)[0]["account"].to_list() == ["me"]


def read_lines(raw, options, skips):
    """The toy layout: a line `account likes` per post, in likes.txt."""
    table = PostTable(skips)
    for number, line in enumerate((raw / "likes.txt").read_text().splitlines()):
        account, likes = line.split()
        table.add_account(account, 0, "", [Post(account, str(number), 1, int(likes), [(str(number), "a.jpg")])])
    return table.finish()


def test_a_reader_is_a_function_and_a_row(tmp_path, monkeypatch):
    monkeypatch.setitem(READERS, "toy", Reader("a folder with likes.txt", f"{__name__}:read_lines", ("likes.txt",)))
    (tmp_path / "likes.txt").write_text("ann 3\nbob 4\n")
    table, _ = read_posts(tmp_path, OPTIONS)
    assert table["account"].to_list() == ["ann", "bob"] and table["likes"].to_list() == [3, 4]
