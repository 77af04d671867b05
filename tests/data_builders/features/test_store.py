"""The feature store keeps what it is given, survives a kill, and says what it lacks."""

import json

import numpy as np
import pytest

from data_builders.features.reader import read_header
from data_builders.features.rows import StoreError, encode_depth
from data_builders.features.store import FeatureReader, FeatureWriter
from tests.helpers.tiny_store import EXTRACTORS, open_writer, person, row
from third_party_ports import seals


def test_rows_come_back_in_the_order_asked_across_shards(tmp_path):
    with open_writer(tmp_path) as writer:
        for number in range(5):
            writer.write("a", f"i{number}", 30, 40, **row(number, [person(0.5)] * (number % 3)))
        writer.write("b.c_d", "i1", 7, 8, **row(9))
    assert len(list(tmp_path.glob("part-*.arrow"))) == 3
    reader = FeatureReader(tmp_path)
    assert len(reader) == 6 and reader.parts == ("pose", "background", "caption", "depth")
    features = reader.load("a", ["i4", "i0", "i2"])
    np.testing.assert_array_equal(features.people, [1, 0, 2])
    assert features.keypoints.shape == (3, 2, 17, 3) and features.boxes.shape == (3, 2, 4)
    np.testing.assert_array_equal(features.width, 30)
    np.testing.assert_array_equal(features.height, 40)
    np.testing.assert_array_equal(features.background[1], row(0)["background"].astype(np.float32))
    np.testing.assert_array_equal(features.caption[0], row(4)["caption_vector"].astype(np.float32))
    assert reader.caption_texts("a", ["i3", "i1"]) == ["text 3", "text 1"]
    np.testing.assert_array_equal(reader.depth("b.c_d", ["i1"])[0], encode_depth(row(9)["depth"], 6))
    assert reader.missing([("a", "i9"), ("a", "i1"), ("z", "i0")]) == [("a", "i9"), ("z", "i0")]
    assert ("a", "i3") in reader and ("a", "x") not in reader and ("z", "i0") not in reader
    with pytest.raises(KeyError, match="a/i9"):
        reader.load("a", ["i9"])


def test_eight_people_stay_by_score_and_keypoints_outside_get_score_zero(tmp_path):
    people = [person(score, x=30 if score == 10 else 5) for score in range(1, 11)]
    with open_writer(tmp_path) as writer:
        writer.write("a", "i", 30, 40, **row(0, people))
    features = FeatureReader(tmp_path).load("a", ["i"])
    np.testing.assert_array_equal(features.people, [8])
    assert (features.keypoints[0, 0, :, 2] == 0).all()  # x = 30 lies outside a 30 wide image
    np.testing.assert_array_equal(features.keypoints[0, 1, :, 2], np.float32(0.9))


def test_depth_is_min_max_over_the_whole_map_before_it_is_resized():
    map_ = np.linspace(-3, 7, 16).reshape(4, 4)
    np.testing.assert_array_equal(encode_depth(map_, 4), np.rint(np.linspace(0, 65535, 16)).reshape(4, 4))
    np.testing.assert_array_equal(encode_depth((map_ * 100).astype(np.int32) + 5000, 4)[[0, -1], [0, -1]], [0, 65535])
    np.testing.assert_array_equal(encode_depth(np.full((5, 9), 3.0), 4), np.zeros((4, 4)))
    halves = encode_depth(np.repeat([[0.0, 1.0]], 8, axis=0).repeat(8, axis=1), 4)
    assert halves.shape == (4, 4) and (halves[:, 0] == 0).all() and (halves[:, -1] == 65535).all()
    assert (encode_depth(np.arange(6, dtype=np.uint16).reshape(2, 3), 5) <= 65535).all()
    with pytest.raises(ValueError, match="finite"):
        encode_depth(np.array([[0, np.nan]]), 4)


