"""Media of the Instagram Graph API: answers as people save them, with photos beside them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_builders.posts.post import RawDataError
from data_builders.posts.read import READERS, read_posts, reader_of
from tests.helpers.raw_layout import save_image, with_options


def media(number: int, likes: int | None = 5, **more) -> dict:
    counted = {} if likes is None else {"like_count": likes}
    plain = {"id": f"1784{number}", "media_type": "IMAGE", "timestamp": f"2020-01-31T14:05:{number:02}+0000"}
    return {**plain, "username": "ann", "caption": "sea #sun", **counted, **more}


@pytest.fixture
def read(tmp_path):
    """Writes JSON files beside photos of the media 1 to 9, and reads one file or the whole folder."""
    for number in range(1, 10):
        save_image(tmp_path / ("images" if number % 2 else ".") / f"1784{number}.jpg", shade=number)

    def read(*answers: object, folder: bool = False, **options):
        for number, answer in enumerate(answers):
            (tmp_path / f"media_{number}.json").write_text(json.dumps(answer))
        return read_posts(tmp_path if folder else tmp_path / "media_0.json", with_options(**options))

    return read


@pytest.mark.parametrize(
    "wrap",
    [
        lambda listed: {"data": listed, "paging": {"next": "https://graph.instagram.com/x"}},
        lambda listed: {"media": {"data": listed}, "username": "ann", "id": "1"},
        lambda listed: [{"data": listed[:1]}, {"data": listed[1:]}],
        lambda listed: listed,
    ],
)
def test_the_forms_of_an_answer(read, wrap):
    table, skips = read(wrap([media(1), media(2, 7)]))
    assert table["account"].to_list() == ["ann", "ann"] and table["likes"].to_list() == [5, 7]
    assert table["time"].to_list() == [1_580_479_501, 1_580_479_502]
    assert table["image_paths"].to_list() == [["images/17841.jpg"], ["17842.jpg"]]
    assert table["post_id"].to_list() == ["17841", "17842"] and table["hashtags"][0].to_list() == ["sun"]
    assert not skips.counts and not skips.warnings


def test_all_answers_of_a_folder(read, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"data": [1, {"id": 5}]}')
    table, skips = read({"data": [media(1)]}, {"data": [media(2)]}, folder=True)
    assert len(table) == 2 and len(skips.warnings) == 1 and "broken.json" in skips.warnings[0]


def test_a_carousel_has_its_children(read):
    children = [{"id": "17845", "media_type": "IMAGE"}, {"id": "17846", "media_type": "VIDEO"}, {"id": "17847"}]
    table, _ = read([media(1, media_type="CAROUSEL_ALBUM", children={"data": children})], carousel="all")
    assert table["image_ids"].to_list() == [["17845", "17847"]]


def test_posts_that_are_left_out_by_name(read):
    table, skips = read(
        [
            media(1),
            media(2, None),
            media(3, -1),
            media(4, 0),
            media(5, media_type="VIDEO"),
            media(6, timestamp="soon"),
            media(10),
            media(7, username="../x"),
            media(8, id="../17848"),
            media(9, media_type="CAROUSEL_ALBUM", children={"data": [{"id": "1", "media_type": "VIDEO"}]}),
        ]
    )
    assert table["post_id"].to_list() == ["17841"]
    assert skips.counts == {
        "likes missing": 1, "likes hidden (-1)": 1, "likes below 1": 1, "video": 2, "no timestamp": 1,
        "image missing": 1, "bad row": 2,
    }  # fmt: skip


def test_without_like_counts_the_error_gives_the_fields_to_ask_for(read):
    with pytest.raises(RawDataError, match=r"media_0\.json: no media has a like_count.*fields=id,username"):
        read([media(1, None), media(2, None)])


def test_other_json_is_not_taken_for_media(tmp_path):
    (tmp_path / "package.json").write_text('{"data": [{"id": "1"}]}')
    for raw in (tmp_path, tmp_path / "package.json"):
        with pytest.raises(RawDataError, match=r"posts"):
            reader_of(raw)
    (tmp_path / "media.json").write_text(json.dumps([media(1)]))
    assert reader_of(tmp_path) is reader_of(tmp_path / "media.json") is READERS["graph_api"]


KEYS = ["data", "media", "id", "like_count", "timestamp", "media_type", "children", "username", "owner", "caption"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["IMAGE", "17841"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON, st.lists(st.dictionaries(st.sampled_from(KEYS), JSON), max_size=4))
def test_any_answer_is_read_or_refused(read, answer, listed):
    for value in (answer, {"data": [media(1) | each for each in listed]}):
        try:
            table, _ = read(value, carousel="all")
        except RawDataError:
            continue
        assert {path.rpartition("/")[0] for path in table["image_paths"].explode()} <= {"", "images"}
