"""Freed memory stays with the process, and the first step takes the state's memory over."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ipa_jax.training.devices import AXIS, to_devices
from tests.helpers.paths import ROOT

PROGRAM = """
import resource, sys
import numpy as np
from ipa_jax.training.host_memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(2**25)  # 256 MB, freed at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**25)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_freed_memory_is_used_again():
    def faults(how: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    kept, returned = faults("keep"), faults("return")
    assert kept < returned / 10


def test_a_step_takes_over_the_memory_of_the_placed_state():
    host = np.asarray(jnp.ones((256, 256)))
    placed = to_devices(host, jax.devices()[:1])
    place = placed.addressable_data(0).unsafe_buffer_pointer()
    moved = jax.pmap(lambda x: x + 1, AXIS, donate_argnums=0, devices=jax.devices()[:1])(placed)
    assert moved.addressable_data(0).unsafe_buffer_pointer() == place
    assert (host == 1).all()
