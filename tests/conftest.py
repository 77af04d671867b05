"""Compiled functions are kept: for all workers, for the commands that they start, and for later runs."""

import os
from pathlib import Path

os.environ["PJRT_NPROC"] = "16"  # more threads than forced devices: a collective may wait for ever otherwise
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".jax_cache")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # most of the time is compilation: little is computed


def pytest_configure(config):
    # jax writes entries in place. Who reads one that is half-written, or left by a killed process, compiles again.
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache entry")
