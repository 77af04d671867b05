"""`extract --only`: the images of kept groups are enough for a build, and a build that needs more says so."""

import hashlib
import json

import numpy as np
import polars as pl
import pytest

from configs import full
from data_builders.features import extraction, report, selection
from data_builders.features.extractors import EXTRACTORS, Extractor, Row
from data_builders.features.reader import FeatureReader
from data_builders.posts.post import RawDataError
from data_builders.posts.read import READERS, read_posts
from data_builders.top3000.build import build
from tests.helpers import tiny_world

POSTS = 14 * 40
BROKEN = ("0_14", "1_9", "2_13", "3_5", "4_30", "5_39")  # posts whose photo cannot be read; three of them move others


class Colour(Extractor):
    """The photo's mean colour, without a network."""

    name = "colour"

    def __init__(self, options, random):
        pass

    @classmethod
    def networks(cls, options):
        return ()

    @classmethod
    def acting(cls, options):
        return {}

    @staticmethod
    def prepare(photo, options):
        return photo.mean((0, 1))

    def shape(self, inputs):
        return ()

    def start(self, batch):
        return batch

    def finish(self, started, batch):
        return [{"background": colour, "caption_vector": colour} for colour in batch]


def config(**groups):
    found = full.get_config("tiny")
    found.data.similarity.update({"pose": 0.0, "background": 0.5, "caption": 0.5})
    found.data.depth.side = 0
    found.data.pairs.min_ratio = 6.0
    found.data.groups.update(groups)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Raw posts with six photos that cannot be read, and both kinds of stores with their reports."""
    folder = tmp_path_factory.mktemp("selection")
    tiny_world.write(folder, accounts=14, side=8)
    for post in BROKEN:
        (folder / "raw" / "photos" / f"{post}.png").write_bytes(b"no photo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXTRACTORS, "colour", Row(("background", "caption"), f"{__name__}:Colour"))
        reports = {
            only: extraction.extract(config(), folder / "raw", folder / only, names=["colour"], only=only)
            for only in selection.ONLY
        }
    return folder, reports


def files(folder):
    """The sha256 of each file of a data set, except of the metadata, which hold the store's path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("metadata.json", "checksums.json")
    }


def test_kept_groups_are_enough_for_the_same_data_set(world, tmp_path):
    """Also where photos that cannot be read move others into kept groups."""
    folder, reports = world
    images = {only: set(FeatureReader(folder / only).keys()) for only in selection.ONLY}
    assert images["kept"] < images["all"] and len(images["all"]) == POSTS - len(BROKEN)
    assert reports["kept"].not_kept == POSTS - len(images["kept"] | (reports["kept"].left_out.keys() & kept_of(folder)))
    for only in selection.ONLY:
        build(config().data.to_dict(), folder / "raw", folder / only, tmp_path / only)
    assert files(tmp_path / "kept") == files(tmp_path / "all")


def kept_of(folder):
    """The images of kept groups, as if all photos could be read."""
    table, _ = read_posts(folder / "raw", config().data.to_dict())
    kept = selection.images_of(selection.kept_posts(table, config().data.to_dict()))
    return {(image.account, image.image_id) for image in kept}


def test_broken_photos_change_what_is_kept(world):
    """Or the test above would prove little."""
    folder, _ = world
    assert set(FeatureReader(folder / "kept").keys()) - kept_of(folder)


def test_the_report_says_what_was_asked(world):
    folder, reports = world
    for only in selection.ONLY:
        assert json.loads((folder / only / report.REPORT).read_text())["only"] == only
        assert reports[only].left_out.keys() == {(f"user.{post[0]}", f"photos/{post}.png") for post in BROKEN}
    assert report.read_kept_by(folder / "all") is None
    assert report.read_kept_by(folder / "kept")["groups"]["window_days"] == 7.0
    assert f"in no kept group: {reports['kept'].not_kept} (--only=all" in "\n".join(reports["kept"].lines(folder))


def test_a_build_that_needs_more_names_the_field(world, tmp_path):
    folder, _ = world
    with pytest.raises(RawDataError, match=r"groups.window_days was 7.0 there and is 14.0 here.*\n?.*--only=all"):
        build(config(window_days=14.0).data.to_dict(), folder / "raw", folder / "kept", tmp_path / "data")
    build(config(window_days=14.0).data.to_dict(), folder / "raw", folder / "all", tmp_path / "data")


def test_it_resumes_and_all_takes_the_rest(world, monkeypatch):
    folder, reports = world
    monkeypatch.setitem(EXTRACTORS, "colour", Row(("background", "caption"), f"{__name__}:Colour"))
    again = extraction.extract(config(), folder / "raw", folder / "kept", names=["colour"], only="kept")
    assert (again.written, again.already) == (0, reports["kept"].written)


@pytest.mark.parametrize(("layout", "shuffle", "only"), [
    ("influencer_dataset", False, "kept"), ("influencer_dataset", True, "all"), ("csv_file", False, "all"),
])  # fmt: skip
def test_the_default_is_what_the_data_are_for(layout, shuffle, only, monkeypatch, tmp_path):
    monkeypatch.setattr(selection, "reader_of", lambda raw: READERS[layout])
    assert selection.default(tmp_path, {"shuffle_likes": shuffle}) == only


def test_kept_posts_are_those_of_groups_with_a_valid_pair():
    day = 86_400
    table = pl.DataFrame(
        {
            "account": ["ann"] * 4 + ["bob"] * 3,
            "time": np.array([0, 1, 30, 31, 0, 1, 2]) * day,
            "likes": [10, 100, 10, 11, 5, 50, 6],  # ann's second group has no pair that differs enough
            "image_ids": [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]],
        }
    )
    kept = selection.kept_posts(table, config().data.to_dict())
    assert kept["image_ids"].explode().to_list() == ["a", "b", "e", "f", "g"]
