"""Swin transformer (arXiv 2103.14030), ported from microsoft/Swin-Transformer (MIT).

Parameter names follow the official checkpoints: `layers.0.blocks.1.attn.qkv.weight` is
params["layers_0"]["blocks_1"]["attn"]["qkv"]["kernel"]; `third_party_ports.checkpoints.weights` loads them.
Shapes: N images, S image side, H W the grid, T = H * W tokens, C width, w window side, G windows.
"""

from functools import lru_cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.linear import Linear
from third_party_ports.layers.remat import keeping_products

KEYS = KeyMap(
    wrappers=("model",),
    ignored=r"head\.(weight|bias)|layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)",
)
EPSILON = 1e-5  # flax's own default, 1e-6, is visible in the golden fixture


class Swin(nn.Module):
    """Turns images into tokens, in any number of stages. All but the last end with a patch merging.

    Attributes:
      patch: side of an embedded patch, in pixels.
      width: C of the first stage; each merging doubles it.
      depths: blocks of each stage.
      heads: attention heads of each stage.
      window: side of an attention window, in grid cells. If the grid is not larger, the window is the whole grid.
      drop_path: stochastic depth of the last block. It rises linearly from 0 at the first block.
      dtype: of the computation; parameters, norm statistics and softmax stay float32.
      remat: keep only each block's products for the backward pass (`layers.remat`).
    """

    patch: int = 4
    width: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 7
    drop_path: float = 0.2
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, keys: jax.Array | None = None) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Computes the tokens of images.

        Args:
          images: normalised RGB [N, S, S, 3].
          keys: [N] typed PRNG keys, one per image, for stochastic depth in training; None: inference. Branch r of block
            b is dropped by fold_in(key, 2 b + r), so an image's draws depend neither on its place in a batch nor on the
            number of devices.

        Returns:
          The tokens [N, T, C] after the final norm, and by name `patch_embed`, `stage{s}_block{b}`, `stage{s}` (after
          its merging) and `tokens`, all [N, T, C], and `pooled` [N, C] float32.

        Raises:
          ValueError: sizes that do not fit (see `grids`).
        """
        _, height, width, _ = images.shape
        sides = grids((height, width), self.patch, self.window, self.depths, self.heads, self.width)
        blocks = sum(self.depths)
        keep = None
        if keys is not None and self.drop_path > 0:
            keep = branch_scales(keys, np.linspace(0, self.drop_path, blocks))  # [N, blocks, 2]

        out = {}
        x = PatchEmbed(self.patch, self.width, self.dtype, name="patch_embed")(images)  # [N, T, C]
        out["patch_embed"] = x
        first = 0
        for s, (depth, heads, side) in enumerate(zip(self.depths, self.heads, sides, strict=True)):
            merge = s + 1 < len(sides)
            x, taps = Stage(side, depth, heads, self.window, merge, self.dtype, self.remat, name=f"layers_{s}")(
                x, None if keep is None else keep[:, first : first + depth]
            )
            out |= {f"stage{s}_{name}": tap for name, tap in taps.items()}
            out[f"stage{s}"] = x
            first += depth
        out["tokens"] = nn.LayerNorm(EPSILON, self.dtype, name="norm")(x)
        out["pooled"] = out["tokens"].mean(1, dtype=jnp.float32)
        return out["tokens"], out


def grids(
    size: tuple[int, int], patch: int, window: int, depths: tuple[int, ...], heads: tuple[int, ...], width: int
) -> list[int]:
    """Returns the side of each stage's grid, in cells.

    Raises:
      ValueError: sizes that do not fit. The message says which ones, and what would fit.
    """
    if len(depths) != len(heads):
        raise ValueError(f"Swin: depths {depths} and heads {heads} differ in length: give one number per stage to each")
    height, side = size
    if height != side or side % patch:
        raise ValueError(f"Swin: images of {height} x {side} px: give squares whose side is a multiple of {patch} px")
    side //= patch
    sides = []
    for s, head in enumerate(heads):
        if side > window and side % window:
            raise ValueError(
                f"Swin: stage {s} has a grid of {side} x {side}, which is not a multiple of the window {window}: "
                f"image sides that are multiples of {patch * 2 ** (len(heads) - 1) * window} px always fit"
            )
        if s + 1 < len(heads) and side % 2:
            raise ValueError(f"Swin: stage {s} has a grid of {side} x {side}, which 2 x 2 merging cannot halve")
        if (width * 2**s) % head:
            raise ValueError(f"Swin: stage {s} has width {width * 2**s}, which {head} heads cannot share")
        sides.append(side)
        side //= 2
    return sides


def branch_scales(keys: jax.Array, rates: np.ndarray) -> jax.Array:
    """Stochastic depth: keys [N], rates [blocks] -> [N, blocks, 2], 0 for a dropped branch, else 1 / (1 - rate)."""
    keep = jnp.asarray(1 - np.repeat(rates, 2), jnp.float32)  # [2 * blocks]
    draw = jax.vmap(lambda key, branch, p: jax.random.bernoulli(jax.random.fold_in(key, branch), p), (None, 0, 0))
    kept = jax.vmap(draw, (0, None, None))(keys, jnp.arange(len(keep)), keep)  # [N, 2 * blocks]
    return (kept / keep).reshape(len(keys), len(rates), 2)


class PatchEmbed(nn.Module):
    """Embeds patches, row by row, and normalises: [N, S, S, 3] -> [N, T, C]."""

    patch: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        side = (self.patch, self.patch)
        x = nn.Conv(self.width, side, side, padding="VALID", dtype=self.dtype, name="proj")(images)
        x = x.reshape(len(x), -1, self.width)  # [N, T, C]
        return nn.LayerNorm(EPSILON, self.dtype, name="norm")(x)


class Stage(nn.Module):
    """Blocks over one grid, then a merging: [N, T, C] -> [N, T / 4, 2 C] (or [N, T, C]), and the blocks' outputs."""

    side: int
    depth: int
    heads: int
    window: int
    merge: bool
    dtype: Any
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, keep: jax.Array | None) -> tuple[jax.Array, dict[str, jax.Array]]:
        taps = {}
        window = min(self.window, self.side)
        run = keeping_products(Block.__call__) if self.remat else Block.__call__
        for b in range(self.depth):
            shift = window // 2 if b % 2 and self.side > window else 0
            scales = None if keep is None else keep[:, b].astype(self.dtype)  # [N, 2]
            x = run(Block(self.side, self.heads, window, shift, self.dtype, name=f"blocks_{b}"), x, scales)
            taps[f"block{b}"] = x
        return PatchMerging(self.side, self.dtype, name="downsample")(x) if self.merge else x, taps


