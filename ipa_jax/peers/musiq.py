"""MUSIQ ("Multi-scale Image Quality Transformer", Ke et al. 2021), fine-tuned on our pairs.

The paper's row is zero-shot (zero_shot.py). Trained here, as ours [choice]: one new output z, our pair loss, from the
published weights (config.init.peer, for example musiq_ava; its head is left out) or at random, AdamW 1e-5, the photo's
own tokens cut to 512 drawn uniformly at random in training, all of them (up to musiq.score_tokens, then the first) in
evaluation. The training code was not published: fine-tuning by SGD, 10 to 30 epochs, flips and crops, no resizing, the
first 512 tokens [recalled]. Photos are flipped here, not cropped.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from third_party_ports.peers.musiq import MUSIQ


class MusiqPeer(nn.Module):
    """z = MUSIQ with one output. `network`: fields of MUSIQ."""

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
        """inputs: patches float32 [N, T, P * P * 3], spatial, scale int32 [N, T], patch_mask bool [N, T] -> z [N]."""
        names = ("patches", "spatial", "scale", "patch_mask")
        musiq = MUSIQ(**self.network, outputs=1, dtype=self.dtype, name="musiq")
        logits, cls, _ = musiq(*(inputs[name] for name in names))
        return logits[:, 0], {"embedding": cls}


def build(config: ConfigDict, *, dtype: str) -> MusiqPeer:
    """The network of config.musiq."""
    fields = {k: config.musiq[k] for k in ("width", "layers", "heads", "hidden", "stem", "groups", "grid", "patch")}
    fields["scales"] = len(config.musiq.longer_sides) + 1
    return MusiqPeer(fields, jnp.dtype(dtype))
