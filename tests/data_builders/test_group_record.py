"""A record of a data set as a group: its depth maps are unpacked one by one, also those of earlier versions."""

import zlib

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from data_builders import group_record
from data_builders.group_record import DatasetError, DepthMaps, decode

MAPS = np.random.default_rng(0).integers(0, 65536, (5, 4, 4)).astype(np.uint16)
EACH = [zlib.compress(one.tobytes()) for one in MAPS]
TOGETHER = [zlib.compress(MAPS.tobytes())]


def record(depth, **changes):
    """The bytes of a record of 5 images with K = 2."""
    texts = {name: [b"a"] for name in ("group_id", "account", "first_post", "category")}
    each = ("image_ids", "post_ids", "captions", "hashtags", "comments", "images")
    texts |= {name: [b"%d" % image for image in range(5)] for name in each} | {"retrieved_ids": [b""] * 10}
    lengths = {"similarity": 40, "local_score": 10, "count": 10, "mask": 10, "pairs": 4}
    numbers = {name: [np.zeros(lengths.get(name, 5), dtype).tobytes()] for name, dtype in group_record._NUMBERS.items()}
    example = tf_example_pb2.Example()
    for name, values in (texts | numbers | {"depth": depth} | changes).items():
        example.features.feature[name].bytes_list.value.extend(values)
    return example.SerializeToString()


@pytest.mark.parametrize("depth", [EACH, TOGETHER], ids=["each", "together"])
def test_depth_maps_are_an_array(depth):
    maps = decode(record(depth), 2, 4, "record 0")["depth"]
    assert maps.shape == (5, 4, 4) and len(maps) == 5 and maps.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(maps), MAPS, strict=True)
    for index in (3, -1, slice(1, 3), [4, 0], np.array([2, 2]), np.arange(5) > 2, []):
        np.testing.assert_array_equal(maps[index], MAPS[index], strict=True)
    with pytest.raises(IndexError):
        maps[5]


def test_only_the_maps_asked_for_are_unpacked(monkeypatch):
    unpacked = []
    monkeypatch.setattr(zlib, "decompress", lambda stream: unpacked.append(EACH.index(stream)) or MAPS[0].tobytes())
    DepthMaps(EACH, 5, 4, "record 0")[[3, 1]]
    assert unpacked == [3, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": EACH[:3]},
        {"depth": []},
        {"depth": [*EACH[:2], EACH[2][:-5], *EACH[3:]]},
        {"depth": [*EACH[:2], zlib.compress(b"1234"), *EACH[3:]]},
        {"depth": [zlib.compress(MAPS[:3].tobytes())]},
        {"similarity": [b"12345678"]},
        {"captions": [b"\xff"]},
    ],
    ids=["few", "none", "cut", "small", "few together", "numbers", "text"],
)
def test_another_record_is_damage(changes):
    with pytest.raises(DatasetError, match=r"record 7.*ipa-jax build --overwrite"):
        decode(record(**({"depth": EACH} | changes)), 2, 4, "record 7")["depth"][2]


def test_without_depth_no_map_is_looked_for():
    assert "depth" not in decode(record([]), 2, 0, "record 0")
