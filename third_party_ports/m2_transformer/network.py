"""M2 Transformer (arXiv 1912.08226), ported from aimagelab/meshed-memory-transformer (BSD-3-Clause).

The caption vector needs the encoder; the caption text (`beam_search`) also needs the decoder. Parameter names follow
the official checkpoint: `encoder.layers.0.mhatt.attention.fc_q.weight` is
params["encoder"]["layers_0"]["mhatt"]["attention"]["fc_q"]["kernel"]; `checkpoints.weights` loads them.
Shapes: B images, N rows of words (one or more per image; the rows of an image are next to each other), R regions,
T words, S words that fit into a cache, L layers and so levels, D width, V words of the vocabulary.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.linear import Linear
from third_party_ports.m2_transformer.layers import EPSILON, DecoderLayer, EncoderLayer, Pair

KEYS = KeyMap(  # ignored: what a decoding run leaves in the file
    wrappers=("state_dict",),
    ignored=r"decoder\.(running_(mask_self_attention|seq)|layers\.\d+\.self_att\.running_(keys|values))",
)


class Cache(NamedTuple):
    """What later words see of earlier ones.

    Attributes:
      keys, values: [N, L, S, heads, D / heads].
      real: [N, S] bool, False for pads.
    """

    keys: jax.Array
    values: jax.Array
    real: jax.Array


class M2Transformer(nn.Module):
    """Turns region features into encoder levels, and words into the log-probabilities of the next ones.

    Attributes:
      vocabulary: V.
      width: D.
      heads: of every attention.
      layers: of the encoder, and of the decoder.
      memories: learned keys and values beside the regions.
      hidden: width inside the feed-forward parts.
      positions: rows of the position table; sequences have at most one word less.
      pad, bos, eos: indices of the special words.
      mask_padding: whether attention ignores the rows beyond the region count. The published weights saw these rows in
        training, which the authors did not intend. For these weights, leave it off and always give 50 rows.
      dtype: of the computation; parameters, norm statistics, softmax and log-probabilities stay float32.
    """

    vocabulary: int = 10201
    width: int = 512
    heads: int = 8
    layers: int = 3
    memories: int = 40
    hidden: int = 2048
    positions: int = 55
    pad: int = 1
    bos: int = 2
    eos: int = 3
    mask_padding: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"M2Transformer: width {self.width} is not a multiple of {self.heads} heads")
        sizes = {"width": self.width, "heads": self.heads, "hidden": self.hidden, "dtype": self.dtype}
        self.encoder = Encoder(self.layers, self.memories, **sizes)
        self.decoder = Decoder(self.layers, self.vocabulary, self.positions, self.pad, **sizes)

    def __call__(
        self, regions: jax.Array, tokens: jax.Array | None = None, valid: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Regions [B, R, features], words [B, T] int (None: only `bos`) -> levels [B, L, R, D], log-probabilities
        [B, T, V] float32 of the words that follow, and by name `projection`, `encoder_layer{l}` [B, R, D] and
        `decoder_layer{l}` [B, T, D]. See `encode` and `decode`."""
        if tokens is None:
            tokens = jnp.full((len(regions), 1), self.bos)
        levels, out = self.encoder(regions, self._visible(regions.shape[1], valid))
        logprobs, taps = self._decode(tokens, levels, valid)
        return levels, logprobs, out | taps

    def encode(self, regions: jax.Array, valid: jax.Array | None = None) -> jax.Array:
        """Region features [B, R, features] with zero rows after the real ones -> levels [B, L, R, D], the lowest first.

        `valid` [B] int, the number of each image's real rows, is read only with `mask_padding`, which raises ValueError
        if it is None.
        """
        return self.encoder(regions, self._visible(regions.shape[1], valid))[0]

    def decode(self, tokens: jax.Array, levels: jax.Array, valid: jax.Array | None = None) -> jax.Array:
        """Words [B, T] int that begin with `bos` -> log-probabilities [B, T, V] float32 of the word after each.

        No other word sees a pad, and the distribution after a pad is uniform. Raises ValueError for more than
        positions - 1 words, and where `encode` does.
        """
        return self._decode(tokens, levels, valid)[0]

    def context(self, levels: jax.Array) -> list[list[Pair]]:
        """Levels [B, L, R, D] -> what `step` reads of them: keys and values of each level, for each layer."""
        return self.decoder.context(levels)

    def step(
        self,
        words: jax.Array,
        position: jax.Array | int,
        cache: Cache,
        context: list[list[Pair]],
        valid: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache]:
        """One word [N] int at `position` (0: `bos`) -> log-probabilities [N, V] of the next one, and the new cache.

        N is a multiple of B, the number of images of the context. The first N / B rows see image 0, and so on.
        """
        visible = self._visible(context[0][0][0].shape[1], valid)
        logprobs, cache, _ = self.decoder(words[:, None], position, cache, context, visible)
        return logprobs[:, 0], cache

    def empty_cache(self, rows: int, length: int) -> Cache:
        """Returns a cache for `length` words in each of `rows` rows. Raises ValueError if there are fewer positions."""
        if length >= self.positions:
            raise ValueError(
                f"M2Transformer: {length} words, but positions {self.positions} allow {self.positions - 1}"
            )
        keys = jnp.zeros((rows, self.layers, length, self.heads, self.width // self.heads), self.dtype)
        return Cache(keys, keys, jnp.zeros((rows, length), bool))

    def _decode(self, tokens, levels, valid) -> tuple[jax.Array, dict[str, jax.Array]]:
        context, cache = self.decoder.context(levels), self.empty_cache(*tokens.shape)
        logprobs, _, out = self.decoder(tokens, 0, cache, context, self._visible(levels.shape[2], valid))
        return logprobs, out

    def _visible(self, rows: int, valid: jax.Array | None) -> jax.Array | None:
        """Returns which rows attention sees, [B, R] bool, or None for all."""
        if not self.mask_padding:
            return None
        if valid is None:
            raise ValueError("M2Transformer: mask_padding needs `valid`, the number of real regions of each image")
        return jnp.arange(rows) < valid[:, None]


def caption_vector(levels: jax.Array, count: jax.Array) -> jax.Array:
    """Levels [B, L, R, D] -> [B, D] float32: the mean of the last level's first `count` [B] int rows, as a unit vector.

    The dot product of two of them is the caption similarity. An image without regions gets zeros.
    """
    real = jnp.arange(levels.shape[2]) < count[:, None]  # [B, R]
    total = jnp.where(real[..., None], levels[:, -1].astype(jnp.float32), 0).sum(1)
    mean = total / jnp.maximum(count, 1)[:, None]
    return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)


class Encoder(nn.Module):
    """Regions [B, R, features], visible [B, R] bool or None -> levels [B, L, R, D], taps [B, R, D] by name."""

    layers: int
    memories: int
    width: int
    heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, regions: jax.Array, visible: jax.Array | None) -> tuple[jax.Array, dict[str, jax.Array]]:
        seen = None
        if visible is not None:  # the memories always are
            seen = jnp.pad(visible, ((0, 0), (0, self.memories)), constant_values=True)[:, None]  # [B, 1, R + memories]
        x = nn.relu(Linear(self.width, dtype=self.dtype, name="fc")(regions))
        out = {"projection": nn.LayerNorm(EPSILON, self.dtype, name="layer_norm")(x)}
        x = out["projection"]
        for i in range(self.layers):
            layer = EncoderLayer(self.memories, self.width, self.heads, self.hidden, self.dtype, name=f"layers_{i}")
            out[f"encoder_layer{i}"] = x = layer(x, seen)
        return jnp.stack([out[f"encoder_layer{i}"] for i in range(self.layers)], 1), out


