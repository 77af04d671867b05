"""Tests of seals: a file tells by itself whether it is as it was written."""

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file

from tests.helpers.damage import flips, require_noticed
from third_party_ports import seals


class BrokenError(ValueError):
    pass


REMEDY = "make it again"


def test_json_keeps_its_values_and_notices_damage(tmp_path):
    file, value = tmp_path / "x.json", {"a": [1, 0.1, None, "ünï"], "b": {"c": True}}
    seals.write_json(file, value)
    assert seals.read_json(file, BrokenError, REMEDY) == value
    require_noticed(file, lambda: seals.read_json(file, BrokenError, REMEDY), BrokenError, lambda a, b: a == b)


@pytest.mark.parametrize("rows", [1, 200_000])  # smaller and larger than the windows, and than a chunk
def test_files_of_other_libraries_are_sealed_in_place(tmp_path, rows):
    arrays = tmp_path / "x.safetensors"
    save_file({"a": np.arange(rows, dtype=np.float64)}, arrays, {seals.FIELD: seals.EMPTY})
    table = pa.table({"a": range(rows)}).replace_schema_metadata({seals.FIELD: seals.EMPTY})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    arrow = tmp_path / "x.arrow"  # holds its schema twice
    arrow.write_bytes(sink.getvalue())
    for file in (arrays, arrow):
        seals.seal(file)
        content = file.read_bytes()
        assert content.count(b"0" * 64) == 0
        assert seals.read(file, BrokenError, REMEDY) == content
        for flip in flips(file):
            if file.read_bytes().count(seals.MARK) < content.count(seals.MARK):
                continue  # in the mark itself: nothing else has changed
            with pytest.raises(BrokenError, match=rf"{file.name} is damaged .*make it again"):
                seals.check(file, BrokenError, REMEDY)
                pytest.fail(flip)
    np.testing.assert_equal(load_file(arrays)["a"], np.arange(rows))


def test_a_text_that_quotes_another_files_seal_is_kept(tmp_path):
    other = seals.sealed(f'{{"checksum": "{seals.EMPTY}"}}'.encode()).decode()
    file = tmp_path / "x.json"
    seals.write_json(file, {"quoted": other})
    assert seals.read_json(file, BrokenError, REMEDY) == {"quoted": other}
    require_noticed(file, lambda: seals.read_json(file, BrokenError, REMEDY), BrokenError, lambda a, b: a == b)


def test_a_file_of_before_is_read_with_one_warning(tmp_path, capsys):
    file = tmp_path / "old.json"
    file.write_text('{"a": 1}')
    for _ in range(2):
        assert seals.read_json(file, BrokenError, REMEDY) == {"a": 1}
    assert capsys.readouterr().err.count(f"warning: {file}") == 1


@pytest.mark.parametrize("content", [None, b"", b"[1, 2]", b"{", b"\xff{}"])
def test_a_file_that_is_none_is_named(tmp_path, content):
    file = tmp_path / "x.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BrokenError, match=r"x\.json is (missing|damaged).*make it again"):
        seals.read_json(file, BrokenError, REMEDY)


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(BrokenError, match="cannot be read"):
        seals.check(tmp_path, BrokenError, REMEDY)


def test_a_file_without_room_for_a_seal_is_refused(tmp_path):
    (tmp_path / "x").write_text("no place for it")
    with pytest.raises(ValueError, match=str(tmp_path / "x")):
        seals.seal(tmp_path / "x")


def test_arrays_are_told_apart_by_name_dtype_shape_and_numbers():
    one = {"a": np.arange(6.0), "b": np.float32(3)}
    others = [
        {"c": one["a"], "b": one["b"]},
        one | {"a": np.arange(6, dtype=np.float32)},
        one | {"a": one["a"].reshape(2, 3)},
        one | {"a": np.nextafter(one["a"], 9)},
    ]
    digests = {seals.arrays_sha256(arrays) for arrays in [one, *others]}
    assert len(digests) == 5 and seals.arrays_sha256({"b": one["b"], "a": one["a"]}) in digests
