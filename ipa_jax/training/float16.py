"""Training in float16, for GPUs without bfloat16: the loss is scaled, so that small gradients do not become 0.

float16 ends at 65504 and at 6e-8. The loss is multiplied by a scale before the backward pass, and the gradients are
divided by it in float32. The scale is halved when a gradient overflows, and that step moves nothing; it is doubled
after 2000 steps without one (Micikevicius et al., arXiv 1710.03740).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

FIRST, LARGEST = 2.0**15, 2.0**24  # scales
STEPS = 2000  # without an overflow, after which the scale is doubled


class ScaledState(NamedTuple):
    """scale float32 []; steps int32 [], since the scale changed; inner: the optimizer's own state."""

    scale: jax.Array
    steps: jax.Array
    inner: optax.OptState


def scale_of(state: optax.OptState) -> jax.Array | float:
    """What the loss is multiplied by: 1 unless the optimizer is one that `scaled` made."""
    return state.scale if isinstance(state, ScaledState) else 1.0


def scaled(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer for gradients of the scaled loss, the same on all devices.

    At scale 1 nothing is skipped: parameters become NaN, and the next loss stops the run.
    """

    def init(params: optax.Params) -> ScaledState:
        return ScaledState(jnp.asarray(FIRST, jnp.float32), jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None) -> tuple[Any, ScaledState]:
        gradients = jax.tree.map(lambda gradient: gradient / state.scale, updates)
        finite = jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients)]))
        taken = finite | (state.scale <= 1)
        moves, moved = inner.update(gradients, state.inner, params)
        moves = jax.tree.map(lambda new: jnp.where(taken, new, 0), moves)
        moved = jax.tree.map(lambda new, old: jnp.where(taken, new, old), moved, state.inner)
        steps = jnp.where(finite, state.steps + 1, 0)
        doubled = jnp.where(steps >= STEPS, jnp.minimum(2 * state.scale, LARGEST), state.scale)
        scale = jnp.where(finite, doubled, jnp.maximum(state.scale / 2, 1))
        return moves, ScaledState(scale, jnp.where(steps >= STEPS, 0, steps), moved)

    return optax.GradientTransformation(init, update)
