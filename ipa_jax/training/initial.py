"""What a network starts from: random parameters, converted checkpoints, another run's export, word vectors."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from ipa_jax.input import word_vectors
from ipa_jax.input.fields import PARTS
from ipa_jax.input.texts import Vocabulary
from ipa_jax.models import registry
from ipa_jax.training.export import ExportError, load_export
from third_party_ports.checkpoints import packaged, weights, zoo
from third_party_ports.checkpoints.checkpoint import attribute


def with_resnet(config: ConfigDict) -> ConfigDict:
    """The config under which every parameter exists and every image can be scored: `cached` is `frozen` there."""
    if config.model.depth.resnet != "cached":
        return config
    config = config.copy_and_resolve_references()
    config.model.depth.resnet = "frozen"
    return config.lock()


def example_inputs(config: ConfigDict) -> dict[str, np.ndarray]:
    """One image of the right shapes to initialise from: everything that the config's network reads."""
    example = {"slot_mask": np.ones(1, bool)}
    for name in registry.parts(config, train=False):
        example |= PARTS[name].example(config)
    return example


def initial_variables(config: ConfigDict, head_bias: float = 0.0) -> dict:
    """{"params", "batch_stats"}: random from config.seed alone, then pretrained networks where config.init says. With
    config.init.export all of them are that export's.
    head_bias: where the output starts, if the network has a bias there and starts at random.

    A cached ResNet's parameters are there too: scoring new photos needs them.

    Raises:
      ExportError: config.init.export is no export, or one of another network; names what does not fit.
      WeightsError: a converted file does not fit.
    """
    config = with_resnet(config)
    model, example = registry.build(config, dtype="float32"), example_inputs(config)

    def draw(key: jax.Array) -> dict:
        return {"batch_stats": {}} | dict(model.init(key, example, train=False))

    if config.init.export:
        return exported(Path(config.init.export), jax.eval_shape(draw, jax.random.key(0)))
    variables = jax.jit(draw)(jax.random.key(config.seed))
    for start in registry.for_config(config).starts(config):
        if file := start_file(config, start):
            variables = _load(variables, start, file)
    if head_bias and (path := registry.for_config(config).bias):
        params: dict[str, Any] = traverse_util.flatten_dict(variables["params"], sep="/")
        params[path] = jnp.full_like(params[path], head_bias)
        variables["params"] = traverse_util.unflatten_dict(params, sep="/")
    return variables


def start_file(config: ConfigDict, start: registry.Start) -> Path | None:
    """The converted file that a network starts from: config.init names it, or a package brings it. None: at random.

    Raises:
      WeightsError: the package is not installed; says how to install it.
    """
    if file := config.init[start.field]:
        return Path(file)
    if start.packaged and not config.init.random:
        return packaged.converted_file(zoo.checkpoint(start.packaged))
    return None


def exported(export: Path, shapes: dict) -> dict:
    """The variables of an export, which must be those of the network whose `shapes` are given.

    Raises:
      ExportError: there is no export, or it lacks a leaf, has another one, or one of another shape; names them.
    """
    variables, _, _ = load_export(export)
    given: dict[str, Any] = traverse_util.flatten_dict(variables, sep="/")
    own: dict[str, Any] = traverse_util.flatten_dict(shapes, sep="/")
    problems = {
        "missing": [name for name in own if name not in given],
        "extra": [name for name in given if name not in own],
        "misshapen": [
            f"{name} (is {given[name].shape}, {leaf.shape} is needed)"
            for name, leaf in own.items()
            if name in given and given[name].shape != leaf.shape
        ],
    }
    if lines := [f"  {len(names)} {kind}: {weights.some(names)}" for kind, names in problems.items() if names]:
        raise ExportError("\n".join([f"config.init.export: {export} is of another network or of other sizes:", *lines]))
    return variables


def _load(variables: dict, start: registry.Start, file: Path) -> dict:
    """Replaces the variables of the network at a path by those of a converted file."""
    at, keys = start.path, attribute(start.keys)
    flat = {kind: traverse_util.flatten_dict(tree) for kind, tree in variables.items()}
    given = lambda path: path[: len(at)] == at and path[len(at)] not in start.fresh  # noqa: E731
    inside = {
        kind: traverse_util.unflatten_dict({path[len(at) :]: v for path, v in leaves.items() if given(path)})
        for kind, leaves in flat.items()
    }
    for kind, tree in weights.load(file, keys, inside).items():
        flat[kind] |= {at + path: leaf for path, leaf in traverse_util.flatten_dict(tree).items()}
    return {kind: traverse_util.unflatten_dict(leaves) for kind, leaves in flat.items()}


def with_words(variables: dict, config: ConfigDict, vocabulary: Vocabulary) -> tuple[dict, int]:
    """The variables with the vectors of config.init.words in the word table, and how many words have one there.

    Raises ValueError as word_vectors.fill.
    """
    path, field = registry.for_config(config).words, f"config.{config.model.network}.word_width"
    params: dict[str, Any] = traverse_util.flatten_dict(variables["params"], sep="/")
    params[path], found = word_vectors.fill(params[path], Path(config.init.words), vocabulary, field)
    return variables | {"params": traverse_util.unflatten_dict(params, sep="/")}, found
