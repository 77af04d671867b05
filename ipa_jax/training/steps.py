"""The device functions: one training step, pmapped over the axis "devices", and one scoring step. Pure."""

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from ml_collections import ConfigDict

from ipa_jax.losses import IMAGE_LOSSES, PAIR_LOSSES
from ipa_jax.training.devices import AXIS
from ipa_jax.training.state import TrainState
from ipa_jax.training.step_metrics import TrainMetrics

# Of a batch: what the model does not read.
LOSS_ONLY = ("pair_weight", "log_likes", "record", "position", "image_weight", "quantile")


def flatten_packs(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """[packs, slots, ...] -> [images, ...] of what the model reads."""
    return {k: v.reshape(-1, *v.shape[2:]) for k, v in batch.items() if k not in LOSS_ONLY}


def pair_outputs(z: jax.Array, batch: Mapping[str, jax.Array], name: str) -> dict[str, jax.Array]:
    """Eq. 7 over the slots x slots matrix of each pack: what TrainMetrics reads, all [packs, slots, slots].

    z float32 [packs, slots]; batch holds log_likes [packs, slots] and pair_weight [packs, slots, slots], 0 where
    slots i and j are no valid pair.
    """
    z_a, z_b = z[:, :, None], z[:, None, :]
    log_a, log_b = batch["log_likes"][:, :, None], batch["log_likes"][:, None, :]
    losses = PAIR_LOSSES[name](z_a, z_b, log_a, log_b) if name in PAIR_LOSSES else jnp.zeros(())
    return {"pair_loss": losses, "d": z_a - z_b, "t": log_a - log_b, "pair_weight": batch["pair_weight"]}


def image_outputs(
    z: jax.Array, out: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], name: str
) -> dict[str, jax.Array]:
    """A loss of single images, in the place of the pairs': image_loss and image_weight, both [packs, slots].

    z float32 [packs, slots]; out: the network's, [images, ...]; batch holds image_weight [packs, slots], 0 in empty
    slots, and what the loss reads.
    """
    flat = {key: value.reshape(z.size) for key, value in batch.items() if value.shape == z.shape}
    losses = IMAGE_LOSSES[name](z.ravel(), out, flat)
    return {"image_loss": losses.reshape(z.shape), "image_weight": batch["image_weight"]}


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
    devices: Sequence[jax.Device] | None = None,
) -> Callable[[TrainState, Mapping[str, jax.Array]], tuple[TrainState, TrainMetrics]]:
    """The step (state, batch [local devices, packs of the device, slots, ...]) -> (state, metrics), pmapped over AXIS.

    The loss is the weighted sum over the step's valid pairs (or images), over all devices, divided by the constant
    loss_scale (method.md, Loss): batching by pairs and by groups have the same expected gradient. Nothing depends on
    how packs are spread over devices: sums are psums, BatchNorm counts real images over all devices, and stochastic
    depth is keyed by (seed, step, slot). The state is donated.

    With config.batch.accumulate micro-batches the gradients are added up from outside: inside one compiled loop XLA's
    CPU backend takes over eight minutes for a full-size step, against one, and unrolled it passes 24 GB of memory.
    """
    accumulate, ema = config.batch.accumulate, config.optim.ema
    base_key = jax.random.key(config.seed)

    def loss_fn(params, batch_stats, packs, step):
        inputs = flatten_packs(packs)
        step_key = jax.random.fold_in(base_key, step)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(step_key, inputs["slot"])
        (z, out), updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            inputs, train=True, keys=keys, axis_name=AXIS, mutable=["batch_stats"],
        )  # fmt: skip
        z = z.reshape(packs["slot_mask"].shape)
        outputs = pair_outputs(z, packs, config.loss.name)
        if config.loss.name in IMAGE_LOSSES:
            outputs |= image_outputs(z, out, packs, config.loss.name)
            loss = jnp.sum(outputs["image_weight"] * outputs["image_loss"]) / loss_scale
        else:
            loss = jnp.sum(outputs["pair_weight"] * outputs["pair_loss"]) / loss_scale
        return loss, (TrainMetrics.single_from_model_output(**outputs), updated.get("batch_stats", {}))

    def begin(state: TrainState) -> Sums:
        return Sums(jax.tree.map(jnp.zeros_like, state.params), state.batch_stats, TrainMetrics.empty())

    def add(state: TrainState, sums: Sums, packs: Mapping[str, jax.Array]) -> Sums:
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        (_, (measured, batch_stats)), new = value_and_grad(state.params, sums.batch_stats, packs, state.step)
        return Sums(jax.tree.map(jnp.add, sums.gradients, new), batch_stats, sums.metrics.merge(measured))

    def apply(state: TrainState, sums: Sums) -> tuple[TrainState, TrainMetrics]:
        gradients, metrics = jax.lax.psum((sums.gradients, sums.metrics), AXIS)
        batch_stats = jax.lax.pmean(sums.batch_stats, AXIS)  # equal already; says so to the compiler
        updates, opt_state = tx.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema_params = state.ema_params
        if ema:
            decay = jnp.minimum(ema, (1.0 + state.step) / (10.0 + state.step))  # the first steps are forgotten fast
            ema_params = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), ema_params, params)
        return TrainState(state.step + 1, params, batch_stats, ema_params, opt_state), metrics

    if accumulate == 1:
        whole = lambda state, batch: apply(state, add(state, begin(state), batch))  # noqa: E731
        return jax.pmap(whole, AXIS, donate_argnums=0, devices=devices)

    begin = jax.pmap(begin, AXIS, devices=devices)
    add = jax.pmap(add, AXIS, donate_argnums=1, devices=devices)
    apply = jax.pmap(apply, AXIS, donate_argnums=0, devices=devices)

    def train_step(state: TrainState, batch: Mapping[str, jax.Array]) -> tuple[TrainState, TrainMetrics]:
        sums = begin(state)
        for i in range(accumulate):
            packs = {name: np.split(value, accumulate, axis=1)[i] for name, value in batch.items()}
            sums = jax.block_until_ready(add(state, sums, packs))  # queued collectives may deadlock a CPU's devices
        return apply(state, sums)

    return train_step


def make_score_step(model: nn.Module) -> Callable[[dict, dict[str, jax.Array]], dict[str, jax.Array]]:
    """(variables, batch [images, ...]) -> z float32 [images] and what else is kept; to be pmapped over AXIS.

    An image's score is its own: nothing is averaged over the batch.
    """

    def score_step(variables: dict, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        z, out = model.apply(variables, {k: v for k, v in batch.items() if k not in LOSS_ONLY}, train=False)
        return {"z": z} | ({"depth_vectors": out["depth_vectors"]} if "depth_vectors" in out else {})

    return score_step
