"""The Instagram Influencer layout, with every defect that real copies have."""

import json
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.posts import influencer_dataset
from data_builders.posts.influencer_dataset import Row, parse_info, parse_row
from data_builders.posts.post import RawDataError, Skips
from data_builders.posts.read import read_posts
from tests.helpers.raw_layout import HEADER, MAPPING_HEADER, OPTIONS, InstagramFolder, node, with_options

ROW = Row("u", "1", ["1.jpg"])


@pytest.fixture
def folder(tmp_path):
    made = InstagramFolder(tmp_path / "raw")
    made.account("a.b_c", followers=9000, category="fasion")
    return made


def read(folder, **options):
    return read_posts(folder.write(), with_options(**options))


def test_a_post_is_read_whole(folder):
    """Keys of method section 4.1, user names with dots and underscores, image ids without prefix and extension."""
    info = node(
        likes=321,
        time=1_400_000_001,
        shortcode="Bx1",
        __typename="GraphSidecar",
        edge_media_to_caption={"edges": [{"node": {"text": "Sea #Sun"}}]},
        edge_media_to_comment={"count": 7, "edges": [{"node": {"text": "wow"}}, {"node": {}}]},
        edge_media_to_sponsor_user={"edges": [{"node": {}}]},
        edge_media_to_tagged_user={"edges": [{}, {}]},
    )
    folder.post("a.b_c", "55", info, images=["60-x.jpg", "61.jpg"])
    table, skips = read(folder)
    assert table.to_dicts() == [
        {
            "account": "a.b_c",
            "post_id": "55",
            "time": 1_400_000_001,
            "likes": 321,
            "followers": 9000,
            "category": "fashion",
            "caption": "Sea #Sun",
            "hashtags": ["sun"],
            "comments": ["wow"],
            "comment_count": 7,
            "sponsored": True,
            "tagged": 2,
            "carousel_length": 2,
            "image_ids": ["60-x"],
            "image_paths": ["image/a.b_c-60-x.jpg"],
        }
    ]
    assert not skips.counts and not skips.warnings


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("header", [HEADER, HEADER.splitlines()[0] + "\n", "=====\t====\n", ""])
@pytest.mark.parametrize("mapping_header", [MAPPING_HEADER, ""])
def test_headers_and_bom_may_be_there_or_not(tmp_path, bom, header, mapping_header):
    folder = InstagramFolder(tmp_path, header=header, mapping_header=mapping_header, bom=bom)
    folder.account("first", followers="1,234")
    folder.account("second", followers=99)
    folder.post("first", "1")
    folder.post("second", "2")
    table, skips = read(folder)
    assert table["account"].to_list() == ["first", "second"] and table["followers"].to_list() == [1234, 99]
    assert not skips.counts


def test_each_planted_defect_is_found_under_its_name(folder):
    good = "a.b_c"
    folder.post(good, "01")
    folder.post(good, "01")  # repeated row
    folder.post(good, "02", missing=["info"])
    folder.post(good, "03", b"")
    folder.post(good, "04", b" \n")
    folder.post(good, "05", json.dumps(node()).encode()[:-9])
    folder.post(good, "06", b"[1, 2]")
    folder.post(good, "07", node(is_video=True))
    folder.post(good, "08", node(__typename="GraphVideo"))
    folder.post(good, "09", node(likes=-1))
    folder.post(good, "10", {"taken_at_timestamp": 5})
    folder.post(good, "11", node(likes=None))
    folder.post(good, "12", node(likes="12"))
    folder.post(good, "13", node(likes=0))
    folder.post(good, "14", node(time=None))
    folder.post(good, "15", missing=["15.jpg"])
    folder.post(good, "16", images=[])
    folder.post(good, "17", node(shortcode="S"))
    folder.post(good, "18", node(shortcode="S"))
    folder.post(good, "19", images=["01.jpg"])
    folder.mapping.append(f"{good}\t20.info\n")  # cut
    folder.mapping.append(f"{good}\t21.info\t['21.jpg'\n")
    folder.mapping.append(f"{good}\t22.info\t__import__('os').getcwd()\n")
    folder.mapping.append("no tabs at all\n")
    table, skips = read(folder)
    assert table["post_id"].to_list() == ["01", "17"]
    assert skips.counts == {
        "duplicate mapping row": 1,
        "info missing": 1,
        "info empty": 2,
        "info broken": 2,
        "video": 2,
        "likes hidden (-1)": 1,
        "likes missing": 3,
        "likes below 1": 1,
        "no timestamp": 1,
        "image missing": 2,
        "duplicate post": 2,
        "bad row": 4,
    }
    assert skips.examples["info missing"] == ["a.b_c/02"]


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", "", "x\0y", "/etc"])
def test_names_that_would_leave_the_root_are_refused(folder, name):
    folder.post("a.b_c", "1")
    folder.mapping.append(f"a.b_c\t2.info\t{[name]!r}\n")
    folder.mapping.append(f"a.b_c\t{name}.info\t['3.jpg']\n")
    folder.account(name, followers=99_999)
    table, skips = read(folder)
    assert table["post_id"].to_list() == ["1"]
    assert skips.counts["bad row"] == 3


