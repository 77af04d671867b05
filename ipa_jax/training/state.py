"""What a training run carries from step to step, and the optimiser that moves it (4.1.3)."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct, traverse_util
from ml_collections import ConfigDict

from ipa_jax.input import word_vectors
from ipa_jax.input.texts import Vocabulary
from ipa_jax.models import registry
from ipa_jax.input import texts
from third_party_ports.checkpoints import weights
from third_party_ports.checkpoints.checkpoint import attribute

FROZEN = "frozen"


class TrainState(struct.PyTreeNode):
    """step int32 []; params, ema_params (empty without EMA), batch_stats: trees of the model's leaves."""

    step: jax.Array
    params: Mapping
    batch_stats: Mapping
    ema_params: Mapping
    opt_state: optax.OptState

    @property
    def evaluated(self) -> dict:
        """The variables that are evaluated and exported: averaged parameters where there are any."""
        return {"params": self.ema_params or self.params, "batch_stats": self.batch_stats}


def with_resnet(config: ConfigDict) -> ConfigDict:
    """The config under which every parameter exists and every image can be scored: `cached` is `frozen` there."""
    if config.model.depth.resnet != "cached":
        return config
    config = config.copy_and_resolve_references()
    config.model.depth.resnet = "frozen"
    return config.lock()


def example_inputs(config: ConfigDict) -> dict[str, np.ndarray]:
    """One image of the right shapes to initialise from: everything the config's network reads."""
    side, k, d = config.input.crop, config.data.retrieval.k, config.data.depth.side
    parts = registry.parts(config, train=False)
    example = {"slot_mask": np.ones(1, bool)}
    if "photo" in parts:
        example["image"] = np.zeros((1, side, side, 3), np.uint8)
    if "retrieval" in parts:
        example |= {name: np.ones((1, k), np.float32) for name in ("similarity", "local", "count")}
        example["retrieved_mask"] = np.ones((1, k), bool)
        if config.data.memory.get("fallback", "none") != "none":
            example["foreign"] = np.zeros((1, k), bool)
    if "depth" in parts:
        example["depth"] = np.zeros((1, d, d), np.uint16)
        example["window"] = np.float32([[0, 0, 1]])
        example["flip"] = np.zeros(1, bool)
    if "texts" in parts:
        fields, words = texts.texts(config)
        example |= {f"words/{field}": np.ones((1, words), np.int32) for field in fields}
    if "account" in parts:
        example["account"] = np.zeros(1, np.int32)
    if "patches" in parts:
        example["patches"] = np.zeros((1, 1, 3 * config.musiq.patch**2), np.float32)
        example |= {name: np.zeros((1, 1), np.int32) for name in ("spatial", "scale")}
        example["patch_mask"] = np.ones((1, 1), bool)
    return example


def initial_variables(config: ConfigDict, head_bias: float = 0.0) -> dict:
    """{"params", "batch_stats"}: random from config.seed alone, then pretrained networks where config.init says.
    head_bias: where the output starts, if the network has a bias there.

    A cached ResNet's parameters are there too: scoring new photos needs them.
    """
    config = with_resnet(config)
    model, example = registry.build(config, dtype="float32"), example_inputs(config)
    variables = jax.jit(lambda key: model.init(key, example, train=False))(jax.random.key(config.seed))
    variables = {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
    for start in registry.of(config).starts(config):
        if file := config.init[start.field]:
            variables = _load(variables, start, file)
    if head_bias and (path := registry.of(config).bias):
        params = traverse_util.flatten_dict(variables["params"], sep="/")
        params[path] = jnp.full_like(params[path], head_bias)
        variables["params"] = traverse_util.unflatten_dict(params, sep="/")
    return variables


def _load(variables: dict, start: registry.Start, file: str) -> dict:
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
    path, field = registry.of(config).words, f"config.{config.model.network}.word_width"
    params = traverse_util.flatten_dict(variables["params"], sep="/")
    params[path], found = word_vectors.fill(params[path], Path(config.init.words), vocabulary, field)
    return variables | {"params": traverse_util.unflatten_dict(params, sep="/")}, found


def parameter_labels(params: Mapping, config: ConfigDict) -> Mapping:
    """The parameter group of each leaf by its path (`swin/layers_0/...`), as config.optim.groups says.

    Raises ValueError for a leaf that no pattern or more than one matches, or a pattern that matches no leaf.
    """
    patterns = {name: re.compile(group.pattern) for name, group in config.optim.groups.items()}
    frozen = registry.of(config).frozen(config)
    labels, used = {}, set()
    for path in traverse_util.flatten_dict(params, sep="/"):
        names = [name for name, pattern in patterns.items() if pattern.fullmatch(path)]
        if len(names) != 1:
            raise ValueError(f"config.optim.groups: {path} is matched by {names or 'no pattern'}; make it exactly one")
        used.update(names)
        labels[path] = FROZEN if path.startswith(frozen) else names[0]
    if idle := sorted(set(patterns) - used):
        raise ValueError(f"config.optim.groups: {idle} match no parameter; correct or remove the pattern")
    return traverse_util.unflatten_dict(labels, sep="/")


def schedule(peak: float, warmup: int, total: int) -> optax.Schedule:
    """Linear warm-up, then cosine to 0 at step `total`."""
    warmup = min(warmup, max(total - 1, 0))
    return (
        optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(total, 1))
        if warmup
        else (optax.cosine_decay_schedule(peak, max(total, 1)))
    )


def optimizer(params: Mapping, config: ConfigDict, total_steps: int) -> optax.GradientTransformation:
    """Clipping at global norm, then AdamW with a learning rate and decay for each parameter group."""
    optim = config.optim

    def adamw(group: ConfigDict) -> optax.GradientTransformation:
        rate = schedule(group.learning_rate, optim.warmup_steps, total_steps)
        return optax.adamw(rate, optim.b1, optim.b2, weight_decay=optim.weight_decay if group.decay else 0.0)

    transforms = {name: adamw(group) for name, group in optim.groups.items()} | {FROZEN: optax.set_to_zero()}
    return optax.chain(
        optax.clip_by_global_norm(optim.clip_norm), optax.partition(transforms, parameter_labels(params, config))
    )


def create(variables: Mapping, tx: optax.GradientTransformation, ema: float) -> TrainState:
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        ema_params=jax.tree.map(jnp.array, params) if ema else {},
        opt_state=tx.init(params),
    )


def parameter_count(params: Mapping) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
