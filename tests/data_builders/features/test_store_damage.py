"""Tests of a feature store that is not as it was written: damaged, of an earlier version, or mended."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from data_builders.features import journal as feature_journal
from data_builders.features.reader import read_header
from data_builders.features.rows import StoreError
from data_builders.features.store import FeatureReader
from tests.helpers.damage import flips, require_noticed
from tests.helpers.tiny_store import open_writer, person, row, written
from third_party_ports import seals

IDS = [f"i{number}" for number in range(5)]  # in shards of two


@pytest.fixture
def store(tmp_path):
    fill(tmp_path / "store")
    return tmp_path / "store"


def fill(path):
    with open_writer(path) as writer:
        for number, name in enumerate(IDS):
            writer.write("a", name, 30, 40, **row(number, [person(0.5)]))


def rows(path):
    reader = FeatureReader(path)
    features = reader.load("a", IDS)
    arrays = [features.keypoints, features.boxes, features.background, features.caption, reader.depth("a", IDS)]
    return reader.header, reader.caption_texts("a", IDS), [array.tobytes() for array in arrays]


def equal(a, b):
    return a == b


@pytest.mark.parametrize("name", ["header.json", "part-00001.arrow"])
def test_damage_is_named(store, name):
    require_noticed(store / name, lambda: rows(store), StoreError, equal)


@pytest.mark.parametrize("kind", ["cut", "deleted"])
def test_extract_again_makes_the_rows_of_a_lost_shard_alone(store, kind):
    expected, shard = rows(store), store / "part-00001.arrow"
    others = {file: file.read_bytes() for file in store.glob("part-*") if file != shard}
    content = shard.read_bytes()
    if kind == "cut":
        shard.write_bytes(content[:-9])
        with pytest.raises(StoreError, match=r"part-00001\.arrow is damaged .*delete .*ipa-jax extract"):
            fill(store)
    shard.unlink()
    assert FeatureReader(store).missing([("a", name) for name in IDS]) == [("a", "i2"), ("a", "i3")]
    fill(store)
    assert rows(store) == expected and shard.read_bytes() == content
    assert {file: file.read_bytes() for file in others} == others  # finished shards keep their hash


def test_a_store_of_before_is_read_with_one_warning_and_resumed(store, capsys):
    expected = rows(store)
    unseal(store)
    assert rows(store) == (read_header(store), *expected[1:])
    assert capsys.readouterr().err.count("warning: ") == 1
    with open_writer(store) as writer:
        writer.write("a", "new", 30, 40, **row(9))
    assert FeatureReader(store).load("a", ["i0", "new"]).background.shape == (2, 4)


def unseal(store):
    """Makes the store what an earlier version wrote."""
    header = read_header(store)
    (store / "header.json").write_text(json.dumps(header))
    for file in store.glob("part-*"):
        table = pa.ipc.open_file(file.read_bytes()).read_all().replace_schema_metadata(None)
        with pa.ipc.new_file(str(file), table.schema) as writer:
            writer.write_table(table)


@pytest.mark.parametrize("content", [b"", b"\0" * 3000, b"ARROW1\0\0 and nothing", b"PK\3\4", b"{", b"[]", b"{}"])
@pytest.mark.parametrize("name", ["header.json", "part-00001.arrow"])
def test_what_cannot_be_parsed_is_named_in_a_store_of_before(store, name, content):
    unseal(store)
    (store / name).write_bytes(content)
    with pytest.raises(StoreError, match=name):
        rows(store)


def test_damage_in_a_store_of_before_ends_in_an_error_or_numbers(store):
    """No checksum tells, but no flip ends in another error than the store's."""
    unseal(store)
    for _ in flips(store / "part-00001.arrow", 60):
        try:
            rows(store)
        except StoreError as error:
            assert str(store) in str(error)
        except KeyError as error:
            assert "no row for a/" in str(error)  # a key was hit


@pytest.mark.parametrize("change", [{"depth_side": "6"}, {"extractors": []}, {"extractors": {"pose": 1}},
                                    {"random_weights": "no"}])  # fmt: skip
def test_a_field_of_another_type_is_named(store, change):
    seals.write_json(store / "header.json", read_header(store) | change)
    with pytest.raises(StoreError, match=r"header\.json"):
        FeatureReader(store)


def test_a_shard_of_another_store_is_named(store, tmp_path):
    with open_writer(tmp_path / "other") as writer:
        writer.write("a", "i9", 30, 40, **row(9) | {"background": np.ones(7)})
    shutil.copy(tmp_path / "other/part-00000.arrow", store / "part-00003.arrow")
    with pytest.raises(StoreError, match=r"part-00003\.arrow.*other lengths"):
        FeatureReader(store)


def test_a_damaged_row_of_the_journal_is_extracted_again(tmp_path):
    written(tmp_path, 3).close()
    whole = [repr(row) for row in feature_journal.read(tmp_path)]
    assert len(whole) == 3
    for flip in flips(tmp_path / feature_journal.NAME):
        found = [repr(row) for row in feature_journal.read(tmp_path)]
        assert found == whole[: len(found)] and len(found) < 3, flip


def test_a_journal_of_before_is_read(tmp_path):
    written(tmp_path, 3).close()
    rows = feature_journal.read(tmp_path)
    file = tmp_path / feature_journal.NAME
    with file.open("rb") as source:
        schema = pa.ipc.open_stream(next(feature_journal._rows(source))).schema
    with pa.ipc.new_stream(str(file), schema) as stream:
        for each in rows:
            stream.write_batch(pa.record_batch({name: [each[name]] for name in schema.names}, schema=schema))
    assert repr(feature_journal.read(tmp_path)) == repr(rows)
    file.write_bytes(file.read_bytes()[:-100])  # as a kill leaves it
    assert repr(feature_journal.read(tmp_path)) in (repr(rows), repr(rows[:2]))