def test_top_accounts_are_chosen_by_followers_then_name_before_posts_are_dropped(tmp_path):
    folder = InstagramFolder(tmp_path)
    for name, followers in [("d", 10), ("b", 20), ("c", 20), ("a", 5), ("empty", 30)]:
        folder.account(name, followers)
    for number, name in enumerate("abcd"):
        folder.post(name, str(number))
    folder.post("b", "bad", b"")
    folder.post("d", "bad", b"")
    table, skips = read(folder, top_n=2)  # "empty" keeps its place
    assert table["account"].to_list() == ["b"]
    assert skips.counts == {"info empty": 1}  # of the chosen accounts only
    assert read(folder, top_n=3)[0]["account"].to_list() == ["b", "c"]


def test_rows_of_an_account_may_lie_apart(tmp_path):
    folder = InstagramFolder(tmp_path)
    for name in ("z", "m"):
        folder.account(name)
    for number in range(40):
        folder.post("zm"[number % 2], f"{number:02}", node(time=1000 - number), images=[f"{number}.jpg"])
    table, _ = read(folder)
    assert table["account"].to_list() == ["m"] * 20 + ["z"] * 20
    assert table["post_id"].to_list()[:3] == ["39", "37", "35"]


@pytest.mark.parametrize(("window", "size"), [(1, 1), (7, 3), (8192, 64)])
def test_windows_and_slices_change_nothing(folder, monkeypatch, window, size):
    for number in range(20):
        folder.post("a.b_c", str(number), node(likes=number))
    monkeypatch.setattr(influencer_dataset, "WINDOW", window)
    monkeypatch.setattr(influencer_dataset, "SLICE", size)
    table, skips = read(folder)
    assert table["post_id"].to_list() == sorted(map(str, range(1, 20)))
    assert skips.counts == {"likes below 1": 1}


def test_carousels_keep_what_is_there(folder):
    folder.post("a.b_c", "1", images=["1a.jpg", "1b.jpg", "1c.jpg"], missing=["1a.jpg", "1c.jpg"])
    folder.post("a.b_c", "2")
    whole, skips = read(folder, carousel="all")
    assert whole["image_ids"].to_list() == [["1b"], ["2"]] and whole["carousel_length"].to_list() == [3, 1]
    assert skips.counts == {"image missing": 2}
    assert read(folder, carousel="first")[1].counts == {"image missing": 1}
    assert read(folder, carousel="skip")[1].counts == {"carousel skipped": 1}


def test_the_folders_are_never_listed(folder, monkeypatch):
    folder.post("a.b_c", "1")
    root = folder.write()

    def refuse(path="."):
        raise AssertionError(f"{path} was listed")

    monkeypatch.setattr(os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    assert len(read_posts(root, OPTIONS)[0]) == 1


@pytest.mark.parametrize("gone", ["influencers.txt", "JSON-Image_files_mapping.txt", "info", "image"])
def test_a_missing_piece_is_named_with_the_request_form(folder, gone):
    folder.post("a.b_c", "1")
    path = folder.write() / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RawDataError, match=rf"{gone} not found.*request form") as error:
        read_posts(folder.root, OPTIONS)
    assert str(folder.root) in str(error.value) and "http" not in str(error.value)


@pytest.mark.parametrize("name", ["post_info.txt", "json", "pic"])
def test_the_second_dataset_is_refused_by_name(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "influencers.txt").write_text(HEADER)
    with pytest.raises(RawDataError, match=f"second data set.*{name}"):
        read_posts(tmp_path, OPTIONS)


