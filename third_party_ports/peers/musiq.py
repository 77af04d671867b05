"""MUSIQ: a photo's quality from patches of copies of it in several sizes (arXiv 2108.05997).

Ported from google-research/musiq (Apache-2.0). Parameter names follow the official .npz files, which hold the
parameters under `opt/target/` beside an optimizer's state; KEYS shortens four names. `musiq_patches` makes the input.
Shapes: N images, T tokens, P = patch, D width, K outputs.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.linear import Linear

RENAMES = (
    (r"^block1\.unit1\.", "block1."),
    (r"\.posembed_input\.", "."),
    (r"\.scaleembed_input\.", "."),
    (r"\.MlpBlock_3\.", "."),
)
KEYS = KeyMap(wrappers=("opt.target",), renames=RENAMES, ignored="", order="flax")
TRUNK_KEYS = KeyMap(
    wrappers=("opt.target",), renames=RENAMES, ignored=r"head\..*", order="flax"
)  # for MUSIQ(outputs=0)
ROOT_EPSILON, BLOCK_EPSILON, LAYER_EPSILON = 1e-6, 1e-4, 1e-6  # the first GroupNorm's, the others', LayerNorm's
KERNEL_EPSILON = 1e-5  # added to a kernel's standard deviation


class MUSIQ(nn.Module):
    """Turns patches of a photo's copies into one score or a distribution over scores.

    Attributes:
      outputs: K: 10 (AVA: logits of the shares of the votes 1 to 10), 1 (a mean opinion score), or 0 (no head, to
        start from the files of another task).
      width: D.
      layers, heads, hidden: of the transformer.
      grid: rows, and columns, of the raster of places.
      scales: copies of a photo, including itself; 1 fits the single-scale files.
      patch: P.
      stem: channels of the first convolution on patches; the residual unit after it returns four times as many.
      groups: of the GroupNorms.
      dtype: of the computation; parameters, norm statistics, softmax, the last norm and the head stay float32.
    """

    outputs: int = 10
    width: int = 384
    layers: int = 14
    heads: int = 6
    hidden: int = 1152
    grid: int = 10
    scales: int = 3
    patch: int = 32
    stem: int = 64
    groups: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, patches: jax.Array, spatial: jax.Array, scale: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """patches [N, T, P * P * 3] in [-1, 1], spatial and scale [N, T] integer, mask [N, T] bool (False: padding) ->
        logits [N, K] float32 (see `score`), cls [N, D] float32, and by name `conv_root`, `root_pool`, `block1`
        [N, T, h, w, C], `embedding` [N, T, D], and for CLS and the tokens `tokens_in`, `block_0` ..., `encoded`
        [N, 1 + T, D]. Values of padding have no meaning."""
        n, t, _ = patches.shape
        x = patches.astype(self.dtype).reshape(n * t, self.patch, self.patch, 3)
        norm = partial(nn.GroupNorm, self.groups, dtype=self.dtype)
        root = StandardisedConv(self.stem, 7, 2, self.dtype, name="conv_root")(x)
        x = nn.relu(norm(epsilon=ROOT_EPSILON, name="gn_root")(root))
        pooled = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        block = Bottleneck(self.stem, self.groups, self.dtype, name="block1")(pooled)
        out = {"conv_root": root, "root_pool": pooled, "block1": block}
        out = {name: tap.reshape(n, t, *tap.shape[1:]) for name, tap in out.items()}
        out["embedding"] = Linear(self.width, dtype=self.dtype, name="embedding")(block.reshape(n, t, -1))
        places = self.grid**2
        encoder = Encoder(self.layers, self.heads, self.hidden, places, self.scales, self.dtype, name="Transformer")
        cls, taps = encoder(out["embedding"], spatial, scale, mask)
        logits = nn.Dense(self.outputs, name="head")(cls) if self.outputs else jnp.zeros((n, 0))
        return logits, cls, out | taps


def score(logits: jax.Array) -> jax.Array:
    """Logits [..., K] -> the predicted mean score [...] float32: the logit if K is 1, else the mean vote of 1 to K."""
    if logits.shape[-1] == 1:
        return logits[..., 0]
    return nn.softmax(logits) @ jnp.arange(1, logits.shape[-1] + 1, dtype=jnp.float32)


class StandardisedConv(nn.Module):
    """A "SAME" convolution of `side` x `side` without bias. Its kernel gets mean 0 and deviation 1 for each output."""

    features: int
    side: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[M, H, W, C] -> [M, H / stride, W / stride, features]."""
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        kernel = kernel - kernel.mean((0, 1, 2))
        kernel = (kernel / (kernel.std((0, 1, 2)) + KERNEL_EPSILON)).astype(self.dtype)
        if self.side == self.stride == 1:
            return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], self.features)
        return jax.lax.conv_general_dilated(
            x, kernel, (self.stride, self.stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the last four times as wide, beside a 1x1 shortcut: [M, H, W, C] -> [..., 4 C]."""

    stem: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def normed(x: jax.Array, features: int, side: int, name: str) -> jax.Array:
            x = StandardisedConv(features, side, 1, self.dtype, name=f"conv{name}")(x)
            return nn.GroupNorm(self.groups, epsilon=BLOCK_EPSILON, dtype=self.dtype, name=f"gn{name}")(x)

        y = nn.relu(normed(x, self.stem, 1, "1"))
        y = nn.relu(normed(y, self.stem, 3, "2"))
        return nn.relu(normed(y, 4 * self.stem, 1, "3") + normed(x, 4 * self.stem, 1, "_proj"))


class Encoder(nn.Module):
    """Tokens [N, T, D] with their places -> CLS [N, D] float32, and by name the tokens after each step."""

    layers: int
    heads: int
    hidden: int
    places: int
    scales: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, spatial: jax.Array, scale: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        n, _, d = x.shape
        normal = nn.initializers.normal(0.02)
        places = self.param("pos_embedding", normal, (1, self.places, d))[0]
        scales = self.param("scale_embedding", normal, (1, self.scales, d))[0]
        cls = self.param("cls", nn.initializers.zeros, (1, 1, d))
        x = x + (places[spatial] + scales[scale]).astype(self.dtype)
        x = jnp.concatenate([jnp.broadcast_to(cls, (n, 1, d)).astype(self.dtype), x], 1)  # [N, 1 + T, D]
        seen = jnp.pad(mask, ((0, 0), (1, 0)), constant_values=True)[
            :, None, None
        ]  # [N, heads = 1, queries = 1, 1 + T]
        out = {"tokens_in": x}
        for i in range(self.layers):
            x = Block(self.heads, self.hidden, self.dtype, name=f"encoderblock_{i}")(x, seen)
            out[f"block_{i}"] = x
        out["encoded"] = nn.LayerNorm(epsilon=LAYER_EPSILON, name="encoder_norm")(x)
        return out["encoded"][:, 0], out


class Block(nn.Module):
    """Attention, then two linear layers, each with a norm before it and a shortcut: [N, 1 + T, D] -> [N, 1 + T, D]."""

    heads: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, seen: jax.Array) -> jax.Array:
        norm = partial(nn.LayerNorm, epsilon=LAYER_EPSILON, dtype=self.dtype)
        attention = nn.MultiHeadDotProductAttention(
            self.heads, dtype=self.dtype, force_fp32_for_softmax=True, name="MultiHeadDotProductAttention_1"
        )
        x = x + attention(norm(name="LayerNorm_0")(x), mask=seen)
        y = Linear(self.hidden, dtype=self.dtype, name="Dense_0")(norm(name="LayerNorm_2")(x))
        return x + Linear(x.shape[-1], dtype=self.dtype, name="Dense_1")(nn.gelu(y, approximate=True))
