"""Trees between the host and the devices of a pmapped step."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"  # of every pmapped step


def ahead() -> int:
    """How many steps may wait on the devices behind the one that runs.

    Two where they are GPUs: their batches are there before the step begins, and the host never waits for a step that
    has just started. None on CPUs, where devices share cores: queued all-reduces deadlock on fewer cores than devices.
    """
    return 0 if jax.default_backend() == "cpu" else 2


def to_devices(tree: Any, devices: Sequence[jax.Device]) -> Any:  # pyright: ignore[reportInvalidTypeForm]
    """A copy of each leaf on each device [devices, ...], laid out as a step pmapped over AXIS gives its results.

    flax's replicate names the mesh differently, which makes pmap trace its step a second time. Each process gives the
    shards of its own devices. On the CPU jax would share numpy's memory, which a step cannot take over for its results.
    """
    own = jnp.array if jax.default_backend() == "cpu" else np.asarray
    sharding = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))

    def place(leaf):
        leaf = np.asarray(leaf)[None]
        return jax.make_array_from_callback((len(devices), *leaf.shape[1:]), sharding, lambda _: own(leaf))

    return jax.tree.map(place, tree)


def to_host(tree: Any) -> Any:
    """A replicated tree as numpy arrays, read from this process's first device."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_data(0))[0], tree)
