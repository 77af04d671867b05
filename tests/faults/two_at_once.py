"""Campaign "two at once": the same command twice in one folder: one works, the other says who does, nothing is lost."""

import time
from collections.abc import Iterator

from tests.faults.jobs import Job, over_jobs
from tests.faults.processes import end_all, error_lines, prepared, start, undisturbed
from tests.faults.trials import Kind, Place, Trial


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """Two processes per trial, the second one a random moment later, over each job that holds its folder."""
    yield from over_jobs(place, names, _trial, wanted=lambda job: job.holds)


def _trial(name: str, job: Job, place: Place) -> Trial:
    wanted, seconds = undisturbed(name, job, place.shared)
    folder = prepared(job, place.scratch / f"two-{name}")
    later = place.rng.choice((0.0, place.rng.uniform(0, 0.8 * seconds)))
    what = f"{name}, the second {later:.2f} s later"
    both = [start(job, folder, "first")]
    time.sleep(later)
    both.append(start(job, folder, "second"))
    if not all([running.ended() for running in both]):
        for running in both:
            end_all(running)
        return Trial(what, Kind.HANG, "; ".join(running.said[-300:] for running in both))
    statuses = sorted(running.status for running in both)
    losers = [running for running in both if running.status]
    for loser in losers:
        lines = error_lines(loser.said)
        winner = next((running for running in both if running is not loser), loser)
        if loser.status != 1 or len(lines) != 1 or "Traceback" in loser.said:
            return Trial(what, Kind.TRACEBACK, f"statuses {statuses}: {loser.said[-1500:]}")
        if str(winner.process.pid) not in lines[0] and "exist" not in lines[0]:
            return Trial(what, Kind.TRACEBACK, f"the holder is not named: {lines[0]}")
    if len(losers) == 2:
        return Trial(what, Kind.SILENT, f"neither works: {[running.said[-300:] for running in both]}")
    if different := job.differences(wanted, folder / wanted.name):
        return Trial(what, Kind.SILENT, f"statuses {statuses}, differs: {different[:8]}")
    return Trial(what, Kind.REFUSED if losers else Kind.UNCHANGED)
