"""Batch normalisation over the real images of all devices, weighted by their number.

Flax's own BatchNorm averages the devices' means without weights. If a device holds an empty slot, the result then
depends on how many devices share a batch. This one sums over devices first and divides once.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


class BatchNorm(nn.Module):
    """Normalises the channels of [N, ..., C]. Statistics and parameters are float32, the result is `dtype`.

    params: `scale`, `bias` [C]. batch_stats: `mean`, `var` [C], moved in training by 1 - momentum (PyTorch's 0.1).
    """

    dtype: Any = jnp.float32
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool, mask: jax.Array | None = None, axis_name: str | None = None
    ) -> jax.Array:
        """[N, ..., C] -> [N, ..., C].

        Only training reads `mask` [N] bool (True: a real image; None: all are real) and `axis_name` (the mapped axis of
        the devices; None: one device). If no device has a real image, the running statistics are used, and stay as they
        are.
        """
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels)
        mean, var = running_mean.value, running_var.value
        if train:
            count, batch_mean, batch_var = _statistics(x, mask, axis_name)
            mean, var = jnp.where(count > 0, batch_mean, mean), jnp.where(count > 0, batch_var, var)
            if not self.is_initializing():
                running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean
                running_var.value = self.momentum * running_var.value + (1 - self.momentum) * var
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return (x.astype(jnp.float32) * factor + (bias - mean * factor)).astype(self.dtype)


def _statistics(x: jax.Array, mask: jax.Array | None, axis_name: str | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns count [], mean [C] and biased variance [C] of the real images' values, over all devices."""
    x = x.reshape(len(x), -1, x.shape[-1]).astype(jnp.float32)  # [N, positions, C]
    real = jnp.ones(len(x), bool) if mask is None else mask
    # Masking after the sum over positions touches N x C numbers only.
    image_sums = [jnp.where(real[:, None], values.sum(1), 0) for values in (x, x * x)]  # [N, C]
    sums = (real.sum(dtype=jnp.float32) * x.shape[1], *(values.sum(0) for values in image_sums))
    if axis_name is not None and jax.lax.axis_size(axis_name) > 1:
        sums = jax.lax.psum(sums, axis_name)
    count, total, squares = sums
    mean = total / jnp.maximum(count, 1)
    return count, mean, jnp.maximum(squares / jnp.maximum(count, 1) - mean * mean, 0)
