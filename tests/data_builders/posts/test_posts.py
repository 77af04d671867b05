"""The posts table: the checks that all readers share, duplicates, order, and what later steps drop by name."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.posts import hidden_likes
from data_builders.posts import post as posts
from data_builders.posts.post import Post, RawDataError, Skips
from data_builders.posts.read import read_posts
from data_builders.posts.table import PostTable, hashtags
from tests.helpers.raw_layout import OPTIONS, InstagramFolder


def post(post_id="p", *, time=10, likes=5, images=("a",), **more) -> Post:
    return Post("u", post_id, time, likes, [(name, f"{name}.jpg") for name in images], **more)


def table_of(*listed: Post, skips=None, **chunk) -> pl.DataFrame:
    """The table of one account's posts whose files all exist, carousels whole."""
    table = PostTable(skips or Skips(), **chunk)
    kept = [posts.check(each, lambda path: True, "all")[0] for each in listed]
    table.add_account("u", 7, "pet", [each for each in kept if each])
    return table.finish()


def probes(**readable: bool) -> pl.DataFrame:
    paths = [f"{name}.jpg" for name in readable]
    empty = [None] * len(paths)
    schema = {"path": pl.String, "readable": pl.Boolean, "phash": pl.UInt64, "sha256": pl.Binary}
    return pl.DataFrame([paths, list(readable.values()), empty, empty], schema=schema)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (post(video=True, likes=None), "video"),
        (post(likes=None), "likes missing"),
        (post(likes=-1), "likes hidden (-1)"),
        (post(likes=0), "likes below 1"),
        (post(likes=-2), "likes below 1"),
        (post(likes=10**12 + 1), "bad row"),  # sums of such would wrap 64 bits
        (post(time=None), "no timestamp"),
        (post(time=0), "no timestamp"),
        (post(time=1_500_000_000_000), "no timestamp"),  # milliseconds
        (post(images=()), "image missing"),
    ],
)
def test_a_bad_post_is_skipped_under_its_reason(listed, reason):
    kept, left_out = posts.check(listed, lambda path: True, "first")
    assert kept is None
    assert [name for name, _ in left_out] == [reason]
    assert left_out[0][1].startswith("u/p")


@pytest.mark.parametrize(
    ("carousel", "kept_images", "reasons"),
    [
        ("first", None, ["image missing"]),  # its first image file is not there
        ("skip", None, ["carousel skipped"]),
        ("all", ["b", "c"], ["image missing"]),  # the rest stays
    ],
)
def test_a_carousel_follows_the_option(carousel, kept_images, reasons):
    kept, left_out = posts.check(post(images=("a", "b", "c")), lambda path: path != "a.jpg", carousel)
    assert [name for name, _ in left_out] == reasons
    assert (kept and [image_id for image_id, _ in kept.images]) == kept_images
    if kept:
        assert kept.carousel_length == 3  # as listed


def test_first_keeps_the_first_image_and_looks_for_no_other():
    asked = []
    kept, left_out = posts.check(post(images=("a", "b")), lambda path: asked.append(path) or True, "first")
    assert kept.images == [("a", "a.jpg")] and kept.carousel_length == 2
    assert not left_out and asked == ["a.jpg"]


def test_an_image_listed_twice_counts_once():
    kept, _ = posts.check(post(images=("a", "b", "a")), lambda path: True, "all")
    assert [image_id for image_id, _ in kept.images] == ["a", "b"] and kept.carousel_length == 2


def test_duplicates_leave_the_first_listed():
    skips = Skips()
    table = table_of(
        post("1", time=30, images=("a",), shortcode="X"),
        post("2", time=20, images=("b",), shortcode="X"),  # the same post under another id
        post("3", time=10, images=("c", "a")),  # shares an image
        post("4", time=5, images=("c",)),  # post 3 is gone, so this one is free
        skips=skips,
    )
    assert table["post_id"].to_list() == ["4", "1"]
    assert skips.counts == {"duplicate post": 2} and skips.examples["duplicate post"] == ["u/2", "u/3"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 999)), max_size=30, unique_by=lambda row: row[1]))
def test_the_table_is_sorted_by_time_then_id_as_a_string(rows):
    """Chunks of any size make one table with the documented columns."""
    table = PostTable(Skips(), chunk_posts=3)
    listed = [post(str(number), time=time, images=(str(number),)) for time, number in rows]
    for account in ("A", "b", "é"):
        table.add_account(account, 1, "", listed)
    found = table.finish()
    assert found.schema == posts.SCHEMA
    expected = sorted((time, str(number)) for time, number in rows)
    assert list(zip(found["time"], found["post_id"], strict=True)) == expected * 3
    assert found["account"].unique(maintain_order=True).to_list() == (["A", "b", "é"] if rows else [])


def test_accounts_come_once_and_in_order():
    table = PostTable(Skips())
    table.add_account("b", 1, "", [])
    with pytest.raises(ValueError, match="ascending"):
        table.add_account("b", 1, "", [])


def test_hashtags():
    assert hashtags("Sea #Sun#Sand! #été #sun &#39; # #a_1") == ["sun", "sand", "été", "a_1"]


def test_skips_keep_ten_examples_and_know_their_reasons():
    skips = Skips()
    for number in range(12):
        skips.add("video", f"u/{number}")
    skips.add("bad row", "line 3")
    skips.warn("careful")
    assert skips.counts == {"video": 12, "bad row": 1}
    written = skips.to_json()
    assert list(written["counts"]) == ["bad row", "video"]  # in the order of REASONS
    assert written["examples"]["video"] == [f"u/{number}" for number in range(10)]
    assert written["warnings"] == ["careful"]
    with pytest.raises(ValueError, match="vidoe"):
        skips.add("vidoe", "u/1")


