"""Campaign "signals": Ctrl-C and SIGTERM at random moments: one line, status 130 or 143, in time, nothing left."""

import os
import signal
import time
from collections.abc import Iterator

from tests.faults.jobs import Job, over_jobs
from tests.faults.kills import resumed
from tests.faults.processes import Running, end_all, handles_signals, prepared, start, temporaries, undisturbed
from tests.faults.trials import Kind, Place, Trial


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """One signal per trial, over each job in turn (or those that are named); one in three is started again."""
    yield from over_jobs(place, names, _trial)


def _trial(name: str, job: Job, place: Place) -> Trial:
    wanted, seconds = undisturbed(name, job, place.shared)
    number = place.rng.choice((signal.SIGINT, signal.SIGTERM))
    to_all = place.rng.random() < 0.5  # as a terminal sends Ctrl-C
    moment, again = place.rng.uniform(0, seconds), place.rng.random() < 1 / 3
    what = f"{name}, {number.name} {'to all its processes ' if to_all else ''}after {moment:.2f} s"
    running = start(job, prepared(job, place.scratch / f"signal-{name}"))
    if handles_signals(running):
        time.sleep(moment)
    if running.process.poll() is not None:
        return resumed(f"{what}: it was over", job, running, wanted)
    (os.killpg if to_all else os.kill)(running.process.pid, number)
    sent = time.monotonic()
    in_time = running.ended(job.patience + 1)
    late = time.monotonic() - sent
    trial = _judge(what, job, running, number, in_time and late <= job.patience, late)
    if trial.kind == Kind.REFUSED and (again or temporaries(running.folder)):  # left where compiled code was cut
        return resumed(f"{what}, started again", job, start(job, running.folder, "again"), wanted)
    return trial


def _judge(what: str, job: Job, running: Running, number: int, in_time: bool, late: float) -> Trial:
    said = running.said
    if not in_time:
        end_all(running)
        return Trial(what, Kind.HANG, f"{late:.1f} s: {said[-500:]}")
    if left := running.left(2.0):
        end_all(running)
        return Trial(what, Kind.HANG, f"processes stay: {left}")
    if running.status == 0:
        return Trial(f"{what}: it was over", Kind.UNCHANGED)
    lines = [line for line in said.splitlines() if line.startswith("stopped")]
    if running.status != 128 + number or len(lines) != 1 or "Traceback" in said or "Error" in said:
        return Trial(what, Kind.TRACEBACK, f"status {running.status}: {said[-1500:]}")
    return Trial(what, Kind.REFUSED)
