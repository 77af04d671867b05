"""A journalled writer that is killed loses no row and writes none twice."""

import os
import signal
import subprocess
import sys

import pyarrow as pa
import pytest

from data_builders.features import journal as feature_journal
from data_builders.features.store import FeatureReader, FeatureWriter
from tests.helpers.paths import ROOT
from tests.helpers.tiny_store import EXTRACTORS, open_writer, row, written
from third_party_ports.disks import DiskError


def abandoned(path, count):
    """Leaves the store as a killed process does: the file handle is closed, the rows are not flushed."""
    written(path, count).close()


def test_rows_of_an_abandoned_writer_come_back(tmp_path):
    """Six rows in shards of four: two are only in the journal when the writer disappears."""
    abandoned(tmp_path, 6)
    assert len(FeatureReader(tmp_path)) == 4
    with written(tmp_path, 9) as writer:
        assert ("a", "i5") in writer
    assert not (tmp_path / feature_journal.NAME).exists()
    reader = FeatureReader(tmp_path)
    assert sorted(reader.keys()) == [("a", f"i{n}") for n in range(9)]
    assert reader.caption_texts("a", ["i5"]) == ["text 5"]
    features = reader.load("a", ["i4", "i5"])
    assert features.people.tolist() == [0, 1]
    assert (reader.depth("a", ["i5"]) == open_reference(tmp_path, 5)).all()


def open_reference(path, number):
    with open_writer(path / "reference") as writer:
        writer.write("a", "i", 30, 40, **row(number))
    return FeatureReader(path / "reference").depth("a", ["i"])


@pytest.mark.parametrize("cut", [1, 100, 700])
def test_a_row_cut_short_is_left_out_alone(tmp_path, cut):
    abandoned(tmp_path, 3)
    journal = tmp_path / feature_journal.NAME
    journal.write_bytes(journal.read_bytes()[:-cut])
    rows = feature_journal.read(tmp_path)
    assert [r["image_id"] for r in rows] == ["i0", "i1", "i2"][: len(rows)]
    assert len(rows) >= 1
    with written(tmp_path, 3) as writer:
        assert ("a", "i2") in writer
    assert sorted(FeatureReader(tmp_path).keys()) == [("a", f"i{n}") for n in range(3)]


def test_a_journal_left_beside_its_shard_adds_nothing(tmp_path):
    abandoned(tmp_path, 3)
    journal = (tmp_path / feature_journal.NAME).read_bytes()
    with open_writer(tmp_path):
        pass  # the rows are in a shard now
    (tmp_path / feature_journal.NAME).write_bytes(journal)  # as if killed before it was deleted
    with open_writer(tmp_path, journal=True):
        pass
    assert len(FeatureReader(tmp_path)) == 3
    assert not (tmp_path / feature_journal.NAME).exists()


def test_kill_9(tmp_path):
    """A real process, killed at its seventh row."""
    program = """
import os, signal, sys
from pathlib import Path
from tests.helpers.tiny_store import written
writer = written(Path(sys.argv[1]), 7)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    with FeatureWriter(tmp_path, extractors=EXTRACTORS, depth_side=6):
        pass
    assert sorted(FeatureReader(tmp_path).keys()) == [("a", f"i{n}") for n in range(7)]


def test_two_writers_are_refused(tmp_path):
    """A writer that is stopped but not dead still has its rows: a second one would write them twice."""
    first = written(tmp_path, 3)
    with pytest.raises(BlockingIOError, match=str(tmp_path)):
        open_writer(tmp_path)
    first.close()
    with open_writer(tmp_path):
        pass
    assert len(FeatureReader(tmp_path)) == 3


def test_a_store_without_rows_takes_another_header(tmp_path):
    """A first run that failed leaves only a header: the corrected command may use the folder."""
    open_writer(tmp_path, journal=True).close()
    with open_writer(tmp_path, depth_side=3) as writer:
        writer.write("a", "i", 30, 40, **row())
    assert FeatureReader(tmp_path).header["depth_side"] == 3


def test_a_disk_that_takes_no_row_is_told_by_the_journal_s_name(tmp_path, monkeypatch):
    journal = feature_journal.Journal(tmp_path)
    row_schema = pa.schema({"a": pa.int64()})
    journal.append({"a": 1}, row_schema)
    assert journal._open is not None
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), journal._open.fileno())
    with pytest.raises(DiskError, match=r"journal\.arrow: the disk is full"):
        journal.append({"a": 2}, row_schema)
    with pytest.raises(DiskError, match=r"journal\.arrow: the disk is full"):
        journal.close()
