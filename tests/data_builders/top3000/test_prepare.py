"""What a build does before it writes: images without features, and errors that say what was lost."""

import csv
import json
import shutil

import pytest
from PIL import Image

from data_builders import photos
from data_builders.features import report
from data_builders.features.inputs import Image as Listed
from data_builders.posts.post import RawDataError
from data_builders.top3000.prepare import prepare
from tests.helpers import tiny_world
from tests.helpers.tiny_store import open_writer, row
from third_party_ports import seals

LACKING = tuple(f"photos/{account}_{post}.png" for account in range(3) for post in (3, 7))


@pytest.fixture(scope="module")
def lacking(tmp_path_factory):
    """A world of 240 posts whose store lacks six."""
    folder = tmp_path_factory.mktemp("lacking")
    tiny_world.write(folder, side=12, lacking=LACKING)
    return folder


@pytest.fixture
def world(lacking, tmp_path):
    return shutil.copytree(lacking, tmp_path / "world")


def prepared(world):
    return prepare(world / "raw", world / "features", tiny_world.options())


def leave_out(world, reason: str, paths=LACKING) -> None:
    found = report.Report()
    for path in paths:
        found.skip(Listed(f"user.{path.split('/')[1][0]}", path, path), reason)
    report.write_report(found, world / "features")


def test_posts_without_features_stop_the_build_with_what_was_lost_before(world):
    (world / "raw" / "photos" / "0_1.png").unlink()
    with pytest.raises(RawDataError, match=r"6 of 239 posts have no features, .*image missing: 1 \(such"):
        prepared(world)


def test_what_extraction_left_out_is_left_out_under_its_reason(world):
    """Also above the 1 % that may lack features for no known reason."""
    leave_out(world, "image too narrow")
    found = prepared(world)
    assert found.skips.counts == {"image too narrow": 6} and len(found.table) == 234
    assert found.skips.examples["image too narrow"][0] == "user.0/0_3: photos/0_3.png"


def test_unreadable_photos_are_unreadable_in_both(world):
    for path in LACKING:
        (world / "raw" / path).write_bytes(b"GIF89a")
    leave_out(world, "image unreadable")
    assert prepared(world).skips.counts == {"image unreadable": 6}


def test_what_can_be_read_by_now_is_to_be_extracted(world):
    """A disk that was not there: half a data set must not be lost in silence."""
    leave_out(world, "image unreadable")
    with pytest.raises(RawDataError, match="6 of 240 posts have no features"):
        prepared(world)


def test_photos_that_are_too_narrow_are_known_without_a_list_too(world):
    for path in LACKING:
        Image.new("L", (1515, 15)).save(world / "raw" / path)
    assert prepared(world).skips.counts == {"image too narrow": 6}


def test_an_extraction_that_is_not_finished_says_so(world):
    shutil.rmtree(world / "features")
    with open_writer(world / "features", depth_side=tiny_world.SIDE, journal=True, shard_rows=99) as writer:
        writer.write("user.0", "photos/0_0.png", 12, 12, **row())
        writer.write("user.0", "photos/0_1.png", 12, 12, **row())
        held = (world / "features" / "journal.arrow").read_bytes()
    for file in (world / "features").glob("part-*"):
        file.unlink()
    (world / "features" / "journal.arrow").write_bytes(held)  # as a killed run leaves it
    with pytest.raises(RawDataError, match=r"not finished: its journal holds 2 more; run the same ipa-jax"):
        prepared(world)


def test_an_extraction_that_was_killed_between_two_shards_says_so(world):
    header = json.loads((world / "features" / "header.json").read_text())
    seals.write_json(world / "features" / "header.json", header | {"decoded_with": [photos.versions()]})
    with pytest.raises(RawDataError, match=r"not finished: it left no extract_report\.json"):
        prepared(world)


def test_left_out_images_of_several_runs_are_kept_together(tmp_path):
    for name, reason in (("a", "image missing"), ("b", "image too narrow"), ("a", "image unreadable")):
        found = report.Report()
        found.skip(Listed("é", name, name), reason)
        report.write_report(found, tmp_path)
    assert report.read_left_out(tmp_path) == {("é", "a"): "image unreadable", ("é", "b"): "image too narrow"}
    for content in ("{", "{}"):
        (tmp_path / report.LEFT_OUT).write_text(content)
        with pytest.raises(ValueError, match=r"left_out\.json is damaged.*extract"):
            report.read_left_out(tmp_path)
    (tmp_path / report.LEFT_OUT).unlink()
    with pytest.raises(ValueError, match=r"left_out\.json is missing.*extract"):
        report.read_left_out(tmp_path)


def test_an_empty_split_says_what_was_lost(world):
    rows = list(csv.reader((world / "raw" / "posts.csv").read_text().splitlines()))
    for line in rows[20:]:
        line[2] = "-1"
    with open(world / "raw" / "posts.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(RawDataError, match=r"would be empty.*left out before: likes hidden \(-1\): 221 \(such as"):
        prepared(world)
