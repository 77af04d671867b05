"""Models small enough to compile in a test, and random packs for them."""

import importlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
from flax import traverse_util
from ml_collections import ConfigDict

from ipa_jax.input import peer_fields as peer_inputs
from ipa_jax.input import texts
from ipa_jax.models import registry
from ipa_jax.training import devices, initial, optimizer, state, steps

DEPTH_SIDE = 12  # of stored depth maps


def tiny_config(name: str = "full", **changes) -> ConfigDict:
    """configs/{name}.py at tiny size; changes as model__fusion="concat"."""
    config = importlib.import_module(f"configs.{name}").get_config("tiny")
    config.data.depth.side = DEPTH_SIDE
    config.model.swin.update({"heads": (2,)})
    config.optim.warmup_steps = 0  # the first step moves something
    for field, value in changes.items():
        *sections, last = field.split("__")
        at = config
        for section in sections:
            at = at[section]
        at[last] = value
    return config


def random_packs(config: ConfigDict, packs: int, slots: int, *, seed: int = 0, filled: int | None = None) -> dict:
    """A training batch [packs, slots, ...] as ipa_jax.input.batches gives it, for all branches; random contents.

    filled: images in all, one slot after the other; the slots behind them are empty. Default: all slots.
    """
    rng, shape, k, side = np.random.default_rng(seed), (packs, slots), config.data.retrieval.k, config.input.crop
    mask = (np.arange(packs * slots) < (packs * slots if filled is None else filled)).reshape(shape)
    seen = (np.arange(k) < rng.integers(0, k + 1, shape)[..., None]) & mask[..., None]
    pairs = np.triu(np.ones((slots, slots)), 1) * mask[:, :, None] * mask[:, None, :]
    flat = lambda values, dtype: (values * mask.reshape(*shape, *(1,) * (values.ndim - 2))).astype(dtype)  # noqa: E731
    return {
        "image": flat(rng.integers(0, 256, (*shape, side, side, 3)), np.uint8),
        "depth": flat(rng.integers(0, 65536, (*shape, DEPTH_SIDE, DEPTH_SIDE)), np.uint16),
        "window": flat(np.full((*shape, 3), [0.25, 0.0, 0.75]), np.float32),
        "flip": flat(rng.integers(0, 2, shape), bool),
        "similarity": (rng.random((*shape, k)) * seen).astype(np.float32),
        "local": (rng.lognormal(size=(*shape, k)) * seen).astype(np.float32),
        "count": (rng.integers(1, 9, (*shape, k)) * seen).astype(np.float32),
        "retrieved_mask": seen,
        "depth_vectors": flat(rng.normal(size=(*shape, 5, 4 * config.model.depth.width)), np.float32),
        **{name: flat(value, value.dtype) for name, value in _of_peers(config, shape, rng).items()},
        "slot_mask": mask,
        "log_likes": flat(rng.normal(6, 1, shape), np.float32),
        "pair_weight": (pairs * rng.choice([0, 0.5, 1], pairs.shape)).astype(np.float32),
        "slot": np.arange(packs * slots, dtype=np.int32).reshape(shape),
    }


def _of_peers(config: ConfigDict, shape: tuple[int, int], rng: np.random.Generator) -> dict:
    """What the config's network reads beside photos, and image losses beside likes."""
    parts, more = registry.parts(config, train=True), {}
    if "texts" in parts:
        fields, words = texts.text_fields(config)
        for field in fields:
            real = np.arange(words) >= words - rng.integers(0, words + 1, shape)[..., None]
            numbers = rng.integers(2, config.texts.words + 2, (*shape, words)) * real
            more[f"words/{field}"] = numbers.astype(np.int32)
    if "account" in parts:
        more["account"] = rng.integers(0, 9, shape).astype(np.int32)
    if "patches" in parts:
        tokens = peer_inputs.token_count(peer_inputs.layout(config, train=True))
        more["patches"] = rng.uniform(-1, 1, (*shape, tokens, 3 * config.musiq.patch**2)).astype(np.float32)
        more["spatial"] = rng.integers(0, config.musiq.grid**2, (*shape, tokens)).astype(np.int32)
        more["scale"] = rng.integers(0, len(config.musiq.longer_sides) + 1, (*shape, tokens)).astype(np.int32)
        more["patch_mask"] = rng.random((*shape, tokens)) < 0.8
    if "image_weight" in parts:
        more["image_weight"] = rng.choice([0.5, 1], shape).astype(np.float32)
    if "quantile" in parts:
        more["quantile"] = rng.uniform(0.01, 0.99, shape).astype(np.float32)
    return more


def random_variables(config: ConfigDict, seed: int = 1) -> dict:
    """Random values for every leaf: a term could hide where an initializer gives 0. Traced, not compiled."""
    rng = np.random.default_rng(seed)

    def draw(path: tuple[str, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        fan_in = np.prod(leaf.shape[:-1]) if path[-1] == "kernel" else 4
        value = rng.normal(0, 1.5 / np.sqrt(fan_in), leaf.shape).astype(leaf.dtype)
        return np.abs(value) + 0.5 if path[-1] in ("var", "scale") else value

    shapes = jax.eval_shape(lambda: initial.initial_variables(config))
    drawn = {path: draw(path, leaf) for path, leaf in traverse_util.flatten_dict(shapes).items()}
    return {"batch_stats": {}} | traverse_util.unflatten_dict(drawn)


class Trained(NamedTuple):
    """What `train` did: losses [steps], states before the first and after each step (host), traces of the step."""

    losses: list[float]
    states: list[state.TrainState]
    traces: int


def train(
    config: ConfigDict, batches: Sequence[dict], *, count: int = 1, tx: optax.GradientTransformation | None = None
) -> Trained:
    """A step on each batch over `count` devices, as ipa_jax.train takes it; tx: config.optim's unless given."""
    variables = random_variables(config)
    tx = tx or optimizer.optimizer(variables["params"], config, total_steps=100)
    where, traces = jax.devices()[:count], []

    def counted(*arguments):
        traces.append(None)
        return tx.update(*arguments)

    watched = optax.GradientTransformation(tx.init, counted)
    train_step = steps.make_train_step(registry.build(config), watched, config, 10.0, where)
    states = [jax.tree.map(np.asarray, state.create(variables, tx, config.optim.ema))]
    at, losses = devices.to_devices(states[0], where), []
    for batch in batches:
        at, metrics = train_step(at, {k: v.reshape(count, -1, *v.shape[1:]) for k, v in batch.items()})
        metrics = devices.to_host(metrics)
        losses.append(float(metrics.loss.total))
        states.append(devices.to_host(at))
    return Trained(losses, states, len(traces))
