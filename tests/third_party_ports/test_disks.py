"""What a disk does to a writer becomes one line: the file, what is needed, and what to do."""

import errno
import threading
import time
from contextlib import suppress

import polars as pl
import pytest

from third_party_ports import disks, files
from third_party_ports.cli import command


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ["full", "MB free", "free some space"]),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ["quota", "delete files"]),
        (OSError(errno.EFBIG, "File too large"), ["ulimit -f"]),
        (OSError(errno.EROFS, "Read-only file system"), ["read-only", "make it writable"]),
        (OSError(errno.ENOTDIR, "Not a directory"), ["a file is in its place", "name another"]),
        (OSError(errno.ENAMETOOLONG, "File name too long"), ["give a shorter one"]),
        (ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device"), ["full"]),  # tensorstore's
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), ["full"]),
        (RuntimeError("[Errno 30] Read-only file system: '/x'"), ["read-only"]),
    ],
)
def test_errors_of_any_class_become_a_line(error, words, tmp_path):
    with pytest.raises(disks.DiskError) as told, disks.writing(tmp_path / "x"):
        raise error
    line = str(told.value)
    assert line.startswith(f"{tmp_path}/x: ") and all(word in line for word in words) and "\n" not in line


def test_a_folder_goes_although_a_thread_still_writes_into_it(tmp_path):
    folder, until = tmp_path / "export.tmp", time.monotonic() + 0.3

    def write():
        while time.monotonic() < until:
            with suppress(OSError):
                (folder / "params").mkdir(parents=True, exist_ok=True)

    folder.mkdir()
    writer = threading.Thread(target=write)
    writer.start()
    while folder.exists() or writer.is_alive():
        disks.remove_folder(folder)
    writer.join()
    assert not folder.exists()


def test_a_cause_is_looked_at(tmp_path):
    with pytest.raises(disks.DiskError), disks.writing(tmp_path):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the write failed") from error


def test_a_right_that_is_missing_to_read_names_the_file_that_is_read(tmp_path):
    with pytest.raises(disks.DiskError, match=r"^/photos/a.jpg: permission denied"), disks.writing(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/photos/a.jpg")


def test_other_errors_pass_and_everything_unfinished_is_cleaned_up(tmp_path):
    cleaned = []
    with pytest.raises(KeyError), disks.writing(tmp_path, lambda: cleaned.append(1)):
        raise KeyError("a")
    assert cleaned and disks.explain(FileNotFoundError(errno.ENOENT, "No such file", "a")) is None


def test_a_file_on_a_full_disk_is_named_and_its_temporary_is_gone(tmp_path):
    (tmp_path / "a.json").write_text("old")
    told = pytest.raises(disks.DiskError, match=rf"^{tmp_path}/a.json: the disk is full")
    with told, files.replacing(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.json", "old")]


def test_a_command_ends_with_the_line(capsys):
    @command()
    def main(argv=None):
        raise OSError(errno.ENOSPC, "No space left on device", "out/x")

    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: out/x: the disk is full")
