"""A frozen network on all local devices, with the official weights from a converted file or with random ones."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data_builders.features.weight_files import weights_path
from third_party_ports.checkpoints import weights, zoo

RANDOM_GAIN = 0.7  # of random kernels: small enough that nothing overflows, large enough that a detector finds boxes


def load(
    name: str, fields: Mapping[str, Any], folder: str, shape: tuple[int, ...], dtype: str, random: bool
) -> tuple[Any, Any]:
    """Loads a network.

    Args:
      name: a row of third_party_ports.checkpoints.zoo.
      fields: sizes other than the official ones; they need `random`.
      folder: where the converted files are.
      shape: of an example input, float32.
      dtype: of the computation, "float32" or "bfloat16".
      random: draws the variables from seed 0.

    Returns:
      The linen module and its variables.

    Raises:
      WeightsError: the file is missing, or belongs to another network.
    """
    row = zoo.checkpoint(name)
    fields = {field: _hashable(value) for field, value in fields.items()}
    network = row.network(**fields, **({"dtype": jnp.bfloat16} if dtype == "bfloat16" else {}))
    example = jax.ShapeDtypeStruct(shape, jnp.float32)
    shapes = jax.eval_shape(lambda key, x: network.init(key, x, **row.arguments), jax.random.key(0), example)
    if random:
        return network, random_variables(shapes)
    return network, weights.load(weights_path(folder, name), row.key_map(), shapes)


def _hashable(value: Any) -> Any:
    """Turns the lists that JSON gives into the tuples that linen modules take."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def random_variables(shapes: Mapping[str, Any], seed: int = 0) -> Any:
    """Draws variables of these shapes: kernels scaled by their fan-in, norms near the identity."""
    generator = np.random.default_rng(seed)

    def draw(path: tuple, leaf: Any) -> np.ndarray:
        name = path[-1].key
        if name in ("scale", "var"):
            values = generator.uniform(0.8, 1.2, leaf.shape)
        elif leaf.ndim < 2:
            values = generator.normal(0, 0.05, leaf.shape)
        else:
            values = generator.standard_normal(leaf.shape, np.float32)
            values *= RANDOM_GAIN / np.sqrt(np.prod(leaf.shape[:-1]))
        return values.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


class OnDevices:
    """Runs `function(variables, batch)` on all local devices; each gets a share of the batch.

    Args:
      function: takes the variables and a tree of arrays [n, ...]; returns a tree of arrays [n, ...].
      variables: are copied to each device once.
      least: images that a device runs at least, copies of the last one included.
    """

    def __init__(self, function: Callable[[Any, Any], Any], variables: Any, least: int = 1):
        devices = jax.local_devices()
        mesh = Mesh(np.array(devices), ("devices",))
        self._devices, self._least = len(devices), least
        self._compiled: dict[Any, set[int]] = {}  # by shapes of one image's arrays: a device's images
        self._split = NamedSharding(mesh, PartitionSpec("devices"))
        self._variables = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
        self._function = jax.jit(
            jax.shard_map(
                function,
                mesh=mesh,
                in_specs=(PartitionSpec(), PartitionSpec("devices")),
                out_specs=PartitionSpec("devices"),
                check_vma=False,
            )
        )

    def __call__(self, batch: Any) -> Any:
        """Starts the computation and returns at once; `fetch` waits for the results.

        Each device's share is filled with copies of the last image, up to a size that is compiled already, or else up
        to `least` or a power of two: to compile another size takes longer than the copies.

        Args:
          batch: a tree of numpy arrays [n, ...].
        """
        n = len(jax.tree.leaves(batch)[0])
        size = self._devices * self._share(batch, -(-n // self._devices))
        if size > n:
            filled = np.minimum(np.arange(size), n - 1)
            batch = jax.tree.map(lambda array: array[filled], batch)
        return n, self._function(self._variables, jax.device_put(batch, self._split))

    def _share(self, batch: Any, needed: int) -> int:
        """The images that a device runs, `needed` of them from the batch."""
        compiled = self._compiled.setdefault(tuple(array.shape[1:] for array in jax.tree.leaves(batch)), set())
        share = min((size for size in compiled if size >= needed), default=0)
        share = share or max(self._least, 1 << (needed - 1).bit_length())
        compiled.add(share)
        return share


def fetch(started: tuple[int, Any]) -> Any:
    """Waits for what OnDevices started. Returns numpy arrays [n, ...], without the copies that filled the batch."""
    n, results = started
    return jax.tree.map(lambda array: np.asarray(array)[:n], results)
