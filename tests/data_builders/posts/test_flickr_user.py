"""FlickrUser: its CSV file, and the photos that fetch-images puts beside it."""

import pytest

from data_builders.posts.post import RawDataError
from data_builders.posts.read import READERS, read_posts, reader_of
from tests.helpers.raw_layout import save_image, with_options

HEADER = "user,img_id,img_url,views,favorites,comments,upload_date,user_gender,set,ci_score"


def line(user: str, number: int, favorites: object = 5, date: object = "2015-03-02 10:11:12", end: str = "f,train,0.5"):
    return f"{user},{number},https://live.staticflickr.com/1/{number}_a_b.jpg,900,{favorites},3,{date},{end}"


@pytest.fixture
def read(tmp_path):
    def read(*lines: str, header: str = HEADER):
        for number in range(1, 10):
            save_image(tmp_path / "images" / f"{number}.jpg", shade=number)
        (tmp_path / "FlickrUser.csv").write_text("\n".join([header, *lines]) + "\n")
        return read_posts(tmp_path / "FlickrUser.csv", with_options())

    return read


def test_favorites_are_likes_and_photos_lie_in_images(read, tmp_path):
    table, skips = read(line("7@N01", 1), line("7@N01", 2, 12), line("8@N02", 3))
    assert table["account"].to_list() == ["7@N01", "7@N01", "8@N02"] and table["likes"].to_list() == [5, 12, 5]
    assert table["image_paths"].to_list() == [["images/1.jpg"], ["images/2.jpg"], ["images/3.jpg"]]
    assert table["image_ids"].to_list() == [["1"], ["2"], ["3"]] and table["comment_count"].to_list() == [3] * 3
    assert table["time"][0] == 1_425_291_072 and not skips.counts
    assert "3 dates as 2020-01-31" in skips.warnings[-1]
    assert read_posts(tmp_path, with_options())[0].equals(table)


@pytest.mark.parametrize(
    ("date", "form"),
    [("1425291072", "Unix seconds"), ("1425291072.0", "Unix seconds"), ("2015-03-02T10:11:12+00:00", "dates as 2020"),
     ('"02/03/2015 10:11:12"', "dates as 31/01/2020"), ('"Mar 2, 2015 10:11:12 AM"', "month's name")],
)  # fmt: skip
def test_upload_dates_of_any_form(read, date, form):
    """The authors do not say how dates are written."""
    other = '"31/01/2015 10:11:12"' if "/" in date else date
    table, skips = read(line("u", 1, date=date), line("u", 2, date=other))
    assert 1_425_291_072 in table["time"].to_list()
    assert form in skips.warnings[-1]


def test_photos_without_favorites_are_left_out_and_their_share_is_told(read):
    table, skips = read(line("u", 1, 0), line("u", 2, 0), line("u", 3), line("u", 4))
    assert len(table) == 2 and skips.counts == {"likes below 1": 2}
    assert "2 of 4 photos (50%) have no favorites" in skips.warnings[0]


def test_posts_that_are_left_out_by_name(read):
    table, skips = read(
        line("u", 1),
        line("u", 77),
        line("u", 2, ""),
        line("u", 3, "many"),
        line("u", 4, date="soon"),
        line("../u", 5),
        line("u", 6).replace("u,6,", "u,../6,"),
        line("u", 7)[:20],
    )
    assert table["post_id"].to_list() == ["1"]
    assert skips.counts == {"image missing": 1, "likes missing": 1, "bad row": 4, "no timestamp": 1}


def test_without_photos_the_error_gives_the_command(tmp_path):
    (tmp_path / "FlickrUser.csv").write_text(f"{HEADER}\n{line('u', 1)}\n")
    with pytest.raises(RawDataError, match=r"no folder images/.*ipa-jax fetch-images .*FlickrUser\.csv --to "):
        read_posts(tmp_path, with_options())


def test_the_header_tells_flickr_from_a_list_of_posts(read, tmp_path):
    read(line("u", 1))
    (tmp_path / "FlickrUser.csv").rename(tmp_path / "mine.csv")
    assert reader_of(tmp_path / "mine.csv") is READERS["flickr_user"]
    (tmp_path / "mine.csv").write_text("image,account,likes,timestamp\n")
    assert reader_of(tmp_path / "mine.csv") is READERS["csv_file"]
