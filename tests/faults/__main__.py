"""Disturbs the product on purpose, for as long as you like, and counts what happens.

    python -m tests.faults [--minutes 30] [--seed 0] [--only kills,signals] [--markdown FILE] [--shared DIR]

Each campaign runs in a process of its own, because a fault may end it. The table at the end tells trials, what was
refused by name, what gave the same value, and what must not be: values that are wrong in silence, tracebacks, hangs.
"""

import argparse
import json
import platform
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tests.faults.registry import CAMPAIGNS
from tests.faults.trials import COLUMNS, FAULTS, Counts, Kind, Place, Trial
from tests.helpers import compiling
from tests.helpers.paths import ROOT

assert compiling  # imported for what it sets
TELL = 15.0  # seconds between two lines of progress
LOST = "the process of the campaign ended"


def main(argv: list[str] | None = None) -> int:
    """Runs the campaigns; returns 1 if any of the faults was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="in all (default: 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CAMPAIGNS), help="campaigns, by name")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--one", choices=CAMPAIGNS, help=argparse.SUPPRESS)
    parser.add_argument("--shared", type=Path, help="folder that keeps the world and the model for another call")
    args = parser.parse_args(argv)
    if args.one:
        return _one(args.one, args.shared, args.seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        shared = args.shared or Path(folder)
        _prepare(shared)
        shares = sum(CAMPAIGNS[name].share for name in args.only)
        counts = {}
        for name in args.only:
            seconds = 60 * args.minutes * CAMPAIGNS[name].share / shares
            counts[name] = _campaign(name, shared, seconds, args.seed)
    lines = table(counts)
    print("\n".join(lines), flush=True)
    if args.markdown:
        told = f"{datetime.now(UTC):%d %B %Y}, {platform.platform()}, seed {args.seed}, {args.minutes:g} minutes"
        args.markdown.write_text("\n".join([told, "", *lines]) + "\n")
    return int(any(count.faults for count in counts.values()))


def _prepare(folder: Path) -> None:
    from tests.helpers import shared_world

    folder.mkdir(parents=True, exist_ok=True)
    print("draws a world, builds its data set and trains a model on it", flush=True)
    shared_world.trained(folder)


def _one(name: str, shared: Path, seed: int) -> int:
    """A campaign in this process: a line of JSON per trial, until the process is ended."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory(prefix="trials-", dir=shared) as scratch:
        for trial in CAMPAIGNS[name].run(Place(shared, Path(scratch), random.Random(seed))):
            print(json.dumps(trial), file=stdout, flush=True)
    return 0


def _campaign(name: str, shared: Path, seconds: float, seed: int) -> Counts:
    """Runs a campaign for some seconds. Where it ends its process, it begins again with another seed."""
    counts, began = Counts(), time.monotonic()
    told = began
    while (left := began + seconds - time.monotonic()) > 0:
        for trial in _trials(name, shared, seed, left):
            counts.add(trial)
            if trial.kind in FAULTS:
                print(f"{name}: {trial.kind}: {trial.what}: {trial.said}", flush=True)
            now = time.monotonic()
            if now - told > TELL:
                told, minutes = now, max(0.0, began + seconds - now) / 60
                rate = 60 * counts.trials / (now - began)
                print(f"{name}: {counts.trials} trials, {rate:.0f} per minute, {minutes:.1f} minutes left", flush=True)
        seed += 1000
    return counts


def _trials(name: str, shared: Path, seed: int, seconds: float):
    line = [sys.executable, "-W", "ignore", "-m", "tests.faults", f"--one={name}", f"--shared={shared}",
            f"--seed={seed}"]  # fmt: skip
    end, lines = time.monotonic() + seconds, queue.Queue()
    with (shared / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    reader = threading.Thread(target=_hand_on, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        while time.monotonic() < end:
            try:
                line = lines.get(timeout=CAMPAIGNS[name].silence)
            except queue.Empty:
                yield Trial(name, Kind.HANG, f"no trial in {CAMPAIGNS[name].silence:g} s")
                return
            if line is None:
                yield Trial(name, Kind.TRACEBACK, f"{LOST} with {process.wait()}: {_end(shared / f'{name}.log')}")
                return
            what, kind, said = json.loads(line)
            yield Trial(what, Kind(kind), said)
    finally:
        process.terminate()
        process.wait()


def _hand_on(stdout: TextIO, lines: "queue.Queue[str | None]") -> None:
    for line in stdout:
        lines.put(line)
    lines.put(None)


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:]


def table(counts: dict[str, Counts]) -> list[str]:
    """The lines of the table, in Markdown."""
    rows = [["campaign", "trials", *COLUMNS], ["---", *["---:"] * (1 + len(COLUMNS))]]
    total = Counts()
    for name, count in counts.items():
        rows.append([name, f"{count.trials:,}", *(f"{count.kinds[kind]:,}" for kind in COLUMNS)])
        total.kinds += count.kinds
    rows.append(["**all**", f"{total.trials:,}", *(f"{total.kinds[kind]:,}" for kind in COLUMNS)])
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    sys.exit(main())
