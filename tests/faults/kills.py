"""Campaign "kills": SIGKILL at random moments, the same command again; it ends equal to the undisturbed run."""

import time
from collections.abc import Iterator

from tests.faults.jobs import Job, over_jobs
from tests.faults.processes import Running, end_all, prepared, start, temporaries, undisturbed
from tests.faults.trials import Kind, Place, Trial


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """One or two kills per trial, over each job in turn (or those that are named)."""
    yield from over_jobs(place, names, _trial)


def _trial(name: str, job: Job, place: Place) -> Trial:
    wanted, seconds = undisturbed(name, job, place.shared)
    folder = prepared(job, place.scratch / f"killed-{name}")
    moments = [place.rng.uniform(0, seconds) for _ in range(place.rng.choice((1, 1, 2)))]
    what = f"{name}, killed after {', '.join(f'{moment:.2f}' for moment in moments)} s"
    for moment in moments:
        running = start(job, folder)
        time.sleep(moment)
        running.kill()
        if left := running.left():
            end_all(running)
            return Trial(what, Kind.HANG, f"processes stay: {left}")
    return resumed(what, job, start(job, folder), wanted)


def resumed(what: str, job: Job, running: Running, wanted) -> Trial:
    """The trial whose job was started again and has to end like the undisturbed one, whose output is `wanted`."""
    if not running.ended():
        end_all(running)
        return Trial(what, Kind.HANG, running.said[-500:])
    if running.status:
        return Trial(what, Kind.TRACEBACK, f"started again, it ends with {running.status}: {running.said[-1500:]}")
    if different := job.differences(wanted, running.folder / wanted.name):
        return Trial(what, Kind.SILENT, f"differs: {different[:8]}")
    if left := temporaries(running.folder / wanted.name):
        return Trial(what, Kind.SILENT, f"left behind: {left[:5]}")
    return Trial(what, Kind.UNCHANGED)
