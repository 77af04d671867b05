"""What the project knows about one published checkpoint, and which network it belongs to.

This module imports no network. It loads jax only when you ask for a network's shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from third_party_ports.checkpoints.weights import KeyMap

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Checkpoint:
    """One published file and the network that it belongs to.

    Code is named by strings, "package.module:attribute", so that a table of checkpoints imports no network.

    Attributes:
      name: the row's name. The converted file is called NAME.safetensors, or NAME.json for a file without tensors.
      module: the linen class; None for a file without tensors.
      keys: the network's KeyMap; None for a file without tensors.
      file: the published file's name.
      page: the web page that links to the file.
      licence: of the authors' code, and what they say about the weights.
      preprocessing: how to turn a photo into the network's input.
      size: the file's size in words, as published or as its tensors suggest.
      url: a direct public link; None if the file is behind a form or in a drive folder.
      bytes: the file's exact size, if it is known.
      sha256: of the file, all hexadecimal digits or the first ones; None if nobody published it.
      fields: the class's fields.
      inputs: shapes of example inputs for init, float32.
      arguments: init's other arguments.
      signature: names and shapes that tell this file from others. Names are official ones, or canonical ones if
        official names vary. None in a shape fits any number.
      optional: names in `signature` that the file may lack.
      layouts: a function (tensors) -> (tensors by official name, layout), for files that others publish again.
      check: a function (tensors by official name) that raises WeightsError for values that the port cannot use, and
        otherwise returns a remark or None.
      package: the package of the registry that brings the file, in its folder `models`; "": none does.
      writer: for a file without tensors, a function (published file, file to write) -> what it wrote, in words.
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
    package: str = ""
    writer: str | None = None

    @property
    def converted(self) -> str:
        """The converted file's name."""
        return f"{self.name}.safetensors" if self.module else f"{self.name}.json"

    def network(self, **fields: Any) -> Any:
        """Returns the linen module with the row's fields; `fields` override them. Imports jax."""
        assert self.module is not None, f"{self.name}: a file without tensors has no network"
        return attribute(self.module)(**{**self.fields, **fields})

    def key_map(self) -> KeyMap:
        """Returns the network's KeyMap. Imports jax."""
        assert self.keys is not None, f"{self.name}: a file without tensors has no KeyMap"
        return attribute(self.keys)

    def shapes(self) -> dict[str, Any]:
        """Returns the network's variables as ShapeDtypeStructs (`jax.eval_shape` of init). Compiles nothing."""
        import jax
        import jax.numpy as jnp

        inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in self.inputs]
        network = self.network()
        return jax.eval_shape(lambda key, *x: network.init(key, *x, **self.arguments), jax.random.key(0), *inputs)


def attribute(path: str) -> Any:
    """Imports and returns what "package.module:attribute" names."""
    module, name = path.split(":")
    return getattr(import_module(module), name)
