"""What benchmarks share: times in turns, medians with spread, the machine and the memory of the process."""

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


def in_turns(
    work: Mapping[str, Callable[[int], Any]], turns: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each work in each turn: A B A B. A first turn, which warms up, does not count.

    Args:
      work: functions of the turn's number.
      turns: that count.
      clock: CPU seconds of this process, or time.perf_counter.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, function in work.items():
            begun = clock()
            function(turn)
            seconds[name].append(clock() - begun)
    return {name: values[1:] for name, values in seconds.items()}


class Ran(NamedTuple):
    """A process: its exit status, seconds, and CPU seconds with those of its children."""

    status: int
    seconds: float
    cpu: float


def program(*arguments: str, **how: Any) -> Ran:
    """Runs `python ARGUMENTS` in the repository's root and waits for it; `how` is subprocess.run's."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    cpu, wall = used(), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, **how)
    return Ran(done.returncode, time.perf_counter() - wall, used() - cpu)


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """Median (lowest to highest), each times `scale`."""
    scaled = [scale * value for value in values]
    return f"{statistics.median(scaled):.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def machine() -> str:
    """The processor, its cores that this process may use, and versions."""
    import numpy as np

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu}, {cores} cores; Python {platform.python_version()}, numpy {np.__version__}"


def peak_gigabytes() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def matrix_rate(dtype: str, side: int = 1024) -> float:
    """Floating point operations per CPU second of a large matrix product in numpy."""
    import numpy as np

    a = np.random.default_rng(0).standard_normal((side, side)).astype(dtype)
    times = []
    for _ in range(5):
        begun = time.process_time()
        a @ a.T
        times.append(time.process_time() - begun)
    return 2 * side**3 / min(times)
