"""What a training step measures: a clu.metrics collection that adds up over pairs, steps and devices.

`ipa_jax.metrics` reads finished scores instead, and loads neither jax nor clu.
"""

from typing import Any

import jax
import jax.numpy as jnp
from clu import metrics
from flax import struct
from jax.typing import ArrayLike


@struct.dataclass
class WeightedMean(metrics.Metric):
    """Sum of weight * value over sum of weight; both add, so `lax.psum` over devices (or gather, reduce) is exact."""

    total: jax.Array  # float32 []
    weight: jax.Array  # float32 []

    @classmethod
    def empty(cls) -> "WeightedMean":
        return cls(total=jnp.zeros((), jnp.float32), weight=jnp.zeros((), jnp.float32))

    @classmethod
    def from_model_output(cls, values: jax.Array, weights: jax.Array, **_) -> "WeightedMean":
        """Values and weights of any one shape; where the weight is 0 the value may be anything, NaN included."""
        return cls(total=jnp.where(weights > 0, weights * values, 0).sum(), weight=weights.sum())

    def merge(self, other: "WeightedMean") -> "WeightedMean":
        return type(self)(total=self.total + other.total, weight=self.weight + other.weight)

    def compute(self) -> jax.Array:
        """float32 []; 0 before any pair was seen."""
        return jnp.where(self.weight > 0, self.total / jnp.where(self.weight > 0, self.weight, 1), 0)


def pair_accuracy(d: jax.Array, t: jax.Array) -> jax.Array:
    """1 where the image with more likes scores higher, 1/2 where z ties, else 0; d = z_a - z_b, t likewise of likes."""
    return jnp.where(d == 0, 0.5, (jnp.sign(d) == jnp.sign(t)).astype(jnp.float32))


def _loss(
    pair_loss: ArrayLike,
    pair_weight: ArrayLike,
    image_loss: ArrayLike | None = None,
    image_weight: ArrayLike | None = None,
    **_: Any,
) -> dict[str, Any]:
    if image_loss is None:
        return {"values": pair_loss, "weights": pair_weight}
    return {"values": image_loss, "weights": image_weight}


@struct.dataclass
class TrainMetrics(metrics.Collection):
    """Mean loss and accuracy of the valid pairs, weighted as in the loss (1 / (n_a n_b) for carousels).

    Model outputs, all of one shape ([pairs], or slots x slots): pair_loss, d, t, pair_weight (0 = no valid pair).
    Where the loss is one of single images: image_loss and image_weight too, of one shape, in the place of the pairs'.
    In a pmapped step: `lax.psum(TrainMetrics.single_from_model_output(...), axis)`, or `gather_from_model_output`.
    """

    loss: WeightedMean.from_fun(_loss)  # pyright: ignore[reportInvalidTypeForm, reportArgumentType]
    accuracy: WeightedMean.from_fun(  # pyright: ignore[reportInvalidTypeForm]
        lambda d, t, pair_weight, **_: {"values": pair_accuracy(d, t), "weights": pair_weight}
    )
