"""The small transformer of AdaBins (arXiv 2011.14141), which turns the decoder's map into bins and range attention.

Written from a description of the network. Parameter names follow the official checkpoints, as in `adabins.network`.
Shapes: N images, h w the map's sides, C channels, S tokens, B bins.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.layers.linear import Linear
from third_party_ports.layers.winograd import convolution

EPSILON = 1e-5  # flax's own default is 1e-6


class MiniViT(nn.Module):
    """The decoder's map [N, h, w, C] -> range attention [N, h, w, queries], widths of the bins [N, B], and by name
    `tokens` [N, S, C] and `range_attention`."""

    width: int
    heads: int
    layers: int
    hidden: int
    patch: int
    positions: int
    queries: int
    bins: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        t = PatchTransformer(
            self.width,
            self.heads,
            self.layers,
            self.hidden,
            self.patch,
            self.positions,
            self.dtype,
            name="patch_transformer",
        )(x)
        r = t[:, 0]
        for n in (0, 2):
            r = nn.leaky_relu(Linear(self.bins, dtype=self.dtype, name=f"regressor_{n}")(r))
        r = Linear(self.bins, dtype=self.dtype, name="regressor_4")(r)
        widths = nn.relu(r.astype(jnp.float32)) + 0.1
        conv = nn.Conv(self.width, (3, 3), dtype=self.dtype, conv_general_dilated=convolution, name="conv3x3")
        values = conv(x)
        attention = jnp.einsum("nhwc,nqc->nhwq", values, t[:, 1 : 1 + self.queries])
        return attention, widths / widths.sum(-1, keepdims=True), {"tokens": t, "range_attention": attention}


class PatchTransformer(nn.Module):
    """A map [N, h, w, C] -> a token for each whole patch, in raster order [N, S, C]."""

    width: int
    heads: int
    layers: int
    hidden: int
    patch: int
    positions: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        side = (self.patch, self.patch)
        t = nn.Conv(self.width, side, side, "VALID", dtype=self.dtype, name="embedding_convPxP")(x)
        t = t.reshape(len(t), -1, self.width)  # [N, S, C]
        positions = self.param("positional_encodings", nn.initializers.uniform(1.0), (self.positions, self.width))
        t = t + positions[: t.shape[1]].astype(self.dtype)
        for n in range(self.layers):
            t = TransformerLayer(self.heads, self.hidden, self.dtype, name=f"layers_{n}")(t)
        return t


class TransformerLayer(nn.Module):
    """Self-attention, then two linear layers, each part followed by a norm: [N, S, C] -> [N, S, C]."""

    heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, t: jax.Array) -> jax.Array:
        norm = partial(nn.LayerNorm, EPSILON, self.dtype)
        t = norm(name="norm1")(t + SelfAttention(self.heads, self.dtype, name="self_attn")(t))
        x = nn.relu(Linear(self.hidden, dtype=self.dtype, name="linear1")(t))
        return norm(name="norm2")(t + Linear(t.shape[-1], dtype=self.dtype, name="linear2")(x))


class SelfAttention(nn.Module):
    """Multi-head self-attention: [N, S, C] -> [N, S, C]."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, t: jax.Array) -> jax.Array:
        n, s, c = t.shape
        each = c // self.heads
        qkv = Linear(3 * c, dtype=self.dtype, name="in_proj")(t)
        q, k, v = jnp.moveaxis(qkv.reshape(n, s, 3, self.heads, each), 2, 0)  # [N, S, heads, C / heads]
        scores = jnp.einsum("nihd,njhd->nhij", q * each**-0.5, k)
        weights = nn.softmax(scores.astype(jnp.float32)).astype(self.dtype)
        t = jnp.einsum("nhij,njhd->nihd", weights, v).reshape(n, s, c)
        return Linear(c, dtype=self.dtype, name="out_proj")(t)