class Decoder(nn.Module):
    """Turns words into log-probabilities: a whole sequence in one call with an empty cache, or word by word."""

    layers: int
    vocabulary: int
    positions: int
    pad: int
    width: int
    heads: int
    hidden: int
    dtype: Any

    def setup(self) -> None:
        self.word_emb = nn.Embed(self.vocabulary, self.width, dtype=self.dtype, name="word_emb")
        self.pos_emb = nn.Embed(self.positions, self.width, dtype=self.dtype, name="pos_emb")
        sizes = {"width": self.width, "heads": self.heads, "hidden": self.hidden, "dtype": self.dtype}
        self.blocks = [DecoderLayer(self.layers, **sizes, name=f"layers_{i}") for i in range(self.layers)]
        self.fc = Linear(self.vocabulary, use_bias=False, dtype=self.dtype, name="fc")

    def context(self, levels: jax.Array) -> list[list[Pair]]:
        return [[block.enc_att.pair(levels[:, i]) for i in range(self.layers)] for block in self.blocks]

    def __call__(self, tokens, position, cache: Cache, context, visible) -> tuple[jax.Array, Cache, dict]:
        """tokens [N, T] at positions `position`, ... -> log-probabilities [N, T, V], the filled cache, and by name
        `decoder_layer{l}` [N, T, D]; visible [B, R] bool or None."""
        place = position + jnp.arange(tokens.shape[1])  # [T]
        # Pads get their place's row like any word (in the original, row 0). It makes no difference: nobody sees a pad.
        x = self.word_emb(tokens) + self.pos_emb(place + 1)[None]
        keys, values, real = cache
        real = jax.lax.dynamic_update_slice(real, tokens != self.pad, (0, position))
        seen = real[:, None] & (jnp.arange(real.shape[1]) <= place[:, None])  # [N, T, S]
        visible = None if visible is None else visible[:, None]
        alive = (tokens != self.pad)[..., None].astype(self.dtype)
        out = {}
        for i, block in enumerate(self.blocks):
            key, value = block.self_att.pair(x)
            keys = jax.lax.dynamic_update_slice(keys, key[:, None], (0, i, position, 0, 0))
            values = jax.lax.dynamic_update_slice(values, value[:, None], (0, i, position, 0, 0))
            x = block(x, alive, (keys[:, i], values[:, i]), seen, context[i], visible)
            out[f"decoder_layer{i}"] = x
        logprobs = nn.log_softmax(self.fc(x).astype(jnp.float32))
        return logprobs, Cache(keys, values, real), out
