"""The layers of M2 Transformer (arXiv 1912.08226), ported from aimagelab/meshed-memory-transformer (BSD-3-Clause).

Shapes: B images, N rows of words (one or more per image; the rows of an image are next to each other), T queries,
S keys, R regions, D width.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.layers.linear import Linear

EPSILON = 1e-5  # with flax's default, 1e-6, the golden fixture fails
Pair = tuple[jax.Array, jax.Array]  # keys and values, each [B, S, heads, D / heads]


class Attention(nn.Module):
    """Multi-head attention. `memories` learned keys and values follow those of the input."""

    width: int
    heads: int
    dtype: Any
    memories: int = 0

    def setup(self) -> None:
        self.fc_q, self.fc_k, self.fc_v, self.fc_o = (Linear(self.width, dtype=self.dtype) for _ in range(4))
        if self.memories:
            shape = (1, self.memories, self.width)
            self.m_k = self.param("m_k", nn.initializers.normal((self.width / self.heads) ** -0.5), shape)
            self.m_v = self.param("m_v", nn.initializers.normal(self.memories**-0.5), shape)

    def pair(self, x: jax.Array) -> Pair:
        """[B, S, D] -> keys and values of x, followed by those of the memories."""
        keys, values = self.fc_k(x), self.fc_v(x)
        if self.memories:
            scales = (self.width / self.heads) ** 0.5, self.memories**0.5
            keys, values = (
                jnp.concatenate([own, jnp.repeat(scale * learned, len(x), 0).astype(self.dtype)], 1)
                for own, learned, scale in zip((keys, values), (self.m_k, self.m_v), scales, strict=True)
            )
        return self._split(keys, len(x)), self._split(values, len(x))

    def __call__(self, x: jax.Array, pair: Pair, seen: jax.Array | None) -> jax.Array:
        """[N, T, D] -> [N, T, D]. `seen` [B, 1 or N / B * T, S] bool says which keys a query sees (None: all)."""
        keys, values = pair
        queries = self._split(self.fc_q(x), len(keys))  # [B, N / B * T, heads, D / heads]: all rows of an image
        scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys).astype(jnp.float32) * queries.shape[-1] ** -0.5
        if seen is not None:
            scores = jnp.where(seen[:, None], scores, jnp.finfo(jnp.float32).min)
        x = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(scores).astype(self.dtype), values).reshape(x.shape)
        return self.fc_o(x)

    def _split(self, x: jax.Array, batch: int) -> jax.Array:
        return x.reshape(batch, -1, self.heads, self.width // self.heads)


class NormedAttention(nn.Module):
    """LayerNorm(x + attention(x)): [N, T, D] -> [N, T, D]."""

    width: int
    heads: int
    dtype: Any
    memories: int = 0

    def setup(self) -> None:
        self.attention = Attention(self.width, self.heads, self.dtype, self.memories)
        self.layer_norm = nn.LayerNorm(EPSILON, self.dtype)

    def pair(self, x: jax.Array) -> Pair:
        """See `Attention.pair`."""
        return self.attention.pair(x)

    def __call__(self, x: jax.Array, pair: Pair, seen: jax.Array | None) -> jax.Array:
        """See `Attention`."""
        return self.layer_norm(x + self.attention(x, pair, seen))


class FeedForward(nn.Module):
    """LayerNorm(x + two layers of x): [N, T, D] -> [N, T, D]."""

    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inside = nn.relu(Linear(self.hidden, dtype=self.dtype, name="fc1")(x))
        x = x + Linear(x.shape[-1], dtype=self.dtype, name="fc2")(inside)
        return nn.LayerNorm(EPSILON, self.dtype, name="layer_norm")(x)


class EncoderLayer(nn.Module):
    """Self-attention with memories, then the feed-forward part: [B, R, D] -> [B, R, D]."""

    memories: int
    width: int
    heads: int
    hidden: int
    dtype: Any

    def setup(self) -> None:
        self.mhatt = NormedAttention(self.width, self.heads, self.dtype, self.memories)
        self.pwff = FeedForward(self.hidden, self.dtype)

    def __call__(self, x: jax.Array, seen: jax.Array | None) -> jax.Array:
        return self.pwff(self.mhatt(x, self.mhatt.pair(x), seen))


class DecoderLayer(nn.Module):
    """Causal self-attention, gated attention to every encoder level, then the feed-forward part."""

    levels: int
    width: int
    heads: int
    hidden: int
    dtype: Any

    def setup(self) -> None:
        self.self_att = NormedAttention(self.width, self.heads, self.dtype)
        self.enc_att = NormedAttention(self.width, self.heads, self.dtype)
        for i in range(self.levels):
            setattr(self, f"fc_alpha{i + 1}", Linear(self.width, dtype=self.dtype))
        self.pwff = FeedForward(self.hidden, self.dtype)

    def __call__(
        self,
        x: jax.Array,
        real: jax.Array,
        own: Pair,
        seen: jax.Array | None,
        context: list[Pair],
        visible: jax.Array | None,
    ) -> jax.Array:
        """[N, T, D] -> [N, T, D].

        Args:
          x: the words.
          real: [N, T, 1], 0 for pads, otherwise 1.
          own, seen: keys and values of the self-attention, and which of them each word sees.
          context: keys and values of the encoder, a pair per level.
          visible: [B, 1, R] bool, the regions that the words see; None: all.
        """
        words = self.self_att(x, own, seen)
        mixed = 0
        for i, pair in enumerate(context):
            level = self.enc_att(words, pair, visible)
            gate = nn.sigmoid(getattr(self, f"fc_alpha{i + 1}")(jnp.concatenate([words, level], -1)))
            mixed = mixed + gate * level
        # The sum has no residual connection: `words` is part of each level. The original sets pads to zero after every
        # part. Once is enough, because no other word sees them.
        return real * self.pwff(mixed * self.levels**-0.5)


def check_projection(tensors: Mapping[str, np.ndarray]) -> str | None:
    """Checks that the projection of an empty region does not sum to 0 with these weights.

    M2 Transformer masks every region whose projection sums to 0. If an empty region's did, the released network would
    have hidden the empty rows, and our port shows them to it.

    Args:
      tensors: by official name.

    Returns:
      A remark, or None if the port is right for these weights.
    """
    names = ("encoder.fc.bias", "encoder.layer_norm.weight", "encoder.layer_norm.bias")
    if any(name not in tensors for name in names):
        return None  # the conversion reports missing names
    bias, scale, shift = (np.asarray(tensors[name], np.float64) for name in names)
    x = np.maximum(bias, 0)
    total = ((x - x.mean()) / np.sqrt(x.var() + EPSILON) * scale + shift).sum()
    if abs(total) > 1e-5:
        return None
    return "the projection of an empty region sums to 0: the original hid padding with these weights. Use mask_padding"
