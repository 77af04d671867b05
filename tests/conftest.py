"""Compiled functions are kept between test runs. The commands that tests start inherit all of this."""

import os
from pathlib import Path

os.environ["PJRT_NPROC"] = "16"  # more threads than forced devices: a collective may wait for ever otherwise
worker = os.environ.get("PYTEST_XDIST_WORKER", "main")  # a cache each: jax's cache files are not written atomically
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".jax_cache" / worker)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
