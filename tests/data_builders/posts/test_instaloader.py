"""Profile folders of Instaloader, written as Instaloader writes them, and as it writes them on a bad day."""

import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.posts import instaloader, json_file
from data_builders.posts.post import RawDataError
from data_builders.posts.read import READERS, read_posts, reader_of
from tests.helpers.raw_layout import save_image, with_options

KEYS = [
    *(
        "node",
        "edges",
        "is_video",
        "iphone_struct",
        "carousel_media",
        "media_type",
        "edge_sidecar_to_children",
        "owner",
    ),
    *("edge_media_preview_like", "edge_liked_by", "count", "like_count", "like_and_view_counts_disabled", "shortcode"),
    *("code", "caption", "text", "taken_at_timestamp", "date", "taken_at", "edge_media_to_caption"),
]
TIME = 1_580_479_509  # 2020-01-31 14:05:09 UTC
STEM = "2020-01-31_14-05-09_UTC"


def stem_of(day: int) -> str:
    return f"2020-02-{day:02}_14-05-09_UTC"


class Profile:
    """A profile folder under construction."""

    def __init__(self, folder: Path, owner: dict | None = None):
        self.folder, self.owner = folder, {"id": "77", "username": folder.name} if owner is None else owner
        folder.mkdir(parents=True)

    def post(self, stem: str = STEM, likes: int | None = 100, files=(".jpg",), end: str = ".json.xz", **node) -> None:
        """A post's files; `node` changes the metadata's node."""
        counted = {} if likes is None else {"edge_media_preview_like": {"count": likes}}
        whole = {"shortcode": f"S{stem}", "owner": self.owner, "is_video": False, "taken_at_timestamp": TIME, **counted}
        self.write(stem, {"node": {**whole, **node}, "instaloader": {"version": "4.14", "node_type": "Post"}}, end)
        for number, suffix in enumerate(files):
            if suffix.endswith(".mp4"):
                (self.folder / f"{stem}{suffix}").write_bytes(b"video")
            else:
                save_image(self.folder / f"{stem}{suffix}", shade=number)

    def write(self, stem: str, value: object, end: str = ".json.xz") -> None:
        data = json.dumps(value).encode()
        data = lzma.compress(data, check=lzma.CHECK_NONE) if end == ".json.xz" else data
        (self.folder / f"{stem}{end}").write_bytes(data)


def children(*videos: bool) -> dict:
    return {"edges": [{"node": {"is_video": video}} for video in videos]}


def test_a_profile_folder(tmp_path):
    profile = Profile(tmp_path / "ann.b")
    profile.post(taken_at_timestamp=TIME, edge_media_to_caption={"edges": [{"node": {"text": "from the node"}}]})
    profile.post(stem_of(2), 7, end=".json", taken_at_timestamp=TIME + 9)
    (profile.folder / f"{STEM}.txt").write_text("sea #sun\nand sand\n")
    profile.write("ann.b_77", {"node": {"id": "77"}, "instaloader": {"node_type": "Profile"}})
    profile.write("iterator_abc", {"node": {}})
    profile.write(f"{STEM}_comments", [{"text": "nice"}], ".json")
    save_image(profile.folder / "2019-01-01_00-00-00_UTC_profile_pic.jpg")
    (profile.folder / "id").write_text("77\n")
    table, skips = read_posts(profile.folder, with_options())
    assert table["account"].to_list() == ["ann.b", "ann.b"] and table["likes"].to_list() == [100, 7]
    assert table["time"].to_list() == [TIME, TIME + 9]
    assert table["caption"].to_list() == ["sea #sun\nand sand", ""] and table["hashtags"].to_list() == [["sun"], []]
    assert table["image_ids"].to_list() == [[STEM], [stem_of(2)]]
    assert table["image_paths"].to_list() == [[f"{STEM}.jpg"], [f"{stem_of(2)}.jpg"]]
    assert table["post_id"].to_list() == [f"S{STEM}", f"S{stem_of(2)}"]
    assert not skips.counts and not skips.warnings


