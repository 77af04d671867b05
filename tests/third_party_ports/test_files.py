"""Tests of writing whole files and of locking folders."""

import os
import signal
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from third_party_ports import files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "page.html"
    files.write_text(file, "one\nünï")
    assert file.read_bytes() == "one\nünï".encode()
    with pytest.raises(ZeroDivisionError), files.replacing(file) as temporary:
        temporary.write_text("half of")
        assert temporary.suffix == ".html" and temporary.parent == tmp_path
        raise ZeroDivisionError
    assert file.read_text() == "one\nünï" and os.listdir(tmp_path) == ["page.html"]


def test_what_a_killed_process_left_goes_with_the_next_write_of_another(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path; from third_party_ports import files\n"
        "with files.replacing(Path(sys.argv[1])) as temporary: temporary.touch(); "
        "os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2:] else None"
    )

    def write(*more):
        return subprocess.run([sys.executable, "-c", program, tmp_path / "page.html", *more], cwd=ROOT).returncode

    kept = tmp_path / ".page.0000-1-abcdefgh.tmp.html"  # of another machine
    kept.touch()
    with files.replacing(tmp_path / "other.html") as living:
        living.touch()
        assert write("killed") == -signal.SIGKILL and len(os.listdir(tmp_path)) == 3
        assert write() == 0 and set(os.listdir(tmp_path)) == {kept.name, living.name, "page.html"}


def test_a_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        files.write_text(tmp_path / "nowhere/x", "")


def test_a_lock_keeps_others_out_and_ends_with_its_process(tmp_path):
    program = f"from third_party_ports.files import lock\nwith lock('{tmp_path}'): print(1, flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    who = rf"{tmp_path}: another process \(process id {holder.pid}\)"
    with pytest.raises(BlockingIOError, match=who), files.lock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with files.lock(tmp_path), pytest.raises(BlockingIOError), files.lock(tmp_path):
        pass
    with files.lock(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
