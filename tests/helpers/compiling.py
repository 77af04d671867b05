"""How tests compile: quickly, and what is compiled is kept for all workers, their commands and later runs."""

import os
from pathlib import Path

os.environ["PJRT_NPROC"] = "16"  # more threads than forced devices: a collective may wait for ever otherwise
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[2] / ".jax_cache")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# Most of the time is compilation, as little is computed: the older emitters of XLA take half as long.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
