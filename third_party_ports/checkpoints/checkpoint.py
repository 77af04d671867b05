"""What is known of one published checkpoint, and the network that it belongs to. Imports no network and no jax."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from third_party_ports.checkpoints.weights import KeyMap

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Checkpoint:
    """One published file and the network that it belongs to.

    Attributes:
      name: of the row, and of the converted file, NAME.safetensors (m2_vocab.json).
      module, keys: "package.module:attribute" of the linen class and of its KeyMap; None for a file without tensors.
      file, page: the published file's name, and where its link stands.
      url: a direct public link; None where a form or a drive folder is in the way.
      size: the file's, as published or as its tensors suggest; bytes: exact, where known.
      sha256: of the file, whole or its first digits; None where nobody published it.
      licence: of the code, and what is said of the weights.
      preprocessing: from a photo to the network's input.
      fields: the class's fields; inputs: shapes of an example, for init; arguments: init's other ones.
      signature: names and shapes that tell this file from others, the names official ones, or canonical where official
        ones vary; None fits any number. A name that the file lacks proves nothing if it is in `optional`.
      layouts: function (tensors) -> (tensors by official name, layout) for files that others republish.
      check: function (tensors by official name) that raises WeightsError for values that the port cannot use.
    """

    name: str
    module: str | None
    keys: str | None
    file: str
    page: str
    licence: str
    preprocessing: str
    size: str
    url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[int, ...], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    signature: Mapping[str, Shape] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    layouts: str | None = None
    check: str | None = None

    def network(self, **fields: Any) -> Any:
        """The linen module with the row's fields, `fields` over them. Imports jax."""
        return attribute(self.module)(**{**self.fields, **fields})

    def key_map(self) -> KeyMap:
        return attribute(self.keys)

    def shapes(self) -> dict[str, Any]:
        """`jax.eval_shape` of init: the variables as ShapeDtypeStructs. Compiles nothing."""
        import jax
        import jax.numpy as jnp

        inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in self.inputs]
        network = self.network()
        return jax.eval_shape(lambda key, *x: network.init(key, *x, **self.arguments), jax.random.key(0), *inputs)


def attribute(path: str) -> Any:
    """What "package.module:attribute" names."""
    module, name = path.split(":")
    return getattr(import_module(module), name)