class Block(nn.Module):
    """Pre-norm window attention and MLP: [N, T, C] -> [N, T, C]. `scales` [N, 2] multiply the two branches."""

    side: int
    heads: int
    window: int
    shift: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, scales: jax.Array | None) -> jax.Array:
        norm = nn.LayerNorm(EPSILON, self.dtype, name="norm1")(x)
        branch = WindowAttention(self.side, self.heads, self.window, self.shift, self.dtype, name="attn")(norm)
        x = x + (branch if scales is None else branch * scales[:, 0, None, None])
        norm = nn.LayerNorm(EPSILON, self.dtype, name="norm2")(x)
        branch = Mlp(self.dtype, name="mlp")(norm)
        return x + (branch if scales is None else branch * scales[:, 1, None, None])


class Mlp(nn.Module):
    """[..., C] -> [..., 4 C] -> [..., C]."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        x = Linear(4 * width, dtype=self.dtype, name="fc1")(x)
        x = nn.gelu(x, approximate=False)  # the erf form: the tanh one is visible in the golden fixture
        return Linear(width, dtype=self.dtype, name="fc2")(x)


class WindowAttention(nn.Module):
    """Self-attention inside the (shifted) windows of a grid, with relative position bias: [N, T, C] -> [N, T, C]."""

    side: int
    heads: int
    window: int
    shift: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, _, c = x.shape
        side, w, heads = self.side, self.window, self.heads
        across = side // w  # windows per row

        if side > w:
            x = x.reshape(n, side, side, c)
            if self.shift:
                x = jnp.roll(x, (-self.shift, -self.shift), (1, 2))
            x = x.reshape(n, across, w, across, w, c).swapaxes(2, 3)  # [N, rows, columns, w, w, C]
        x = x.reshape(n, across**2, w * w, c)  # [N, G, w * w, C]

        qkv = Linear(3 * c, dtype=self.dtype, name="qkv")(x)
        q, k, v = jnp.moveaxis(qkv.reshape(*x.shape[:3], 3, heads, c // heads), 3, 0)  # [N, G, w * w, heads, C / heads]
        scores = jnp.einsum("ngihd,ngjhd->nghij", q * (c // heads) ** -0.5, k)

        table = self.param(
            "relative_position_bias_table", nn.initializers.truncated_normal(0.02), ((2 * w - 1) ** 2, heads)
        )
        bias = position_bias(table, w)[None]  # [1, heads, w * w, w * w]
        if self.shift:
            bias = bias + shift_mask(side, w, self.shift)[:, None]  # [G, heads, w * w, w * w]
        weights = nn.softmax(scores.astype(jnp.float32) + bias[None]).astype(self.dtype)

        x = jnp.einsum("nghij,ngjhd->ngihd", weights, v).reshape(n, across**2, w * w, c)
        x = Linear(c, dtype=self.dtype, name="proj")(x)
        if side > w:
            x = x.reshape(n, across, across, w, w, c).swapaxes(2, 3).reshape(n, side, side, c)
            if self.shift:
                x = jnp.roll(x, (self.shift, self.shift), (1, 2))
        return x.reshape(n, side * side, c)


def position_bias(table: jax.Array, window: int) -> jax.Array:
    """`table[relative_position_index(window)]`: [(2 w - 1)^2, heads] -> [heads, w * w, w * w].

    Rows are looked up by products with zeros and ones, one for each axis of the window: the same bits. The gradient of
    a lookup adds scattered rows, in no fixed order on a GPU, and row by row on a CPU.
    """
    w = window
    near = np.arange(w)[:, None, None] - np.arange(w)[:, None] + w - 1 == np.arange(2 * w - 1)  # [w, w, 2 w - 1]
    near = jnp.asarray(near, table.dtype)
    table = table.reshape(2 * w - 1, 2 * w - 1, -1)
    exact = jax.lax.Precision.HIGHEST
    columns = jnp.einsum("cdl,klh->kcdh", near, table, precision=exact)  # [2 w - 1, w, w, heads]
    bias = jnp.einsum("abk,kcdh->hacbd", near, columns, precision=exact)  # row and column of the query, then the key's
    return bias.reshape(-1, w * w, w * w)


@lru_cache
def relative_position_index(window: int) -> np.ndarray:
    """Returns [w * w, w * w] int: the row of the bias table for a query (first axis) and a key (second axis)."""
    y, x = np.divmod(np.arange(window**2), window)
    return (y[:, None] - y + window - 1) * (2 * window - 1) + x[:, None] - x + window - 1


@lru_cache
def shift_mask(side: int, window: int, shift: int) -> np.ndarray:
    """Returns [G, w * w, w * w] float32: -100 between tokens that only the roll put into one window, else 0."""
    label = np.arange(side) >= side - window
    label = label.astype(int) + (np.arange(side) >= side - shift)  # 0, 1, 2 along one axis
    cells = label[:, None] * 3 + label  # [H, W]
    across = side // window
    cells = cells.reshape(across, window, across, window).swapaxes(1, 2).reshape(across**2, window**2)
    return np.where(cells[:, :, None] == cells[:, None], 0, -100).astype(np.float32)


class PatchMerging(nn.Module):
    """Concatenates the cells of each 2 x 2 group and halves the channels: [N, T, C] -> [N, T / 4, 2 C]."""

    side: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, t, c = x.shape
        x = x.reshape(n, self.side // 2, 2, self.side // 2, 2, c)
        # The official order within a group is column by column: (0, 0), (1, 0), (0, 1), (1, 1).
        x = x.transpose(0, 1, 3, 4, 2, 5).reshape(n, t // 4, 4 * c)
        x = nn.LayerNorm(EPSILON, self.dtype, name="norm")(x)
        return Linear(2 * c, use_bias=False, dtype=self.dtype, name="reduction")(x)
