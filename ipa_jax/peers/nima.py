"""NIMA ("Neural Image Assessment", Talebi and Milanfar 2018): votes for scores 1 to 10, fine-tuned on likes.

The paper's row is zero-shot (zero_shot.py). Trained here, as ours [choice]: the target of an image is the quantile of
its likes among its account's train images, as votes (losses.quantile_votes), under `loss.name` emd_squared, or emd as
NIMA's paper has it; a pair loss instead trains z = log of the mean vote on our pairs. Photos come as our other networks
have them, squeezed bilinearly and cropped at random [choice]; the published code takes nearest neighbours. Its recipe:
Adam, the last layer alone 5 epochs at 1e-3, then everything 9 epochs at 3e-5, batch 96, dropout 0.75; the paper's:
SGD, 3e-7 and 3e-6 [recalled]. Ours: AdamW at once, 3e-5 and 1e-3 for the last layer [choice].
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from third_party_ports.peers.nima import Nima, mean_score
from third_party_ports.peers.nima_input import scaled

FLOOR = 1e-3  # of a score, whose logarithm is z


class NimaPeer(nn.Module):
    """z = log of the mean vote. `network`: fields of Nima."""

    network: Mapping[str, Any]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        inputs: Mapping[str, jax.Array],
        *,
        train: bool,
        keys: jax.Array | None = None,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """inputs: image uint8 [N, c, c, 3], slot_mask bool [N] -> z float32 [N]; votes [N, 10] by name."""
        nima = Nima(**self.network, dtype=self.dtype, name="nima")
        images = scaled(inputs["image"]).astype(self.dtype)
        votes, _ = nima(images, train=train, mask=inputs["slot_mask"], axis_name=axis_name, keys=keys)
        return jnp.log(jnp.maximum(mean_score(votes), FLOOR)), {"votes": votes}


def build(config: ConfigDict, *, dtype: str) -> NimaPeer:
    """The network of config.nima; its votes start where they are, whatever the likes."""
    return NimaPeer(config.nima.to_dict(), jnp.dtype(dtype))
