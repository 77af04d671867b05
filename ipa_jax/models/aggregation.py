"""Fusing the branches' tokens into one embedding: aggregation encoder, or Table 2's concatenation (section 3.4)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.layers.linear import Linear


class Attention(nn.Module):
    """Multi-head self-attention over tokens [N, T, D]; mask [N, T] bool, False = a slot that nobody may look at."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        n, t, d = x.shape
        qkv = Linear(3 * d, dtype=self.dtype, name="qkv")(x).reshape(n, t, 3, self.heads, d // self.heads)
        q, k, v = jnp.moveaxis(qkv, 2, 0)  # [N, T, heads, D / heads] each
        scores = jnp.einsum("nqhc,nkhc->nhqk", q, k).astype(jnp.float32) / jnp.sqrt(d / self.heads)
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(jnp.float32).min)
        weights = nn.softmax(scores).astype(self.dtype)  # float32 softmax, whatever dtype is
        out = jnp.einsum("nhqk,nkhc->nqhc", weights, v).reshape(n, t, d)
        return Linear(d, dtype=self.dtype, name="proj")(out)


class Block(nn.Module):
    """Pre-norm transformer block: x + attention, x + FFN."""

    heads: int
    mlp_ratio: int = 4
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        d = x.shape[-1]
        norm = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm1")
        x = x + Attention(self.heads, self.dtype, name="attn")(norm(x), mask)
        y = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm2")(x)
        y = nn.gelu(Linear(self.mlp_ratio * d, dtype=self.dtype, name="fc1")(y), approximate=False)
        return x + Linear(d, dtype=self.dtype, name="fc2")(y)


class AggregationEncoder(nn.Module):
    """Fuses all tokens [N, T, D] into the CLS embedding [N, D]; mask [N, T] bool, False = empty slot."""

    blocks: int = 4
    heads: int = 8
    mlp_ratio: int = 4
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        n, _, d = tokens.shape
        cls = self.param("cls", nn.initializers.normal(0.02), (1, 1, d)).astype(tokens.dtype)
        x = jnp.concatenate([jnp.tile(cls, (n, 1, 1)), tokens], axis=1)  # [N, 1 + T, D]
        seen = jnp.pad(mask, ((0, 0), (1, 0)), constant_values=True)  # [N, 1 + T]
        for i in range(self.blocks):
            x = Block(self.heads, self.mlp_ratio, self.dtype, name=f"block{i}")(x, seen)
        return nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name="norm")(x[:, 0])  # float32: close scores stay apart


class Concatenation(nn.Module):
    """Table 2, "Concatenation": the branches' pooled features, concatenated, through an MLP to an embedding [N, D]."""

    mlp_ratio: int = 4
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, pooled: jax.Array) -> jax.Array:
        """pooled [N, F], all branches side by side."""
        width = self.mlp_ratio * pooled.shape[-1]
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(pooled)
        x = nn.gelu(Linear(width, dtype=self.dtype, name="fc1")(x), approximate=False)
        return nn.gelu(Linear(pooled.shape[-1], dtype=self.dtype, name="fc2")(x), approximate=False)
