"""UHAN ("User-guided Hierarchical Attention Network", Zhang et al. 2018): photo, text and account to log likes.

The network is third_party_ports/peers/uhan.py. Trained here on single images by the squared error of log likes, as
the paper did with its peers. Ours [choice]: regions are the last map of a frozen Swin or ResNet in the place of
VGG16's; the text is the post's own, its first 50 known words; row 0 of the account table is for unknown accounts, and
a share of the train images has it (config.uhan.unknown), so that it is trained; AdamW 1e-3, falling by the one train
loop's cosine where the authors keep 1e-3 and stop early, with decay 1e-4 on the word table in the place of their L2
penalty there (theirs on the dense layers' biases is left out); batch 128 images as published; the best checkpoint is
chosen on validation pair accuracy. Splits are ours. Unknown: the paper's width and penalties. It sees no memory bank
and no past likes.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ipa_jax.input import texts
from third_party_ports.imagenet import normalise
from third_party_ports.peers.uhan import UHAN
from third_party_ports.resnet import ResNet
from third_party_ports.swin import Swin


class UhanPeer(nn.Module):
    """z = UHAN's log popularity.

    Attributes: `network`: fields of UHAN; `grid`: "swin" or "resnet", `trunk`: its fields; `frozen`: it is not trained;
      `field`: of the text.
    """

    network: Mapping[str, Any]
    grid: str
    trunk: Mapping[str, Any]
    frozen: bool = True
    field: str = "post"
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
        """inputs: image uint8 [N, c, c, 3], slot_mask bool [N], words/FIELD int32 [N, L], account int32 [N] -> z
        float32 [N], and UHAN's weights and vectors by name."""
        pixels = normalise(inputs["image"]).astype(self.dtype)
        moving = train and not self.frozen
        if self.grid == "swin":
            regions, _ = Swin(**self.trunk, dtype=self.dtype, name="swin")(pixels, keys=keys if moving else None)
        else:
            resnet = ResNet(**self.trunk, dtype=self.dtype, name="resnet")
            _, out = resnet(pixels, train=moving, mask=inputs["slot_mask"], axis_name=axis_name)
            last = out[f"layer{len(self.trunk['stage_sizes'])}"]
            regions = last.reshape(len(last), -1, last.shape[-1])
        if self.frozen:
            regions = jax.lax.stop_gradient(regions)
        uhan = UHAN(**self.network, dtype=self.dtype, name="uhan")
        z, out = uhan(regions, inputs[f"words/{self.field}"], inputs["account"])
        return z, out


def build(config: ConfigDict, *, dtype: str) -> UhanPeer:
    """The network of config.uhan: a row of its tables for each account and word that there may be."""
    uhan = config.uhan
    network = {"users": config.data.top_n + 1, "words": config.texts.words + 1, "width": uhan.width}
    network |= {"head": uhan.head, "gates": uhan.gates}
    depth = config.model.depth
    trunk = (
        config.model.swin.to_dict()
        if uhan.grid == "swin"
        else {"stage_sizes": depth.stage_sizes, "width": depth.width, "stem": depth.stem}
    )
    return UhanPeer(network, uhan.grid, trunk, uhan.image == "frozen", texts.names(uhan.fields)[0], jnp.dtype(dtype))
