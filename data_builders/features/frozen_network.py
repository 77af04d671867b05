"""A frozen network on all local devices: official weights from a converted file, or random ones that say so."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from third_party_ports.checkpoints import zoo

RANDOM_GAIN = 0.7  # of random kernels: nothing overflows, and a detector still finds something


def weights_path(folder: str, name: str) -> Path:
    """The converted file of a row of third_party_ports.checkpoints.zoo."""
    return Path(folder) / (f"{name}.json" if zoo.checkpoint(name).module is None else f"{name}.safetensors")


def how_to_get(folder: str, name: str) -> str:
    """The command that puts a missing file in its place."""
    row = zoo.checkpoint(name)
    if row.url:
        return f"{name}: python -m ipa_jax fetch {name} --to {folder}"
    convert = f"python -m ipa_jax convert {name} {row.file} --out {weights_path(folder, name)}"
    return f"{name}: get {row.file} from {row.page}, then {convert}"


def source_sha256(folder: str, name: str) -> str:
    """sha256 of the official file that a converted one was made from, as it says itself.

    Raises WeightsError for a file that is broken or that the converter did not write.
    """
    from safetensors import SafetensorError, safe_open

    from third_party_ports.checkpoints.weights import WeightsError

    path = weights_path(folder, name)
    remedy = f"Make it again: {how_to_get(folder, name)}"
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}). {remedy}") from error
    if "source_sha256" not in metadata:
        raise WeightsError(f"{path}: does not say what it was converted from. {remedy}")
    return metadata["source_sha256"]


def load(
    name: str, fields: Mapping[str, Any], folder: str, shape: tuple[int, ...], dtype: str, random: bool
) -> tuple[Any, Any]:
    """The linen module of a row of the zoo, and its variables.

    Args:
      fields: sizes that are not the official ones; only with `random`.
      folder: of converted files.
      shape: of an example input, float32.
      random: variables drawn from seed 0.

    Raises:
      WeightsError: the file is missing or is not of this network.
    """
    import jax
    import jax.numpy as jnp

    from third_party_ports.checkpoints import weights

    row = zoo.checkpoint(name)
    fields = {field: _hashable(value) for field, value in fields.items()}
    network = row.network(**fields, **({"dtype": jnp.bfloat16} if dtype == "bfloat16" else {}))
    example = jax.ShapeDtypeStruct(shape, jnp.float32)
    shapes = jax.eval_shape(lambda key, x: network.init(key, x, **row.arguments), jax.random.key(0), example)
    if random:
        return network, random_variables(shapes)
    return network, weights.load(weights_path(folder, name), row.key_map(), shapes)


def _hashable(value: Any) -> Any:
    """Lists, as JSON gives them, as the tuples that linen modules take."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def random_variables(shapes: Mapping[str, Any], seed: int = 0) -> Any:
    """Variables of these shapes: kernels of a variance by their fan-in, norms near the identity."""
    import jax

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
    """`function(variables, batch)` on all local devices, each with its share of the batch.

    Args:
      function: variables and a tree of arrays [n, ...] -> a tree of arrays [n, ...].
      variables: copied to each device once.
    """

    def __init__(self, function: Callable[[Any, Any], Any], variables: Any):
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        devices = jax.local_devices()
        mesh = Mesh(np.array(devices), ("devices",))
        self._devices = len(devices)
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
        """A tree of numpy arrays [n, ...] -> results on the devices, at once and not yet computed; `fetch` waits.

        A share that is not full is filled up to a power of two with copies of the last image, so that a few shapes are
        compiled.
        """
        import jax

        n = len(jax.tree.leaves(batch)[0])
        share = 1 << (-(-n // self._devices) - 1).bit_length()
        filled = np.minimum(np.arange(share * self._devices), n - 1)
        batch = jax.tree.map(lambda array: jax.device_put(array[filled], self._split), batch)
        return n, self._function(self._variables, batch)


def fetch(started: tuple[int, Any]) -> Any:
    """Waits for what OnDevices started: numpy arrays [n, ...], the filling cut off."""
    import jax

    n, results = started
    return jax.tree.map(lambda array: np.asarray(array)[:n], results)


VERSION = "1"  # raised when the same weights and choices come to give other features


def networks(part: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The rows of third_party_ports.checkpoints.zoo that a part needs."""
    own = options[part]
    if part == "pose":
        return (own["network"], *(["dekr_rescore"] if own["rescore"] else []))
    if part == "caption":
        return (own["detector"], own["captioner"], *(["m2_vocab"] if own["text"] else []))
    return (own["network"],)


def require_weights(parts: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raises ValueError that says, for each file of weights that is not there, how to get it."""
    needed = [name for part in parts for name in networks(part, options)]
    lacking = [name for name in needed if not weights_path(options["weights"], name).is_file()]
    if lacking:
        commands = "".join(f"\n  {how_to_get(options['weights'], name)}" for name in lacking)
        raise ValueError(
            f"{options['weights']}: weights are missing (--config.extract.weights names their folder):{commands}"
        )


def header(part: str, options: Mapping[str, Any], random: bool) -> dict[str, str]:
    """What the store's header says of a part: networks, version with the choices that act, sha256 of the weights."""
    names = networks(part, options)
    acting = {**options[part], "dtype": options["dtype"]}
    if part == "pose":
        acting["keypoint_threshold"] = options["keypoint_threshold"]
    hashed = [name for name in names if zoo.checkpoint(name).module]
    sha256 = "random" if random else "+".join(source_sha256(options["weights"], name) for name in hashed)
    version = f"{VERSION} {json.dumps(acting, sort_keys=True, separators=(',', ':'))}"
    return {"name": "+".join(names), "version": version, "weights_sha256": sha256}
