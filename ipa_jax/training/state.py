"""What a training run carries from step to step, and the optimiser that moves it (4.1.3)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from flax import struct


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


def create(variables: Mapping, tx: optax.GradientTransformation, ema: float) -> TrainState:
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        ema_params=jax.tree.map(jnp.array, params) if ema else {},
        opt_state=tx.init(params),
    )