def test_several_profiles_side_by_side(tmp_path):
    for name, likes in (("ann", 3), ("bob", 4)):
        Profile(tmp_path / name, {"id": name}).post(likes=likes)  # without the name, the folder's counts
    table, skips = read_posts(tmp_path, with_options())
    assert table["account"].to_list() == ["ann", "bob"] and not skips.counts
    assert table["image_paths"].to_list() == [[f"ann/{STEM}.jpg"], [f"bob/{STEM}.jpg"]]


def test_a_renamed_account_has_its_newest_name(tmp_path):
    profile = Profile(tmp_path / "old")
    profile.post(stem_of(1), owner={"id": "77", "username": "new"}, taken_at_timestamp=TIME + 99)
    profile.post(stem_of(2), owner={"id": "77", "username": "old"})
    profile.post(stem_of(3), owner={"id": "77"}, taken_at_timestamp=TIME + 5)
    assert read_posts(profile.folder, with_options())[0]["account"].to_list() == ["new"] * 3


def phone(*types: int) -> dict:
    return {"carousel_media": [{"media_type": each} for each in types]}


@pytest.mark.parametrize(
    ("node", "likes"),
    [
        ({}, None),
        ({"edge_media_preview_like": {"count": 5}}, 5),
        ({"edge_liked_by": {"count": 6}}, 6),
        ({"iphone_struct": {"like_count": 7}}, 7),
        ({"edge_media_preview_like": {"count": -1}}, -1),
        ({"edge_media_preview_like": {"count": -1}, "iphone_struct": {"like_count": 70}}, 70),
        ({"iphone_struct": {"like_count": 3, "like_and_view_counts_disabled": True}}, -1),
        ({"iphone_struct": {"like_count": 300, "like_and_view_counts_disabled": True}}, 300),  # the owner sees it
        ({"iphone_struct": {"like_and_view_counts_disabled": True}}, -1),
        ({"edge_media_preview_like": {"count": "many"}, "edge_liked_by": 4}, None),
        ({"edge_media_preview_like": {"count": True}}, None),
    ],
)
def test_where_the_likes_are(node, likes):
    post = instaloader.parse({"node": node, "instaloader": {"node_type": "Post"}}, STEM, "", {f"{STEM}.jpg"})
    assert post.likes == likes


@pytest.mark.parametrize(
    ("files", "node", "kept"),
    [
        ((".jpg",), {}, [".jpg"]),
        ((".webp",), {}, [".webp"]),
        (("_1.jpg", "_2.jpg", "_3.jpg"), {}, ["_1.jpg", "_2.jpg", "_3.jpg"]),
        (("_1.jpg", "_2.jpg", "_2.mp4"), {}, ["_1.jpg"]),
        (("_1.jpg", "_2.jpg"), {"edge_sidecar_to_children": children(False, True)}, ["_1.jpg"]),
        (("_1.jpg", "_3.jpg"), {"edge_sidecar_to_children": children(False, False, False)}, ["_1.jpg", "_3.jpg"]),
        (("_1.jpg", "_2.jpg"), {"iphone_struct": phone(2, 1)}, ["_2.jpg"]),
        (tuple(f"_{n}.jpg" for n in range(1, 13)), {}, [f"_{n}.jpg" for n in range(1, 13)]),
    ],
)  # fmt: skip
def test_the_photos_of_a_post(tmp_path, files, node, kept):
    profile = Profile(tmp_path / "ann")
    profile.post(files=files, **node)
    table, skips = read_posts(profile.folder, with_options(carousel="all"))
    assert table["image_paths"].to_list() == [[f"{STEM}{end}" for end in kept]]
    assert skips.counts.get("image missing", 0) == ("_3.jpg" in files and len(files) == 2)


