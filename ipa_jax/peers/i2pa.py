"""I2PA ("Intrinsic Image Popularity Assessment", Ding, Ma and Wang 2019), fine-tuned on our pairs.

The paper's row is zero-shot (zero_shot.py). Its loss, two streams of one network and binary cross-entropy of the pair's
order [public], is `loss.name = "bce"`. Its recipe beyond "ImageNet ResNet-50, fine-tuned" [recalled] is unknown. Ours
[choice]: our valid pairs, which share an account and a week as its pairs share an account and ten days, all layers,
AdamW 1e-4, flips, random crops; pixels in [0, 1] when starting from the released file (config.init.peer, i2pa.pixels
"unit": it knows no normalisation), normalised when starting from ImageNet's (config.init.resnet, "imagenet"). The rate
falls by the one train loop's cosine, which stands for a drop to 1e-5 at the first plateau. Its pairs were also chosen
for short captions and few hashtags: an option here, off by default (caption_filter.py).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from third_party_ports.imagenet import normalise
from third_party_ports.peers.i2pa import I2PA, scaled


class I2paPeer(nn.Module):
    """z = I2PA's score. `network`: fields of I2PA; `pixels`: "unit" or "imagenet"."""

    network: Mapping[str, Any]
    pixels: str = "unit"
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
        """inputs: image uint8 [N, c, c, 3], slot_mask bool [N] -> z float32 [N]; the pooled vector [N, C] by name."""
        pixels = scaled(inputs["image"])
        pixels = normalise(pixels) if self.pixels == "imagenet" else pixels
        i2pa = I2PA(**self.network, dtype=self.dtype, name="i2pa")
        z, out = i2pa(pixels.astype(self.dtype), train=train, mask=inputs["slot_mask"], axis_name=axis_name)
        return z, {"embedding": out["pooled"]}


def build(config: ConfigDict, *, dtype: str) -> I2paPeer:
    """The network of config.i2pa."""
    fields = {"stage_sizes": config.i2pa.stage_sizes, "width": config.i2pa.width}
    return I2paPeer(fields, config.i2pa.pixels, jnp.dtype(dtype))