def test_a_killed_writer_is_resumed_and_known_keys_are_skipped(tmp_path):
    writer = open_writer(tmp_path)
    for number in range(5):  # two shards of two; the fifth row dies with the process
        assert writer.write("a", f"i{number}", 30, 40, **row(number))
    writer.close()
    (tmp_path / ".part-00002.arrow.tmp").write_bytes(b"torn")
    with open_writer(tmp_path) as again:
        assert ("a", "i3") in again and ("a", "i4") not in again
        assert not again.write("a", "i3", 30, 40, **row(99))
        assert again.write("a", "i4", 30, 40, **row(4))
        with pytest.raises(ValueError, match="background must be 4"):
            again.write("a", "i5", 30, 40, **row(5) | {"background": np.ones(5)})
    reader = FeatureReader(tmp_path)
    assert sorted(reader.keys()) == [("a", f"i{number}") for number in range(5)]
    assert reader.caption_texts("a", ["i3", "i4"]) == ["text 3", "text 4"]


def test_another_header_is_refused_by_field(tmp_path):
    with open_writer(tmp_path) as writer:
        writer.write("a", "i", 30, 40, **row())
    with pytest.raises(ValueError, match="random_weights is False"):
        open_writer(tmp_path, random_weights=True)
    with pytest.raises(ValueError, match="depth_side is 6"):
        open_writer(tmp_path, depth_side=8)
    with pytest.raises(ValueError, match="needs name, version"):
        open_writer(tmp_path / "new", extractors={"pose": {"name": "x"}})
    with pytest.raises(ValueError, match="poses"):
        open_writer(tmp_path / "new", extractors={"poses": EXTRACTORS["pose"]})
    seals.write_json(tmp_path / "header.json", read_header(tmp_path) | {"format": 99})
    with pytest.raises(StoreError, match="format is 99"):
        FeatureReader(tmp_path)
    with pytest.raises(FileNotFoundError, match="--features"):
        FeatureReader(tmp_path / "nowhere")


def test_parts_are_what_the_header_says(tmp_path):
    only_background = {"background": EXTRACTORS["background"]}
    with FeatureWriter(tmp_path, extractors=only_background, depth_side=0) as writer:
        writer.write("a", "i", 3, 4, background=np.ones(2))
        with pytest.raises(ValueError, match="lacks the part 'background'"):
            writer.write("a", "j", 3, 4)
        with pytest.raises(ValueError, match="has the part 'pose'"):
            writer.write("a", "j", 3, 4, background=np.ones(2), people=[])
    reader = FeatureReader(tmp_path)
    assert reader.parts == ("background",)
    assert reader.load("a", ["i"]).caption is None and reader.load("a", ["i"]).keypoints is None
    assert reader.caption_texts("a", ["i"]) == [None]
    with pytest.raises(ValueError, match="depth"):
        reader.depth("a", ["i"])


OLD, NEW = {"pillow": "11.0.0"}, {"pillow": "12.0.0"}


def fill(path, first, count, **options):
    with open_writer(path, **options) as writer:
        for number in range(first, first + count):
            writer.write("a", f"i{number}", 30, 40, **row(number))
    return FeatureReader(path).decoded_with


def test_the_header_lists_the_versions_that_decoded_the_photos(tmp_path):
    """A run with other versions may resume. The header then lists both from its first row on."""
    assert fill(tmp_path, 0, 3, decoded_with=OLD) == [OLD]
    assert fill(tmp_path, 3, 0, decoded_with=NEW) == [OLD]
    assert fill(tmp_path, 0, 3, decoded_with=NEW) == [OLD]  # the store had these rows
    assert fill(tmp_path, 3, 1, decoded_with=NEW) == [OLD, NEW]
    assert fill(tmp_path, 4, 3, decoded_with=OLD) == [OLD, NEW]
    assert len(FeatureReader(tmp_path)) == 7


def test_a_store_without_versions_stays_readable_and_can_be_resumed(tmp_path):
    assert fill(tmp_path, 0, 3) == []
    assert "decoded_with" not in json.loads((tmp_path / "header.json").read_text())
    assert fill(tmp_path, 3, 1, decoded_with=NEW) == [{}, NEW]  # the first three are of unknown versions


def test_temporary_files_of_a_killed_writer_are_deleted(tmp_path):
    fill(tmp_path, 0, 1)
    for name in (".part-00001.arrow.tmp", ".part-00001.x1.tmp.arrow", ".header.x2.tmp.json"):
        (tmp_path / name).write_bytes(b"torn")
    fill(tmp_path, 1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["header.json", "part-00000.arrow", "part-00001.arrow"]