def test_posts_that_are_left_out_by_name(tmp_path):
    profile = Profile(tmp_path / "ann")
    profile.post()
    profile.post(stem_of(1), is_video=True, files=(".jpg", ".mp4"))
    profile.post(stem_of(2), files=(".jpg", ".mp4"))
    profile.post(stem_of(3), files=("_1.mp4", "_1.jpg"))
    profile.post(stem_of(4), likes=None)
    profile.post(stem_of(5), likes=-1)
    profile.post(stem_of(6), likes=0)
    profile.post(stem_of(7), files=())
    profile.post(stem_of(8), shortcode=f"S{STEM}")  # the first post again
    profile.post(stem_of(9), owner={"username": "../etc"})
    save_image(profile.folder / f"{stem_of(10)}_1.jpg")
    save_image(profile.folder / f"{stem_of(10)}_2.jpg")
    (profile.folder / f"{stem_of(11)}.json.xz").write_bytes(b"\xfd7zXZ\0 no")
    whole = (profile.folder / f"{STEM}.json.xz").read_bytes()
    (profile.folder / f"{stem_of(12)}.json.xz").write_bytes(whole[: len(whole) - 30])
    (profile.folder / f"{stem_of(13)}.json").write_bytes(b'{"node": ')
    (profile.folder / f"{stem_of(14)}.json").write_bytes(b"")
    profile.write(stem_of(15), {"node": {"id": "1"}, "instaloader": {"node_type": "StoryItem"}})
    table, skips = read_posts(profile.folder, with_options())
    assert table["post_id"].to_list() == [f"S{STEM}"]
    assert skips.counts == {
        "video": 3, "likes missing": 1, "likes hidden (-1)": 1, "likes below 1": 1, "image missing": 1,
        "duplicate post": 1, "bad row": 1, "info missing": 1, "info broken": 4,
    }  # fmt: skip


def test_a_time_comes_from_the_name_if_nothing_else_has_it(tmp_path):
    profile = Profile(tmp_path / "ann")
    profile.post(taken_at_timestamp=None)
    profile.post(stem_of(1), taken_at_timestamp=None, date=TIME + 1)
    profile.post(stem_of(2), taken_at_timestamp=None, iphone_struct={"taken_at": TIME + 2})
    assert sorted(read_posts(profile.folder, with_options())[0]["time"]) == [TIME, TIME + 1, TIME + 2]


def test_metadata_are_unpacked_up_to_a_limit(tmp_path):
    profile = Profile(tmp_path / "ann")
    profile.post()
    bomb = lzma.compress(b" " * (40 << 20), check=lzma.CHECK_NONE)
    (profile.folder / f"{stem_of(1)}.json.xz").write_bytes(bomb)
    table, skips = read_posts(profile.folder, with_options())
    assert len(table) == 1 and "more than 32 MB" in skips.examples["info broken"][0]
    with pytest.raises(json_file.JsonError, match="more than 0 MB"):
        json_file.read(profile.folder / f"{STEM}.json.xz", 50)


def test_photos_without_metadata_are_an_error_that_names_the_flag(tmp_path):
    save_image(tmp_path / "ann" / f"{STEM}.jpg")
    for folder in (tmp_path, tmp_path / "ann"):
        with pytest.raises(RawDataError, match=r"1 posts have photos.*without --no-metadata-json"):
            read_posts(folder, with_options())


def test_another_naming_pattern(tmp_path):
    profile = Profile(tmp_path / "ann")
    profile.post("CODE1")
    assert reader_of(profile.folder) is READERS["instaloader"]
    assert read_posts(profile.folder, with_options())[0]["image_ids"].to_list() == [["CODE1"]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_metadata_give_a_typed_post_or_none(node):
    post = instaloader.parse({"node": node}, STEM, "ann/", {f"{STEM}.jpg", f"{STEM}_1.jpg"})
    assert type(post.caption) is str and type(post.shortcode) is str and post.video in (True, False)
    for number in (post.time, post.likes):
        assert number is None or (type(number) is int and abs(number) < 2**63)
    assert all(path.startswith(f"ann/{STEM}") for _, path in post.images)
    assert instaloader.parse(node, STEM, "", set()) is None or "node" in node
