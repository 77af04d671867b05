"""A reading process ends when the process that it reads for is killed."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from third_party_ports import worker_process

PROGRAM = """
import multiprocessing, os, signal, sys
from third_party_ports.worker_process import end_with_parent

def read(pipe):
    end_with_parent()
    pipe.send(os.getpid())
    signal.pause()

if __name__ == "__main__":
    end_with_parent()  # no reading process: nothing to watch
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("spawn").Process(target=read, args=(theirs,)).start()
    print(ours.recv(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_reading_process_ends_with_its_parent(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    started = subprocess.run(
        [sys.executable, program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )  # waits for the end of its output, which the reading process holds open too
    assert started.returncode == -signal.SIGKILL
    pid = int(started.stdout)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]


@pytest.mark.parametrize(("limit", "processes"), [(-1, 3), (1 << 40, 3), (4096, 0)])
def test_threads_read_where_files_and_so_shared_memory_are_limited(limit, processes, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert resource.RLIM_INFINITY == -1 and worker_process.within_limits(3) == processes
    assert worker_process.within_limits(0) == 0
