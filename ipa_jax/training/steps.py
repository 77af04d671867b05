"""The device functions: one training step, pmapped over the axis "devices", and one scoring step. Pure."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from ml_collections import ConfigDict

from ipa_jax.input.field import LABELS
from ipa_jax.models import registry
from ipa_jax.models.popularity import recomputes
from ipa_jax.training.devices import AXIS, ahead
from ipa_jax.training.float16 import scale_of
from ipa_jax.training.state import TrainState
from ipa_jax.training.step_metrics import TrainMetrics
from third_party_ports.checkpoints.checkpoint import attribute
from third_party_ports.layers.remat import COMPILER_OPTIONS

Packs = Mapping[str, jax.Array]  # a batch, or a device's share of it: [packs, slots, ...] by name
TrainStep = Callable[[TrainState, Mapping[str, Any]], tuple[TrainState, TrainMetrics]]


def flatten_packs(batch: Packs) -> dict[str, jax.Array]:
    """[packs, slots, ...] -> [images, ...] of what the model reads."""
    return {k: v.reshape(-1, *v.shape[2:]) for k, v in batch.items() if k not in LABELS}


def loss_outputs(z: jax.Array, out: Mapping[str, Any], batch: Packs, name: str) -> dict[str, jax.Array]:
    """What TrainMetrics reads: d, t and pair_weight of every two slots, and the loss with its weights.

    The loss is one of pairs (eq. 7) over the slots x slots matrix of each pack: pair_loss [packs, slots, slots]. A
    loss of single images stands in its place: image_loss and image_weight, both [packs, slots].

    Args:
      z: float32 [packs, slots].
      out: the network's, [images, ...].
      batch: holds log_likes [packs, slots], and pair_weight [packs, slots, slots], 0 where slots i and j are not a
        valid pair; for a loss of images image_weight [packs, slots], 0 in empty slots, and what the loss reads.
      name: a row of `registry.LOSSES`.
    """
    row = registry.LOSSES[name]
    function = attribute(row.function)
    z_a, z_b = z[:, :, None], z[:, None, :]
    log_a, log_b = batch["log_likes"][:, :, None], batch["log_likes"][:, None, :]
    outputs = {"pair_loss": jnp.zeros(()), "d": z_a - z_b, "t": log_a - log_b, "pair_weight": batch["pair_weight"]}
    if row.of == "pairs":
        return outputs | {"pair_loss": function(z_a, z_b, log_a, log_b)}
    flat = {key: value.reshape(z.size) for key, value in batch.items() if value.shape == z.shape}
    losses = function(z.ravel(), out, flat).reshape(z.shape)
    return outputs | {"image_loss": losses, "image_weight": batch["image_weight"]}


class Sums(struct.PyTreeNode):
    """What a step adds up over its micro-batches, on each device: gradients, metrics, and BatchNorm's statistics."""

    gradients: Mapping
    batch_stats: Mapping
    metrics: TrainMetrics


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    config: ConfigDict,
    loss_scale: float,
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
) -> TrainStep:
    """The step (state, batch [local devices, packs of the device, slots, ...]) -> (state, metrics), pmapped over AXIS.

    The loss is the weighted sum over the step's valid pairs (or images), over all devices, divided by the constant
    loss_scale (method.md, Loss): batching by pairs and by groups have the same expected gradient. Nothing depends on
    how packs are spread over devices: sums are psums, BatchNorm counts real images over all devices, and stochastic
    depth is keyed by (seed, step, slot). The state is donated.
    """
    loss_fn = _loss_function(model, config.loss.name, loss_scale, jax.random.key(config.seed))
    ema = config.optim.ema

    def begin(state: TrainState) -> Sums:
        return Sums(jax.tree.map(jnp.zeros_like, state.params), state.batch_stats, TrainMetrics.empty())

    def first(state: TrainState, packs: Packs) -> Sums:
        return add(state, begin(state), packs)

    def add(state: TrainState, sums: Sums, packs: Packs) -> Sums:
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        factor = scale_of(state.opt_state)
        (_, (measured, batch_stats)), new = value_and_grad(state.params, sums.batch_stats, packs, state.step, factor)
        return Sums(jax.tree.map(jnp.add, sums.gradients, new), batch_stats, sums.metrics.merge(measured))

    def apply(state: TrainState, sums: Sums) -> tuple[TrainState, TrainMetrics]:
        gradients, metrics = sums.gradients, sums.metrics
        if jax.lax.axis_size(AXIS) > 1:
            gradients, metrics = jax.lax.psum((gradients, metrics), AXIS)
        updates, opt_state = tx.update(gradients, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if ema:
            decay = jnp.minimum(ema, (1.0 + state.step) / (10.0 + state.step))  # the first steps are forgotten fast
            ema_params = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), ema_params, params)
        return TrainState(state.step + 1, params, sums.batch_stats, ema_params, opt_state), metrics

    place = devices or jax.devices()
    platform = place[0].platform
    options = COMPILER_OPTIONS if platform == "cpu" and recomputes(config, platform) else {}
    mapped = partial(_mapped, devices=devices, options=options)
    if config.batch.accumulate == 1 and (platform != "cpu" or len(place) > 1):
        # One program, so that sums over devices can start while other gradients are still computed.
        return mapped(lambda state, batch: apply(state, first(state, batch)), donate=(0,))
    added, applied = mapped(add, donate=(1,)), mapped(apply, donate=(0,))
    return _in_parts(mapped(first), added, applied, config.batch.accumulate)