@pytest.mark.parametrize(
    ("likes", "warned"),
    [
        ([3] * 3 + list(range(50, 57)), True),  # 30 % of 10
        ([3] * 3 + list(range(50, 62)), False),  # exactly 20 %
        ([3] * 3 + list(range(50, 56)), True),  # 9 posts
        ([3] * 2 + list(range(50, 54)), False),  # 2 posts may be chance
        ([3] * 5 + [1, 2, 4, 4, 5, 6, 8], False),  # an account of few likes
        ([10] * 5 + list(range(50, 55)), False),  # not below 10
    ],
)
def test_constant_likes_are_warned_of(likes, warned):
    skips = Skips()
    table = table_of(*(post(str(i), likes=count, images=(str(i),)) for i, count in enumerate(likes)))
    hidden_likes.warn_hidden_likes(table, skips)
    assert bool(skips.warnings) == warned
    if warned:
        assert f"account u: 3 of {len(likes)} posts have exactly 3 likes" in skips.warnings[0]


def test_an_unreadable_image_takes_its_post_along_unless_all_are_kept():
    table = table_of(post("1", images=("a", "b")), post("2", images=("c",)), post("3", images=("d",)))
    found = probes(a=True, b=False, c=False, d=True)
    for carousel, post_ids, ids in [("all", ["1", "3"], [["a"], ["d"]]), ("first", ["3"], [["d"]])]:
        skips = Skips()
        kept = posts.drop_unreadable(table, found, skips, carousel=carousel, max_images=30)
        assert kept["post_id"].to_list() == post_ids and kept["image_ids"].to_list() == ids
        assert kept["image_paths"].to_list() == [[f"{name}.jpg" for name in names] for names in ids]
        assert kept.schema == posts.SCHEMA
        assert skips.counts == {"image unreadable": 2}
        assert skips.examples["image unreadable"] == ["u/1: b.jpg", "u/2: c.jpg"]


def test_formats_that_are_not_supported_are_warned_of_by_name(tmp_path):
    """Also in the error, where no post is left."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jpg").write_bytes(b"GIF89a" if name != "c" else b"\xff\xd8\xff broken")
    skips = Skips()
    table = table_of(*(post(name, images=(name,)) for name in "abcd"))
    posts.drop_unreadable(
        table, probes(a=False, b=False, c=False, d=True), skips, tmp_path, carousel="all", max_images=9
    )
    assert skips.warnings == ["2 of the unreadable images are GIF, which is not supported here; save it as JPEG"]
    with pytest.raises(RawDataError, match=r"image unreadable: 1 \(such as u/a: a\.jpg\).*; 1 of .* are GIF"):
        posts.drop_unreadable(table_of(post("a")), probes(a=False), Skips(), tmp_path, carousel="all", max_images=9)


def test_nothing_unreadable_changes_nothing():
    table = table_of(post("1", images=("a", "b")))
    skips = Skips()
    kept = posts.drop_unreadable(table, probes(a=True, b=True), skips, carousel="all", max_images=30)
    assert kept.equals(table)
    assert not skips.counts


def test_a_post_that_fits_no_group_is_dropped_after_its_unreadable_images():
    table = table_of(post("1", images=("a", "b", "c")), post("2", images=("d", "e", "f")))
    found = probes(a=True, b=True, c=False, d=True, e=True, f=True)
    skips = Skips()
    kept = posts.drop_unreadable(table, found, skips, carousel="all", max_images=2)
    assert kept["post_id"].to_list() == ["1"]
    assert skips.counts == {"image unreadable": 1, "too many images": 1}


def test_every_path_must_have_been_probed():
    with pytest.raises(ValueError, match=r"b\.jpg"):
        posts.drop_unreadable(table_of(post(images=("a", "b"))), probes(a=True), Skips(), carousel="all", max_images=30)


def test_no_readable_image_at_all_is_an_error():
    with pytest.raises(RawDataError, match="image unreadable: 1"):
        posts.drop_unreadable(table_of(post()), probes(a=False), Skips(), carousel="all", max_images=30)


def test_images_without_features_are_dropped_by_name_up_to_one_percent():
    table = table_of(*(post(f"{i:03}", images=(f"{i}", f"{i}b")) for i in range(200)))
    lacking = [("u", "7"), ("u", "8"), ("other", "9")]  # 2 of 200 posts: exactly 1 %; the last is no image of ours
    skips = Skips()
    kept = posts.drop_without_features(table, lacking, skips, carousel="first")
    assert len(kept) == 198 and skips.counts == {"no features": 2}
    rest = posts.drop_without_features(table, lacking, Skips(), carousel="all")
    assert len(rest) == 200 and rest.row(7, named=True)["image_ids"] == ["7b"]
    with pytest.raises(RawDataError, match=r"3 of 200 posts have no features, such as u/7.*1 %"):
        posts.drop_without_features(table, [*lacking, ("u", "9")], Skips(), carousel="first")
    assert posts.drop_without_features(table, [], Skips(), carousel="first").equals(table)


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    folder = InstagramFolder(tmp_path)
    folder.account("u")
    folder.post("u", "1", missing=["info"])
    with pytest.raises(RawDataError, match=r"no usable post.*info missing: 1"):
        read_posts(folder.write(), OPTIONS)
