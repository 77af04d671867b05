"""Jobs in processes of their own: started, disturbed, waited for, and their children counted."""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.jobs import OUT, Job
from tests.helpers.commands import command, environment
from tests.helpers.paths import ROOT

MARK = "IPA_JAX_TRIAL"  # environment variable that all processes of a trial inherit
LONGEST = 240.0  # seconds that no undisturbed job needs
TEMPORARY = ("*.tmp*", "*.tmp", "*incomplete*", "*.orbax-checkpoint-tmp*", ".staging*")  # names of unfinished work


@dataclass
class Running:
    """A job that runs: in a folder, with what it says in files beside it."""

    process: subprocess.Popen
    folder: Path
    name: str
    mark: str
    began: float = field(default_factory=time.monotonic)

    def ended(self, seconds: float = LONGEST) -> bool:
        """Waits; whether it ended in time. It is killed otherwise."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def status(self) -> int:
        return self.process.returncode

    @property
    def said(self) -> str:
        """What it wrote on standard error; progress bars end with their last state."""
        text = (self.folder / f"{self.name}.err").read_text(errors="replace")
        return "\n".join(line.rpartition("\r")[2] for line in text.splitlines())

    def left(self, seconds: float = 3.0) -> list[str]:
        """Processes of the trial that still live after `seconds`."""
        end = time.monotonic() + seconds
        while (found := _alive(self.mark)) and time.monotonic() < end:
            time.sleep(0.05)
        return found


def start(job: Job, folder: Path, name: str = "job", before: Sequence[str] = ()) -> Running:
    """Starts a job.

    Args:
      job: what to run.
      folder: to run in; `job.prepare` has been called.
      name: of the files of what it says.
      before: words before the command, which sets something up and runs it.
    """
    mark = uuid.uuid4().hex
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        process = subprocess.Popen(
            [*before, *command(*job.line)], cwd=folder, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
            env=environment(PYTHONPATH=str(ROOT), **{MARK: mark}, **job.more), start_new_session=True,
        )  # fmt: skip
    return Running(process, folder, name, mark)


def handles_signals(running: Running) -> bool:
    """Waits until the process handles SIGTERM, as soon as its first lines have run; False if it ended before."""
    while running.process.poll() is None:
        for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:") and int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
                return True
        time.sleep(0.01)
    return False


def prepared(job: Job, folder: Path) -> Path:
    """A new folder for a job, with what it needs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job.prepare(folder)
    (folder / OUT).mkdir(exist_ok=True)
    return folder


def undisturbed(name: str, job: Job, shared: Path) -> tuple[Path, float]:
    """(the output of a job, the seconds that it took), once per folder `shared`. Raises RuntimeError if it fails."""
    folder = shared / f"undisturbed/{name}"
    seconds = folder.with_name(f"{name}.seconds")
    if not seconds.exists():
        running = start(job, prepared(job, folder))
        if not running.ended() or running.status:
            raise RuntimeError(f"{name} fails undisturbed: {running.said}")
        seconds.write_text(str(time.monotonic() - running.began))
    return folder / OUT, float(seconds.read_text())


def temporaries(folder: Path) -> list[str]:
    """Names of unfinished work in a folder."""
    return sorted({str(path.relative_to(folder)) for pattern in TEMPORARY for path in folder.rglob(pattern)})


def error_lines(said: str) -> list[str]:
    """The lines of an error message, without warnings and progress bars."""
    return [line for line in said.splitlines() if line.startswith("error: ")]


def _alive(mark: str) -> list[str]:
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[-120:])
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def end_all(running: Running) -> None:
    """Kills what a trial left, by number."""
    wanted = f"{MARK}={running.mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                continue
