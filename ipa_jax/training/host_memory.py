"""How this process treats memory that it has freed, where a step is computed on the CPU."""

import ctypes
import sys
from importlib.util import find_spec

ARENAS, MMAPS, TRIM = -8, -4, -1  # M_ARENA_MAX, M_MMAP_MAX and M_TRIM_THRESHOLD of glibc's malloc.h


def keep_freed_memory() -> None:
    """From here on freed memory stays with the process and serves the next step. Call it before jax starts its threads.

    glibc returns each large buffer to the system, which clears it again page by page at the next step: 3 of 16 CPU
    seconds of a full-size step. Nothing changes without glibc, or where jax has a GPU.
    """
    if not sys.platform.startswith("linux") or any(find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)):
        return
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for name, value in ((ARENAS, 1), (MMAPS, 0), (TRIM, 2**31 - 1)):
            mallopt(name, value)
