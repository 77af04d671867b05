"""The readings of eq. 7 (section 3.5, Table 2), elementwise over pairs, in logits z = log s and log likes.

The network's head gives z, so no score is ever exponentiated alone: d = z_a - z_b is the log ratio of the scores and
t = log l_a - log l_b that of the likes. Masks, weights and means belong to the step. The losses of single images, which
some peers are trained with, come after those of pairs. Each loss has a row in `ipa_jax.models.registry.LOSSES`.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from third_party_ports.peers import nima

RAW_LOG_LIMIT = math.log(100)  # ratios beyond 1 : 100 count as 1 : 100 in `ratio_raw`


def ratio_share(z_a: jax.Array, z_b: jax.Array, log_a: jax.Array, log_b: jax.Array) -> jax.Array:
    """Squared error of each image's share of the pair: 2 (sigmoid(d) - sigmoid(t))^2, in [0, 2] (eq. 7, default).

    Args: logits z and natural log likes of the two images, float [pairs] each. Returns float [pairs].
    """
    return _share_error(z_a - z_b, log_a - log_b)


@jax.custom_jvp
def _share_error(d: jax.Array, t: jax.Array) -> jax.Array:
    """2 (sigmoid(d) - sigmoid(t))^2."""
    side = jnp.where(t > 0, -1.0, 1.0)  # both shares have the same error; near 1 float32 would round it away
    return 2 * jnp.square(jax.nn.sigmoid(side * d) - jax.nn.sigmoid(side * t))


@_share_error.defjvp
def _share_slopes(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The slopes from exponents of negative numbers alone. Differentiated as it stands, the error of a pair that is
    badly wrong would have slope s (1 - s) = 0, as its share s rounds to 1 in float32."""
    d, t = primals
    high, low = jnp.maximum(d, t), jnp.minimum(d, t)
    apart = -jnp.sign(d - t) * jax.nn.sigmoid(high) * jax.nn.sigmoid(-low) * jnp.expm1(low - high)

    def steepness(x: jax.Array) -> jax.Array:
        """sigmoid'(x)."""
        small = jnp.exp(-jnp.abs(x))
        return small / jnp.square(1 + small)

    slope = 4 * apart * (steepness(d) * tangents[0] - steepness(t) * tangents[1])
    return _share_error(d, t), slope


def ratio_raw(z_a: jax.Array, z_b: jax.Array, log_a: jax.Array, log_b: jax.Array) -> jax.Array:
    """Squared error of the plain ratios, both ways: (e^d - e^t)^2 + (e^-d - e^-t)^2 (eq. 7, the literal text).

    d and t are clipped to +-log 100. The clip of d is straight-through: the value and the slope are those at the
    clipped d, and that slope reaches z undiminished, so a pair beyond the limit is still pulled back.
    Args: logits z and natural log likes of the two images, float [pairs] each. Returns float [pairs].
    """
    d, t = z_a - z_b, jnp.clip(log_a - log_b, -RAW_LOG_LIMIT, RAW_LOG_LIMIT)
    clipped = jax.lax.stop_gradient(jnp.clip(d, -RAW_LOG_LIMIT, RAW_LOG_LIMIT))
    d = clipped + (d - jax.lax.stop_gradient(d))  # in this order the bracket is exactly 0
    return jnp.square(jnp.exp(d) - jnp.exp(t)) + jnp.square(jnp.exp(-d) - jnp.exp(-t))


def ratio_log(z_a: jax.Array, z_b: jax.Array, log_a: jax.Array, log_b: jax.Array) -> jax.Array:
    """Squared error of the log2 ratio: ((d - t) / log 2)^2, which is Ratio MSE itself (eq. 9).

    Args: logits z and natural log likes of the two images, float [pairs] each. Returns float [pairs].
    """
    return jnp.square(((z_a - z_b) - (log_a - log_b)) / math.log(2))


def log_likes(z_a: jax.Array, z_b: jax.Array, log_a: jax.Array, log_b: jax.Array) -> jax.Array:
    """Regression of log likes, no pairing: the mean of (z - log l)^2 over the pair's two images (Table 2).

    Args: logits z and natural log likes of the two images, float [pairs] each. Returns float [pairs].
    """
    return (jnp.square(z_a - log_a) + jnp.square(z_b - log_b)) / 2


def bce(z_a: jax.Array, z_b: jax.Array, log_a: jax.Array, log_b: jax.Array) -> jax.Array:
    """Cross-entropy of the pair's order, I2PA's: -log sigmoid(z of the more liked image - z of the other).

    Args: logits z and natural log likes of the two images, float [pairs] each. Returns float [pairs].
    """
    return jax.nn.softplus(-jnp.sign(log_a - log_b) * (z_a - z_b))


def image_log_likes(z: jax.Array, out: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> jax.Array:
    """(z - log likes)^2 of each image, as UHAN and Xu are trained.

    Not `log_likes`, where an image counts once for each pair that it is in: those of extreme likes are in more.
    Args: z float32 [images]; out: the network's; batch: log_likes [images]. Returns float32 [images].
    """
    return jnp.square(z - batch["log_likes"])


def image_huber(z: jax.Array, out: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> jax.Array:
    """As image_log_likes, linear beyond an error of 1: 2 huber(z - log likes)."""
    error = jnp.abs(z - batch["log_likes"])
    return jnp.where(error < 1, jnp.square(error), 2 * error - 1)


def quantile_votes(quantile: jax.Array, scores: int = 10) -> jax.Array:
    """NIMA's target from likes: quantiles q [...] in (0, 1) -> shares of the votes [..., scores], which fall off as a
    normal curve of deviation 1 around 1 + (scores - 1) q."""
    middle = 1 + (scores - 1) * quantile[..., None]
    return jax.nn.softmax(-jnp.square(jnp.arange(1, scores + 1) - middle) / 2)


def emd_squared(z: jax.Array, out: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> jax.Array:
    """NIMA's: the mean squared difference of the cumulative votes, against those of the likes' quantile.

    Args: out: votes [images, 10] of sum 1; batch: quantile [images]. Returns float32 [images].
    """
    return nima.emd_squared(quantile_votes(batch["quantile"], out["votes"].shape[-1]), out["votes"])


def emd(z: jax.Array, out: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> jax.Array:
    """NIMA's as its paper writes it: the root of emd_squared."""
    return nima.emd(quantile_votes(batch["quantile"], out["votes"].shape[-1]), out["votes"])
