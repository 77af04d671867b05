"""Fuzzing of the readers: seeded changes of valid files and flags, and what each reader made of them.

    python -m tests.helpers.fuzz [--trials=10000] [--seed=0] [--only=NAME]

Prints a table of trials, values read wrong, tracebacks and hangs. A crash of the process counts as a traceback.
"""

import argparse
import collections
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.helpers.fuzz_targets import TARGETS
from tests.helpers.paths import ROOT

SECONDS = 5  # of the processor; a trial that takes longer hangs
NUMBERS = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"-1",
    b"1e999",
    b"nan",
]
PARTS = [
    b'"',
    b",",
    b"\n",
    b"\r\n",
    b"\t",
    b";",
    b"[",
    b"{",
    b"../",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"'",
    b"\\",
    b" ",
    b"(",
    b"0x",
]


class Hang(BaseException):
    """A trial took too long. No reader may catch it."""


def change(content: bytes, rng: random.Random) -> bytes:
    """One to eight small changes: bits, bytes, numbers, parts moved, doubled, left out or cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        place, length = rng.randrange(len(changed) + 1), rng.choice((1, 1, 2, 4, 8, 64))
        kind = rng.randrange(8)
        if kind <= 1 and changed:
            changed[min(place, len(changed) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            number = rng.choice(NUMBERS)
            changed[place : place + len(number)] = number
        elif kind == 4:
            del changed[place : place + length]
        elif kind == 5:
            changed[place:place] = rng.choice(PARTS)
        elif kind == 6:
            start = rng.randrange(len(changed) + 1)
            changed[place:place] = changed[start : start + length]
        elif rng.random() < 0.2:
            del changed[place:]
    return bytes(changed)


class Outcome(NamedTuple):
    """What happened: counts, and an example of each kind of fault."""

    trials: int
    refused: int
    wrong: int
    tracebacks: int
    hangs: int
    examples: dict[str, str]


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def fuzz(name: str, trials: int, seed: int, folder: Path) -> Outcome:
    """Fuzzes one target in a folder, which is emptied before each trial."""
    target, count = TARGETS[name], collections.Counter()
    examples: dict[str, str] = {}
    made = folder / "made"
    made.mkdir(parents=True)
    changeable = [path.relative_to(made) for path in target.make(made)]
    contents = {path: (made / path).read_bytes() for path in changeable}
    whole = target.read(made)
    for trial in range(seed, seed + trials):
        rng = random.Random(trial)
        path = rng.choice(changeable)
        (made / path).write_bytes(change(contents[path], rng))
        kind = ""
        try:
            with _limited():
                found = target.read(made)
            if target.compare and not _same(found, whole):
                kind = "wrong"
        except Hang:
            kind = "hang"
        except target.errors:
            count["refused"] += 1
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"traceback {type(error).__name__} {Path(place.filename).name}:{place.lineno}"
        if kind:
            count[kind.split()[0]] += 1
            examples.setdefault(kind, f"seed {trial}, {path}")
        for known in changeable if kind or target.writes else [path]:
            (made / known).write_bytes(contents[known])
        if target.writes:
            for extra in made.glob("*-*"):  # SQLite's own files
                extra.unlink()
    return Outcome(trials, count["refused"], count["wrong"], count["traceback"], count["hang"], examples)


def _same(found: dict[str, np.ndarray], whole: dict[str, np.ndarray]) -> bool:
    """Whether every tensor of a known name is the original one. Missing ones are noticed by whoever needs them."""
    return all(
        np.array_equal(found[name], whole[name], equal_nan=found[name].dtype.kind == "f")
        for name in found.keys() & whole.keys()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, help="one reader, in this process; prints JSON")
    given = parser.parse_args()
    if given.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(fuzz(given.only, given.trials, given.seed, Path(folder))._asdict()))
        return 0
    faults = 0
    print("| reader | trials | refused | wrong | tracebacks | hangs |\n| --- | --- | --- | --- | --- | --- |")
    for name in TARGETS:
        trials = given.trials // len(TARGETS)
        line = [
            sys.executable,
            "-m",
            "tests.helpers.fuzz",
            f"--only={name}",
            f"--trials={trials}",
            f"--seed={given.seed}",
        ]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            outcome = Outcome(trials, 0, 0, 1, 0, {f"the process ended with {done.returncode}": done.stderr[-500:]})
        else:
            outcome = Outcome(**json.loads(done.stdout.splitlines()[-1]))
        print(f"| {name} | {' | '.join(map(str, outcome[:5]))} |", flush=True)
        for kind, example in outcome.examples.items():
            print(f"{name}: {kind}: {example}", file=sys.stderr, flush=True)
        faults += outcome.wrong + outcome.tracebacks + outcome.hangs
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