def test_packed_archives_are_told_apart(tmp_path):
    (tmp_path / "Post_metadata").mkdir()
    with pytest.raises(RawDataError, match="still packed"):
        read_posts(tmp_path, OPTIONS)


def test_no_account_is_an_error(tmp_path):
    with pytest.raises(RawDataError, match=r"influencers\.txt.* no account.*tabs"):
        read_posts(InstagramFolder(tmp_path).write(), OPTIONS)


def test_bad_accounts_are_counted(tmp_path):
    folder = InstagramFolder(tmp_path)
    folder.account("u", 10)
    folder.account("u", 99)  # the first one counts
    folder.account("v", "many")
    folder.influencers.append("w\n")
    skips = Skips()
    found = influencer_dataset.read_influencers(folder.write() / "influencers.txt", skips)
    assert [(account.name, account.followers) for account in found] == [("u", 10)]
    assert skips.counts == {"bad row": 3}


def test_stray_bytes_and_half_emojis_cost_no_post():
    half = json.dumps(node(edge_media_to_caption={"edges": [{"node": {"text": "hi \ud83d"}}]})).encode()
    assert parse_info(half, ROW).caption == "hi ?"
    stray = json.dumps(node(edge_media_to_caption={"edges": [{"node": {"text": "café"}}]}), ensure_ascii=False)
    assert parse_info(stray.encode("latin-1"), ROW).caption == "caf\ufffd"
    assert parse_info(b"\xef\xbb\xbf" + json.dumps(node()).encode(), ROW).likes == 100


def test_comments_may_stand_under_either_key():
    preview = parse_info(json.dumps(node(edge_media_preview_comment={"count": 4})).encode(), ROW)
    assert preview.comment_count == 4 and preview.comments == []


def commented(*comments) -> list[str]:
    edges = [{"node": comment} for comment in comments]
    return parse_info(json.dumps(node(edge_media_to_comment={"count": 9, "edges": edges})).encode(), ROW).comments


def test_the_earliest_comments_come_first_where_all_tell_their_time():
    late, early, same = ({"text": text, "created_at": time} for text, time in (("b", 9), ("a", 3), ("c", 3)))
    assert commented(late, early, same) == ["a", "c", "b"]
    assert commented(late, early, {"text": "no time"}) == ["b", "a", "no time"]
    assert commented(late, {"text": "", "created_at": None}, early) == ["a", "b"]  # one without text is none


def test_a_comment_is_one_line():
    assert commented({"text": "so\r\nnice\n\u2028here"}, {"text": "\n"}, {"text": "wow\n"}) == ["so nice  here", "wow"]


TEXT = st.text(list("aé#\ud83d\0 '\"[],\\/.\t\n=12"), max_size=12)  # a short list: all of Unicode is slow to set up
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["count", "edges", "node", "text", "other"]), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = [
    "taken_at_timestamp",
    "edge_media_preview_like",
    "edge_media_to_caption",
    "edge_media_to_comment",
    "shortcode",
    "edge_media_preview_comment",
    "edge_media_to_sponsor_user",
    "edge_media_to_tagged_user",
    "is_video",
    "__typename",
]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_json_gives_a_typed_post(value):
    """Whatever the values are, the post has the types of the table, or `check` leaves it out."""
    post = parse_info(json.dumps(value).encode(), ROW)
    for number in (post.time, post.likes):
        assert number is None or (type(number) is int and abs(number) < 2**63)
    assert type(post.comment_count) is int and type(post.caption) is str
    assert all(type(text) is str and len(text.splitlines()) == 1 for text in post.comments)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_empty_broken_or_a_post(data):
    assert parse_info(data, ROW) in ("info empty", "info broken") or data.strip().startswith((b"{", b"\xef"))


@settings(deadline=None)
@given(TEXT)
def test_any_line_is_a_row_or_a_value_error(text):
    """There is no other error, no warning of the parser, and no name with a separator."""
    for line in (text, f"u\t1.info\t{text}", f"u\t1.info\t['{text}']", f"u\t{text}.info\t['1.jpg']"):
        try:
            row = parse_row(line)
        except ValueError:
            continue
        assert all(name and "/" not in name and "\\" not in name for name in (row.account, row.post_id, *row.images))
