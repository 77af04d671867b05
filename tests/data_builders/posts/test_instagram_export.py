"""Instagram's own export, in its real layout: localised labels, mojibake, and parts without likes."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_builders.posts import instagram_export
from data_builders.posts.post import RawDataError
from data_builders.posts.read import READERS, read_posts, reader_of
from tests.helpers.raw_layout import save_image, with_options

KEYS = ["media_map_data", "string_map_data", "Media Thumbnail", "Likes", "value", "timestamp", "uri", "title", "media",
        "creation_timestamp", "Username"]  # fmt: skip
TIME = 1_580_479_509


def mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


def insight(number: int, likes: str | None = "980", *, label="Likes", thumbnail="Media Thumbnail", uri=None, time=True):
    """A post of the insights, with likes under `label`."""
    seconds = TIME + number
    media = {"uri": uri or f"media/posts/202001/{number}.jpg", "title": mojibake("été #sun ☀")}
    when = {"creation_timestamp": seconds} if time else {}
    counts = {} if likes is None else {label: {"href": "", "value": likes, "timestamp": 0}}
    stamp = {"Upload Timestamp": {"value": "", "timestamp": seconds}}
    return {
        "media_map_data": {thumbnail: media | when},
        "string_map_data": {**stamp, "Reach": {"value": "12.345"}, **counts},
    }


class Export:
    """An export under construction; `place` is the folder of the insights."""

    def __init__(self, root: Path, name: str = "ann"):
        self.root = root
        self.write(
            "personal_information/personal_information/personal_information.json",
            {"profile_user": [{"string_map_data": {"Email": {"value": "a@b"}, "Username": {"value": name}}}]},
        )

    def write(self, path: str, value: object) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(json.dumps(value), encoding="utf-8")

    def insights(self, *posts: dict, place: str = "logged_information/past_instagram_insights") -> Path:
        self.write(f"{place}/posts.json", {"organic_insights_posts": posts})
        for post in posts:
            for media in post["media_map_data"].values():
                if media["uri"].startswith("media/") and media["uri"].endswith(".jpg"):
                    save_image(self.root / media["uri"])
        return self.root


@pytest.mark.parametrize("place", ["logged_information/past_instagram_insights", "past_instagram_insights"])
@pytest.mark.parametrize("outer", ["", "instagram-ann-2026-01-02-aB3"])
def test_an_export_with_likes(tmp_path, place, outer):
    Export(tmp_path / outer).insights(insight(1), insight(2, "12.000", time=False), place=place)
    table, skips = read_posts(tmp_path, with_options())
    assert table["account"].to_list() == ["ann"] * 2 and table["likes"].to_list() == [980, 12_000]
    assert table["time"].to_list() == [TIME + 1, TIME + 2]
    assert table["caption"][0] == "été #sun ☀" and table["hashtags"][0].to_list() == ["sun"]
    prefix = f"{outer}/" if outer else ""
    assert table["image_paths"].to_list() == [[f"{prefix}media/posts/202001/{n}.jpg"] for n in (1, 2)]
    assert table["image_ids"].to_list() == [["1"], ["2"]]
    assert not skips.counts and not skips.warnings


@pytest.mark.parametrize(
    "label", ["Likes", "Curtidas", "Me gusta", "J\u2019aime", "„Gefällt mir“-Angaben", "Mi piace", "좋아요",
              "Отметки \"Нравится\"", "いいね！"],  # noqa: RUF001
)  # fmt: skip
@pytest.mark.parametrize("broken", [True, False])
def test_labels_in_other_languages(tmp_path, label, broken):
    written = mojibake(label) if broken else label
    Export(tmp_path).insights(insight(1, label=written, thumbnail=mojibake("Medien-Miniaturbild")))
    assert read_posts(tmp_path, with_options())[0]["likes"].to_list() == [980]


@pytest.mark.parametrize(
    ("value", "likes"),
    [("980", 980), ("1,234", 1234), ("1.234.567", 1_234_567), ("1\u202f234", 1234), ("--", None), ("", None),
     ("1.2", None), ("many", None), (12, 12), (None, None)],
)  # fmt: skip
def test_counts(tmp_path, value, likes):
    Export(tmp_path).insights(insight(1, value), insight(2))
    table, skips = read_posts(tmp_path, with_options())
    assert table["likes"].to_list() == [likes, 980][likes is None :]
    assert skips.counts == ({"likes missing": 1} if likes is None else {})
    assert bool(skips.warnings) == (value in ("1.2", "many"))


def test_an_unknown_language_is_an_error_that_shows_the_labels(tmp_path):
    Export(tmp_path).insights(insight(1, label="Zzz"))
    with pytest.raises(RawDataError, match=r"posts\.json: none of its labels.*Reach.*Zzz.*English"):
        read_posts(tmp_path, with_options())


def test_posts_that_are_left_out_by_name(tmp_path):
    export = Export(tmp_path)
    export.insights(
        insight(1),
        insight(2, None),
        insight(3, uri="media/reels/202001/3.mp4"),
        insight(4, uri="https://scontent.cdninstagram.com/y.jpg"),
        insight(5, uri="../../../etc/passwd.jpg"),
        insight(6, uri="/etc/passwd.jpg"),
        insight(7, "0"),
        {"media_map_data": {}, "string_map_data": {"Likes": {"value": "5"}}},
    )
    (tmp_path / "media/posts/202001/2.jpg").unlink()
    table, skips = read_posts(tmp_path, with_options())
    assert table["image_ids"].to_list() == [["1"]]
    assert skips.counts == {"likes missing": 1, "video": 1, "image missing": 3, "likes below 1": 1, "no timestamp": 1}


def test_a_carousel_has_the_photos_that_the_post_lists(tmp_path):
    export = Export(tmp_path)
    names = ("1.jpg", "1b.jpg", "1c.mp4")
    media = [{"uri": f"media/posts/202001/{name}", "creation_timestamp": TIME + 1} for name in names]
    whole = {"media": media, "title": "", "creation_timestamp": TIME + 1}
    export.write("your_instagram_activity/media/posts_1.json", [whole, {"media": "broken"}, 5])
    save_image(tmp_path / "media/posts/202001/1b.jpg")
    export.insights(insight(1), insight(2))
    table, _ = read_posts(tmp_path, with_options(carousel="all"))
    assert table["image_ids"].to_list() == [["1", "1b"], ["2"]] and table["carousel_length"].to_list() == [2, 1]


def test_a_thumbnail_is_replaced_by_the_photos_of_the_same_second(tmp_path):
    export = Export(tmp_path)
    for number, name in ((1, "first"), (2, "second"), (2, "third")):  # two posts in one second: neither is taken
        media = [{"uri": f"media/posts/202001/{name}.jpg", "creation_timestamp": TIME + number}]
        export.write(f"your_instagram_activity/media/posts_{name[0]}.json", [{"media": media}])
        save_image(tmp_path / f"media/posts/202001/{name}.jpg")
    export.insights(*(insight(n, uri=f"media/other/{n}.jpg") for n in (1, 2)))
    assert read_posts(tmp_path, with_options())[0]["image_ids"].to_list() == [["first"], ["2"]]


@pytest.mark.parametrize("place", ["your_instagram_activity/media", "your_instagram_activity/content", "content"])
def test_an_export_without_likes_says_which_ones_have_them(tmp_path, place):
    Export(tmp_path).write(f"{place}/posts_1.json", [{"media": [{"uri": "media/posts/1.jpg"}]}])
    assert reader_of(tmp_path) is READERS["instagram_export"]
    with pytest.raises(RawDataError, match=r"no likes\. Only the export of a professional account .*posts\.csv"):
        read_posts(tmp_path, with_options())


def test_an_export_in_html_is_refused_by_name(tmp_path):
    (tmp_path / "your_instagram_activity" / "media").mkdir(parents=True)
    (tmp_path / "your_instagram_activity" / "media" / "posts_1.html").write_text("<html>")
    with pytest.raises(RawDataError, match=r"posts_1\.html: this export is in HTML.*JSON"):
        read_posts(tmp_path, with_options())


def test_several_exports_are_several_accounts(tmp_path):
    for name in ("ann", "bob"):
        Export(tmp_path / f"instagram-{name}-2026-01-02-x", name).insights(insight(1))
    assert read_posts(tmp_path, with_options())[0]["account"].to_list() == ["ann", "bob"]


def test_parts_of_one_export_lie_side_by_side(tmp_path):
    part = Export(tmp_path / "part1").insights(insight(1))
    (tmp_path / "part2" / "media" / "posts" / "202001").mkdir(parents=True)
    (part / "media/posts/202001/1.jpg").rename(tmp_path / "part2/media/posts/202001/1.jpg")
    table, _ = read_posts(tmp_path, with_options())
    assert table["image_paths"].to_list() == [["part2/media/posts/202001/1.jpg"]]


def test_the_name_of_the_account(tmp_path):
    export = Export(tmp_path / "instagram-c.d_e-2026-01-02-x")
    path = "personal_information/personal_information/personal_information.json"
    for users, name in [
        ([{"string_map_data": {mojibake("Nome de usuário"): {"value": "bob"}}}], "bob"),
        ([{"string_map_data": {"Zzz": {"value": "bob"}}}], "c.d_e"),
        ([], "c.d_e"),
        ("broken", "c.d_e"),
    ]:
        export.write(path, {"profile_user": users})
        assert instagram_export.account_of(export.root) == name
    (export.root / path).write_bytes(b"{")
    assert instagram_export.account_of(export.root) == "c.d_e"
    assert instagram_export.account_of(tmp_path) == instagram_export.NO_NAME


def test_a_text_that_is_whole_stays_as_it_is():
    for text in ("été", "日本", "plain", "„Gefällt mir“", "\ud83d"):
        assert instagram_export.repaired(text) == text.encode("utf-8", "replace").decode()
    assert instagram_export.repaired(5) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("media/posts/202001/1.jpg"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JSON, max_size=4), st.lists(JSON, max_size=3), JSON)
def test_any_insights_are_read_or_refused(tmp_path, listed, whole, users):
    export = Export(tmp_path / "any")
    export.insights(insight(1))
    export.write("logged_information/past_instagram_insights/posts.json", {"organic_insights_posts": listed})
    export.write("your_instagram_activity/media/posts_1.json", whole)
    export.write("personal_information/personal_information.json", {"profile_user": users})
    try:
        table, _ = read_posts(export.root, with_options(carousel="all"))
    except RawDataError:
        return
    assert set(table["image_paths"].explode()) == {"media/posts/202001/1.jpg"}
