"""Signals: a command ends with one line and the shell's exit status, in two seconds, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

SECONDS = 4.0  # two are promised; the machine of the tests is busy
PROGRAM = '''
import atexit, hashlib, os, subprocess, threading, sys, time
from pathlib import Path
from third_party_ports import stopping
from third_party_ports.cli import command
from third_party_ports.worker_process import map_in_processes

def work(number):
    Path(sys.argv[0]).with_name(f"worker-{os.getpid()}").touch()
    time.sleep(60)

def sleep(): time.sleep(60)

def compiled(): hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)  # no handler runs meanwhile

def deaf():
    while True:
        try: time.sleep(60)
        except BaseException: pass

def processes(): list(map_in_processes(work, range(4), processes=2))

def temporary():
    file = Path(sys.argv[0]).with_name("temporary")
    file.touch()
    try: time.sleep(60)
    finally: file.unlink()

def library():
    """A compiled module whose import takes a while; an exception in it would end in a crash."""
    import _imp
    from importlib.machinery import ExtensionFileLoader, ModuleSpec
    def create(spec):
        print("begins", flush=True)
        for _ in range(30): time.sleep(0.01)
        Path(sys.argv[0]).with_name("loaded").touch()
    _imp.create_dynamic = create
    ExtensionFileLoader("a", "a.so").create_module(ModuleSpec("a", None))
    time.sleep(60)

class Slow:
    def __del__(self):
        end = time.monotonic() + 0.5
        while time.monotonic() < end: pass

def destructor():
    while True: Slow()

def destructor_again():
    """Another signal comes while Python is about to print what the first one raised in the destructor."""
    begin = threading.Timer.start
    def start(timer):
        if timer.function.__name__ != "_exit": os.kill(os.getpid(), stopping.WAKE)
        begin(timer)
    threading.Timer.start = start
    destructor()

def thread():
    child = subprocess.Popen(["sleep", "60"])
    def broken():
        child.wait()
        raise RuntimeError("a worker is gone")
    waits = threading.Thread(target=broken)
    waits.start()
    try: time.sleep(60)
    finally: waits.join()

def over():
    def last():
        Path(sys.argv[0]).with_name("over").touch()
        time.sleep(0.5)
    atexit.register(last)

def step():
    """Saves what it has before it ends."""
    with stopping.deferred() as stop:
        print("begins", flush=True)
        while not stop.asked: time.sleep(0.01)
        Path(sys.argv[0]).with_name("saved").touch()
    raise AssertionError("not reached")

def step_without_end():
    with stopping.deferred():
        print("begins", flush=True)
        compiled()

@command()
def main(argv=None):
    if not sys.argv[1].startswith(("step", "library")): print("begins", flush=True)
    globals()[sys.argv[1]]()
    return 0

@command(resumes=True)
def resumes(argv=None):
    print("begins", flush=True)
    time.sleep(60)

@command(page=True)
def page(argv=None):
    try:
        print("begins", flush=True)
        time.sleep(60)
    except KeyboardInterrupt: return 0  # as the web server does

if __name__ == "__main__":
    if sys.argv[1] == "page": sys.exit(page())
    sys.exit(resumes() if sys.argv[1] == "resumes" else main())
'''


@contextmanager
def started(folder: Path, kind: str, **more) -> Iterator[subprocess.Popen]:
    """The program, in a process group of its own, as soon as it works."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, program, kind], env=os.environ | {"PYTHONPATH": str(ROOT)} | more, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout and process.stdout.readline() == "begins\n"
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen) -> tuple[int, str]:
    """(exit status, what it said), in time."""
    began = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < SECONDS
    return process.returncode, said.strip()


def workers(folder: Path) -> list[int]:
    return [int(file.name.removeprefix("worker-")) for file in folder.glob("worker-*")]


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split()[2] != "Z"


@pytest.mark.parametrize("kind", ["sleep", "compiled", "deaf"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_with_one_line(kind, number, status, tmp_path):
    with started(tmp_path, kind) as process:
        process.send_signal(number)
        assert ended(process) == (status, "stopped")


def test_a_command_that_resumes_says_so(tmp_path):
    with started(tmp_path, "resumes") as process:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, "stopped; run the same command to resume")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_local_page_ends_well_by_a_signal(number, tmp_path):
    with started(tmp_path, "page") as process:
        process.send_signal(number)
        assert ended(process) == (0, "")


def test_the_import_of_a_library_is_not_cut(tmp_path):
    with started(tmp_path, "library") as process:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, "stopped") and (tmp_path / "loaded").exists()


def test_temporary_files_go(tmp_path):
    with started(tmp_path, "temporary") as process:
        wait_for((tmp_path / "temporary").exists)
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 143 and not (tmp_path / "temporary").exists()


def test_a_step_that_must_not_be_cut_is_ended_by_the_second_signal(tmp_path):
    with started(tmp_path, "step") as process:
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, "stopped") and (tmp_path / "saved").exists()
    with started(tmp_path, "step_without_end") as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(1.8)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert ended(process) == (143, "stopped")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_worker_processes_end_with_their_parent_and_say_nothing(number, tmp_path):
    with started(tmp_path, "processes") as process:
        wait_for(lambda: len(workers(tmp_path)) == 2)
        pids = workers(tmp_path)
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)  # as a terminal does
        assert ended(process) in [(128 + number, "stopped"), (-number, "")]
        end = time.monotonic() + SECONDS
        while any(map(lives, pids)):
            assert time.monotonic() < end


def test_a_step_of_a_longer_job_ends_with_it_and_leaves_the_line_to_it(tmp_path):
    """IPA_JAX_PARENT names the process that speaks for both; here it is not the parent, as if that were gone."""
    with started(tmp_path, "sleep", IPA_JAX_PARENT="1") as process:
        assert ended(process) == (143, "")


@pytest.mark.parametrize("kind", ["destructor", "destructor_again"])
def test_a_signal_in_a_destructor_is_not_lost(kind, tmp_path):
    """Python prints what a destructor raises, and goes on."""
    with started(tmp_path, kind) as process:
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, "stopped")


def test_threads_whose_workers_are_killed_say_nothing(tmp_path):
    with started(tmp_path, "thread") as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (143, "stopped")


def test_a_signal_after_the_work_does_not_change_the_status(tmp_path):
    with started(tmp_path, "over") as process:
        wait_for((tmp_path / "over").exists)
        process.send_signal(signal.SIGINT)
        assert ended(process) == (0, "")


IMPORTING = """
import os, runpy, sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == sys.argv[1]: os.kill(os.getpid(), int(sys.argv[2]))
sys.meta_path.insert(0, Interrupts())
runpy.run_module("ipa_jax", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["ipa_jax.program", "argparse", "third_party_ports.stopping"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_program_that_still_loads(module, number):
    line = [sys.executable, "-c", IMPORTING, module, str(int(number))]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (128 + number, "", "stopped")
