"""Tests of a folder's checksums."""

import pickle
import shutil

import pytest

from tests.helpers.damage import flips, require_noticed
from third_party_ports import checksums


class BrokenError(ValueError):
    pass


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "made"
    (folder / "in").mkdir(parents=True)
    (folder / "a.txt").write_text("one, two, three")
    (folder / "in/b.bin").write_bytes(bytes(range(256)) * 9)
    (folder / ".lock").touch()
    checksums.write(folder)
    return folder


def opened(folder):
    return checksums.read(folder, BrokenError, "make it again")


def test_every_visible_file_is_listed_and_checked(folder):
    found = pickle.loads(pickle.dumps(opened(folder)))  # noqa: S301 - our own, as for a reading process
    assert found.files.keys() == {"a.txt", "in/b.bin"}
    found.check(found.files)
    for name in found.files:
        file = folder / name
        require_noticed(file, lambda name=name: found.read(name), BrokenError, lambda a, b: a == b)
        for flip in flips(file, 3):
            with pytest.raises(BrokenError, match=file.name):
                found.check(found.files)
                pytest.fail(flip)


def test_damaged_checksums_are_noticed(folder):
    def load():
        return opened(folder).files

    require_noticed(folder / "checksums.json", load, BrokenError, lambda a, b: a == b)


def test_a_missing_and_a_foreign_file_are_named(folder):
    found = opened(folder)
    (folder / "a.txt").unlink()
    (folder / "c.txt").touch()
    assert found.has("a.txt") and not found.has("c.txt")
    for name in ("a.txt", "c.txt"):
        for load in (found.read, lambda name: found.check([name])):
            with pytest.raises(BrokenError, match=name):
                load(name)


def test_a_folder_can_be_moved_and_linked(folder, tmp_path):
    shutil.move(folder, tmp_path / "moved")
    (tmp_path / "link").symlink_to(tmp_path / "moved")
    for place in (tmp_path / "moved", tmp_path / "link"):
        assert opened(place).read("a.txt") == b"one, two, three"


def test_a_folder_of_before_is_read_with_one_warning(folder, capsys):
    (folder / "checksums.json").unlink()
    assert opened(folder).files is None
    found = opened(folder)
    found.check(["a.txt"])
    assert found.read("a.txt") == b"one, two, three" and found.has("a.txt") and not found.has("c.txt")
    assert capsys.readouterr().err.count("warning: ") == 1
    with pytest.raises(BrokenError, match=r"none\.txt is missing"):
        found.read("none.txt")