def _mapped(function: Callable, devices: Any, options: dict[str, str], donate: tuple[int, ...] = ()) -> Callable:
    """The function pmapped over AXIS; compiled at its first call, with XLA's options where there are any."""
    mapped = jax.pmap(function, AXIS, donate_argnums=donate, devices=devices)
    if not options:
        return mapped
    compiled: list[Callable] = []

    def call(*arguments: Any) -> Any:
        if not compiled:
            compiled.append(mapped.lower(*arguments).compile(options))
        return compiled[0](*arguments)

    return call


def _loss_function(model: nn.Module, name: str, scale: float, base_key: jax.Array) -> Callable:
    """(params, batch_stats, packs, step, factor) -> (factor times the loss, float32 [], (TrainMetrics, the new
    batch_stats))."""

    def loss_fn(params: Mapping, batch_stats: Mapping, packs: Packs, step: jax.Array, factor: jax.Array | float):
        inputs = flatten_packs(packs)
        step_key = jax.random.fold_in(base_key, step)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(step_key, inputs["slot"])
        (z, out), updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            inputs, train=True, keys=keys, axis_name=AXIS, mutable=["batch_stats"],
        )  # fmt: skip
        outputs = loss_outputs(z.reshape(packs["slot_mask"].shape), out, packs, name)
        kind = "image" if "image_loss" in outputs else "pair"
        loss = jnp.sum(outputs[f"{kind}_weight"] * outputs[f"{kind}_loss"]) / scale
        return factor * loss, (TrainMetrics.single_from_model_output(**outputs), updated.get("batch_stats", {}))

    return loss_fn


def _in_parts(first: Callable, add: Callable, apply: Callable, count: int) -> TrainStep:
    """A step as several programs: the gradients of each of `count` micro-batches, then the update.

    Inside one compiled loop XLA's CPU backend takes over eight minutes for a full-size step, against one, and unrolled
    it needs more than 24 GB of memory. The update by itself needs 1.5 GB less: in one program with the gradients, all
    moments are copied before they are moved.
    """

    ready = (lambda sums: sums) if ahead() else jax.block_until_ready

    def train_step(state: TrainState, batch: Packs) -> tuple[TrainState, TrainMetrics]:
        parts = [{name: np.split(value, count, axis=1)[i] for name, value in batch.items()} for i in range(count)]
        sums = first(state, parts[0])
        for packs in parts[1:]:
            sums = add(state, ready(sums), packs)
        return apply(state, ready(sums))

    return train_step


def make_score_step(model: nn.Module) -> Callable[[dict, dict[str, jax.Array]], dict[str, jax.Array]]:
    """(variables, batch [images, ...]) -> z float32 [images] and what else is kept; to be pmapped over AXIS.

    An image's score is its own: nothing is averaged over the batch.
    """

    def score_step(variables: dict, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        outputs: Any = model.apply(variables, {k: v for k, v in batch.items() if k not in LABELS}, train=False)
        z, out = outputs
        return {"z": z} | ({"depth_vectors": out["depth_vectors"]} if "depth_vectors" in out else {})

    return score_step
