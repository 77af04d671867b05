"""Measures a training step of the whole model: ours and PyTorch's, eager and compiled, in turns.

Run: python -m benchmarks.training_step [--short] [--images 4] [--turns 5] [--sides ours,eager,compile]

PyTorch's side needs the extra `bench` (pip install -e '.[bench]') and, for torch.compile, a C++ compiler. Every side
runs in a process of its own, in float32, on the cores that this process may use; their steps alternate. All of them are
in memory at once: 17 GB at 4 images. The first step counts from the first call to its result, with compilation: ours
with an empty and with a filled compilation cache. Start-up (imports, random parameters) is not in it. Memory is the
peak of the process, with its start and its compilation.

--short takes 2 turns without torch.compile, for `make bench`. `stored` among the sides is ours with train.remat=never.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.timing import machine, matrix_rate, peak_gigabytes, spread

PACKAGES = ("torch", "timm")  # of the reference
NAMES = {
    "ours": "ours",
    "stored": "ours, all of a block stored",
    "eager": "PyTorch, eager",
    "compile": "PyTorch, torch.compile",
}


class Side:
    """A side in its own process. `first`: seconds of the first step; `start`: seconds before it; `info`: its facts."""

    def __init__(self, name: str, images: int, cache: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, name, images, cache), daemon=True)
        self.process.start()
        theirs.close()
        self.start, self.first, self.info = self._answer()

    def step(self) -> tuple[float, float]:
        """Takes one step: its wall and CPU seconds."""
        self.connection.send("step")
        return self._answer()

    def close(self) -> float:
        """Ends the process and returns its peak memory in GB."""
        self.connection.send("end")
        peak = self._answer()
        self.process.join()
        return peak

    def _answer(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError as error:
            raise SystemExit(
                "a side's process ended early: its message stands above; without one, memory ran out"
            ) from error


def _serve(connection: Connection, name: str, images: int, cache: str) -> None:
    """The process of a side: one step for each "step", until "end"."""
    from benchmarks import step_sides

    begun = time.perf_counter()
    if name in ("ours", "stored"):
        take, info = step_sides.ours(images, name == "ours", cache)
    else:
        take, info = step_sides.torchs(images, name == "compile")
    start = time.perf_counter() - begun
    first, _ = _timed(take)
    connection.send((start, first, info))
    while connection.recv() == "step":
        connection.send(_timed(take))
    connection.send(peak_gigabytes())


def _timed(take: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), _cpu()
    loss = take()
    if not loss == loss:
        raise FloatingPointError("the loss is not a number")
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    """CPU seconds of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="2 turns, without torch.compile")
    parser.add_argument("--images", type=int, default=4, help="a step, an even number")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--sides", default="ours,eager,compile", help=f"of {', '.join(NAMES)}")
    args = parser.parse_args()
    names, turns = args.sides.split(","), args.turns
    if args.short:
        names, turns = [name for name in names if name != "compile"], 2
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no side is called {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    if args.images < 2 or args.images % 2 or turns < 1:
        parser.error("--images must be even and at least 2, and --turns at least 1")
    if not all(map(find_spec, PACKAGES)):
        print(
            "torch or timm is not installed: only ours is measured. For both: pip install -e '.[bench]'",
            file=sys.stderr,
        )
        names = [name for name in names if name in ("ours", "stored")]
    if os.getloadavg()[0] > 0.5:
        print(f"Load average {os.getloadavg()[0]:.1f}: wall seconds will not mean much.", file=sys.stderr)
    _measure(names, args.images, turns)


def _measure(names: list[str], images: int, turns: int) -> None:
    """Starts the sides, lets them take turns, and prints the table."""
    sides, cold = {}, {}
    with tempfile.TemporaryDirectory() as cache:
        for name in names:
            print(f"{NAMES[name]}: starts and takes its first step", file=sys.stderr)
            side = Side(name, images, cache)
            if name in ("ours", "stored"):
                cold[name] = (side.first, side.close())
                side = Side(name, images, cache)  # now with what was compiled
            sides[name] = side
        seconds = {name: [] for name in sides}
        for turn in range(turns + 1):
            for name, side in sides.items():
                taken = side.step()
                print(f"turn {turn} of {turns}, {NAMES[name]}: {taken[0]:.1f} s", file=sys.stderr)
                seconds[name].append(taken)
    peaks = {name: side.close() for name, side in sides.items()}
    print(f"{machine()}\n\n| {images} images | step, s | step, CPU s | start, s | first step, s | peak, GB |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, side in sides.items():
        walls, cpus = zip(*seconds[name][1:], strict=True)
        first, peak = f"{side.first:.0f}", f"{peaks[name]:.1f}"
        if name in cold:
            first, peak = f"{cold[name][0]:.0f}, with the cache {first}", f"{cold[name][1]:.1f}, with the cache {peak}"
        print(f"| {NAMES[name]} | {spread(walls)} | {spread(cpus)} | {side.start:.0f} | {first} | {peak} |")
    _print_bound(images)
    for name in ("eager", "compile"):
        for kind, place in (("wall", 0), ("CPU", 1)):
            if {"ours", name} <= set(sides):
                turns_of = zip(seconds[name][1:], seconds["ours"][1:], strict=True)
                ratio = statistics.median(theirs[place] / own[place] for theirs, own in turns_of)
                print(f"{NAMES[name]}, {kind} seconds over ours: {ratio:.2f}")


def _print_bound(images: int) -> None:
    from benchmarks import step_sides

    work, rate = step_sides.products(images), matrix_rate("float32", 2048)
    print(f"| bound: {work / 1e9:.0f} GFLOP of products at {rate / 1e9:.0f} GFLOP per CPU second "
          f"| {work / rate / len(os.sched_getaffinity(0)):.1f} | {work / rate:.1f} | | | |\n")  # fmt: skip


if __name__ == "__main__":
    main()
