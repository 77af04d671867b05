"""Campaign "disks": a small tmpfs, a read-only one and a limit on the size of files: one line, nothing half-written.

A tmpfs is mounted in a namespace of the trial's own, where the system permits that; it goes with the trial's processes.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.faults.jobs import OUT, Job, contents, over_jobs
from tests.faults.kills import resumed
from tests.faults.processes import Running, end_all, error_lines, prepared, start, temporaries, undisturbed
from tests.faults.trials import Kind, Place, Trial

BLOCK, PAGE = 1024, 4096  # bytes: of limits, and what tmpfs gives to files
# The disk's own content is copied out before the namespace ends.
_ON_TMPFS = """
set -e
cp -a out before
mount -t tmpfs -o size={size}k none out
cp -a before/. out/ 2>/dev/null || true
{remount}
set +e
"$@"
status=$?
rm -rf before
cp -a out after
exit $status
"""


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """One disk per trial, of a kind that is drawn, over each job in turn (or those that are named)."""
    yield from over_jobs(place, names, _trial)


@cache
def can_mount() -> bool:
    """Whether this user may mount a tmpfs in a namespace."""
    if shutil.which("unshare") is None:
        return False
    line = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
    return subprocess.run(line, capture_output=True).returncode == 0


def _trial(name: str, job: Job, place: Place) -> Trial:
    wanted, _ = undisturbed(name, job, place.shared)
    sizes = _sizes(wanted)
    kind, share = place.rng.choice(("limit", "full", "read-only")), place.rng.uniform(0, 1.1)
    again, filled = place.rng.random() < 1 / 4, place.rng.random() < 1 / 3
    folder = prepared(job, place.scratch / f"disk-{name}")
    if filled and not job.holds:  # what an earlier call wrote
        shutil.copytree(wanted, folder / OUT, dirs_exist_ok=True)
    if kind == "limit":
        size = max(1, int(max(sizes) * share) // BLOCK)  # 0: what is said could not be written either
        what = f"{name}, no file above {size} KiB"
        code = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
        before = [sys.executable, "-c", f"{code}os.execv(sys.argv[2], sys.argv[2:])", str(size * BLOCK)]
    elif not can_mount():
        return Trial(f"{name}, {kind} disk: no tmpfs can be mounted", Kind.SKIPPED)
    else:
        kept = sum(_sizes(folder / OUT))  # has to fit
        size = (kept + int((sum(sizes) - kept) * share)) // BLOCK + 4
        what = f"{name}, disk of {size} KiB" if kind == "full" else f"{name}, read-only disk"
        remount = "mount -o remount,ro none out" if kind == "read-only" else ""
        script = _ON_TMPFS.format(size=size if kind == "full" else 2 * sum(sizes) // BLOCK + 4096, remount=remount)
        before = ["unshare", "-rm", "sh", "-c", script, "sh"]
    held = contents(folder / OUT)
    running = start(job, folder, before=before)
    if not running.ended():
        end_all(running)
        return Trial(what, Kind.HANG, running.said[-500:])
    if (folder / "after").exists():
        shutil.rmtree(folder / OUT, ignore_errors=True)
        (folder / "after").rename(folder / OUT)
    trial = _judge(what, job, running, wanted, held)
    if trial.kind == Kind.REFUSED and again:
        return resumed(f"{what}, then a larger one", job, start(job, folder, "again"), wanted)
    return trial


def _sizes(folder: Path) -> list[int]:
    """What the files of a folder take on a disk, in bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [-(-path.stat().st_size // PAGE) * PAGE for path in files]


def _judge(what: str, job: Job, running: Running, wanted: Path, held: dict[str, bytes]) -> Trial:
    said, out = running.said, running.folder / OUT
    if running.left(2.0):
        end_all(running)
        return Trial(what, Kind.HANG, "processes stay")
    if running.status == 0:
        different = job.differences(wanted, out)
        return Trial(what, Kind.SILENT if different else Kind.UNCHANGED, str(different[:8]))
    lines = error_lines(said)
    named = lines and (OUT in lines[0] or str(running.folder) in lines[0])
    if running.status not in (1, 2) or len(lines) != 1 or "Traceback" in said or not named:
        return Trial(what, Kind.TRACEBACK, f"status {running.status}: {said[-1500:]}")
    if left := temporaries(out):
        return Trial(what, Kind.SILENT, f"left behind: {left[:5]}; {lines[0]}")
    now = contents(out)
    if lost := [name for name in held if now.get(name) not in (held[name], contents(wanted).get(name))]:
        return Trial(what, Kind.SILENT, f"what was there is damaged: {lost[:5]}")
    return Trial(what, Kind.REFUSED, lines[0])
