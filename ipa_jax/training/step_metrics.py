"""What a training step measures: a clu.metrics collection that adds up over pairs, steps and devices.

Kept apart from metrics.py, which reads finished scores and loads neither jax nor clu.
"""

import flax
import jax
import jax.numpy as jnp
from clu import metrics


@flax.struct.dataclass
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
    pair_loss: jax.Array,
    pair_weight: jax.Array,
    image_loss: jax.Array | None = None,
    image_weight: jax.Array | None = None,
    **_,
) -> dict[str, jax.Array]:
    if image_loss is None:
        return {"values": pair_loss, "weights": pair_weight}
    return {"values": image_loss, "weights": image_weight}


@flax.struct.dataclass
class TrainMetrics(metrics.Collection):
    """Mean loss and accuracy of the valid pairs, weighted as in the loss (1 / (n_a n_b) for carousels).

    Model outputs, all of one shape ([pairs], or slots x slots): pair_loss, d, t, pair_weight (0 = no valid pair).
    Where the loss is one of single images: image_loss and image_weight too, of one shape, in the place of the pairs'.
    In a pmapped step: `lax.psum(TrainMetrics.single_from_model_output(...), axis)`, or `gather_from_model_output`.
    """

    loss: WeightedMean.from_fun(_loss)
    accuracy: WeightedMean.from_fun(
        lambda d, t, pair_weight, **_: {"values": pair_accuracy(d, t), "weights": pair_weight}
    )
