"""The layers of M2 Transformer (arXiv 1912.08226), ported from aimagelab/meshed-memory-transformer (BSD-3-Clause).

Shapes: B images, N rows of words (one or more an image, an image's rows side by side), T queries, S keys, R regions,
D width.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.layers.linear import Linear

EPSILON = 1e-5  # flax's own default, 1e-6, is visible in the golden fixture
Pair = tuple[jax.Array, jax.Array]  # keys and values, [B, S, heads, D / heads] each


class Attention(nn.Module):
    """Multi-head attention; `memories` learned keys and values stand after those of the input."""

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
        """[B, S, D] -> keys and values of x, and of the memories."""
        keys, values = self.fc_k(x), self.fc_v(x)
        if self.memories:
            scales = (self.width / self.heads) ** 0.5, self.memories**0.5
            keys, values = (
                jnp.concatenate([own, jnp.repeat(scale * learned, len(x), 0).astype(self.dtype)], 1)
                for own, learned, scale in zip((keys, values), (self.m_k, self.m_v), scales, strict=True)
            )
        return self._split(keys, len(x)), self._split(values, len(x))

    def __call__(self, x: jax.Array, pair: Pair, seen: jax.Array | None) -> jax.Array:
        """[N, T, D] -> [N, T, D]; `seen` [B, 1 or N / B * T, S] bool (None: all) hides keys from queries."""
        keys, values = pair
        queries = self._split(self.fc_q(x), len(keys))  # [B, N / B * T, heads, D / heads]: an image's rows are one set
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
        return self.attention.pair(x)

    def __call__(self, x: jax.Array, pair: Pair, seen: jax.Array | None) -> jax.Array:
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
    """Causal self-attention, gated attention to every encoder level, the feed-forward part: [N, T, D] -> [N, T, D]."""

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

    def __call__(self, x, real, own: Pair, seen, context: list[Pair], visible) -> jax.Array:
        """`real` [N, T, 1] is 0 for pads, else 1; `own` and `seen` belong to the self-attention, `context` (a pair a
        level) and `visible` [B, 1, R] to the other one."""
        words = self.self_att(x, own, seen)
        mixed = 0
        for i, pair in enumerate(context):
            level = self.enc_att(words, pair, visible)
            gate = nn.sigmoid(getattr(self, f"fc_alpha{i + 1}")(jnp.concatenate([words, level], -1)))
            mixed = mixed + gate * level
        # No residual around the sum: `words` is inside each level. The original zeroes pads after every part; once is
        # enough, as no other word sees them.
        return real * self.pwff(mixed * self.levels**-0.5)
