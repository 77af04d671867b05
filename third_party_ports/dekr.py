"""DEKR (arXiv 2104.02300): heatmaps and offsets of all persons' keypoints in one pass, ported from HRNet/DEKR (MIT).

Parameter names follow the official checkpoints; the keypoints' branches, which are alike, are held as one with a
leading axis K and run in a loop: `offset_feature_layers.3.0.bn.weight` is
params["offset_feature_layers_0"]["bn"]["scale"][3]. Poses are made of the two maps by `third_party_ports.poses`.
Shapes: N images, H W their sides, h = H / 4, w = W / 4, K keypoints.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports import hrnet
from third_party_ports.batch_norm import BatchNorm
from third_party_ports.hrnet import BasicBlock, HRNet, conv_norm
from third_party_ports.linear import Linear
from third_party_ports.weights import KeyMap

KEYS = KeyMap(
    wrappers=("best_state_dict", "state_dict"),
    ignored=r"(.*\.)?num_batches_tracked|offset_feature_layers\.\d+\.\d+\.regular_matrix",
    stacked=rf"({hrnet.STACKED}|offset_feature_layers|offset_final_layer)\.(\d+)(\..+)",
)
TAPS = np.stack(np.divmod(np.arange(9), 3), -1) - 1  # [9, 2]: (row, column) of a 3x3 kernel's taps about its centre
SHIFT = 3  # pixels; output i lies on input column 4 i, and the mirror of that column on 4 (w - 1 - i) + 3


class DEKR(nn.Module):
    """Images to a heatmap of each keypoint and of the persons' centres, and offsets from pixels to keypoints.

    Attributes:
      width: C of HRNet; 32 and 48 have official weights.
      keypoints: K; 17 in COCO's order.
      modules: of HRNet's stages.
      blocks: residual blocks, of HRNet.
      stem: channels of HRNet's stem.
      offset_width: channels of each keypoint in the offset head.
      dtype: of the computation; parameters, statistics, sampling positions and the final layers stay float32.
    """

    width: int = 32
    keypoints: int = 17
    modules: tuple[int, ...] = (1, 4, 3)
    blocks: int = 4
    stem: int = 64
    offset_width: int = 15
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, canvases: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> heat [N, h, w, K + 1] float32 (unbounded, the centre last), offset
        [N, h, w, 2 K] float32 (x_0, y_0, x_1, ...: pixel minus keypoint, in map pixels), and by name HRNet's
        intermediates, `heatmap`, `offset`, and of keypoint 0's first block `adapt0_offsets` [N, h, w, 18] (dy_0, dx_0,
        dy_1, ...: how far its taps lie from a 3x3 kernel's) and `adapt0_out` [N, h, w, offset_width].

        Raises ValueError where H or W is no multiple of 32 (of 4 * 2 ** len(modules)).
        """
        backbone = HRNet(self.width, self.modules, self.blocks, self.stem, self.dtype)
        nn.share_scope(self, backbone)  # the official names have no prefix
        branches, out = backbone(canvases)
        n, h, w, _ = branches[0].shape
        branches = [
            jax.image.resize(branch, (n, h, w, branch.shape[-1]), "bilinear").astype(self.dtype) for branch in branches
        ]
        features = jnp.concatenate(branches, -1)  # [N, h, w, 15 C]

        head = partial(conv_norm, features, dtype=self.dtype, side=1)
        x = nn.relu(head(self.width, ("transition_heatmap_0", "transition_heatmap_1")))
        x = BasicBlock(self.dtype, name="head_heatmap_0_0")(x)
        heat = Linear(self.keypoints + 1, name="head_heatmap_1")(x.astype(jnp.float32))

        x = nn.relu(head(self.keypoints * self.offset_width, ("transition_offset_0", "transition_offset_1")))
        x = jnp.moveaxis(x.reshape(n, h, w, self.keypoints, self.offset_width), 3, 0)  # [K, N, h, w, offset_width]
        _, (x, displaced) = _each(AdaptiveBlock)(self.dtype, name="offset_feature_layers_0")(None, x)
        out |= {"adapt0_offsets": (displaced[0] - TAPS).reshape(n, h, w, 18), "adapt0_out": x[0]}
        _, (x, _) = _each(AdaptiveBlock)(self.dtype, name="offset_feature_layers_1")(None, x)
        _, x = _each(_Final)(name="offset_final_layer")(None, x.astype(jnp.float32))
        offset = jnp.moveaxis(x, 0, 3).reshape(n, h, w, 2 * self.keypoints)
        return heat, offset, out | {"heatmap": heat, "offset": offset}


class AdaptiveBlock(nn.Module):
    """A 3x3 convolution whose taps are moved, at each pixel, by an affine map read from the input; beside a shortcut."""

    dtype: Any

    @nn.compact
    def __call__(self, _: None, x: jax.Array) -> tuple[None, tuple[jax.Array, jax.Array]]:
        """[N, h, w, C] -> the same shape, and where the taps lie seen from their pixels, [N, h, w, 9, 2] float32 (row,
        column): M r + t for the tap r of TAPS. Nothing else goes in or out of a turn of the loop."""
        conv = partial(nn.Conv, kernel_size=(3, 3), padding=((1, 1), (1, 1)), dtype=self.dtype)
        matrix = conv(4, name="transform_matrix_conv")(x).astype(jnp.float32)  # M, row by row
        translation = conv(2, name="translation_conv")(x).astype(jnp.float32)
        matrix = matrix.reshape(*matrix.shape[:3], 1, 2, 2)
        displaced = matrix[..., 0] * TAPS[:, :1] + matrix[..., 1] * TAPS[:, 1:] + translation[..., None, :]
        y = _SampledConv(self.dtype, name="adapt_conv")(x, displaced)
        y = BatchNorm(self.dtype, name="bn")(y, train=False)
        return None, (nn.relu(y + x), displaced)


class _SampledConv(nn.Module):
    """A 3x3 convolution without bias that reads its taps where it is told: params `kernel` [3, 3, C, C]."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, displaced: jax.Array) -> jax.Array:
        """[N, h, w, C] and displacements [N, h, w, 9, 2] from each pixel -> [N, h, w, C]."""
        c = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, c, c))
        h, w = x.shape[1:3]
        pixels = jnp.stack(jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij"), -1)  # [h, w, 2]
        sampled = sample(x, pixels[:, :, None] + displaced)  # [N, h, w, 9, C]
        return sampled.reshape(*x.shape[:3], 9 * c) @ kernel.reshape(9 * c, c).astype(self.dtype)


class _Final(nn.Module):
    """The two offsets of each pixel from one keypoint's features: [N, h, w, C] -> [N, h, w, 2]."""

    @nn.compact
    def __call__(self, _: None, x: jax.Array) -> tuple[None, jax.Array]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], 2))
        bias = self.param("bias", nn.initializers.zeros, (2,))
        return None, x @ kernel + bias


def _each(module: type[nn.Module]) -> type[nn.Module]:
    """`module` for each keypoint in turn, each with its own parameters. A turn's samples fit the cache: all keypoints
    at once took three times as long, and the samples of all of them fill hundreds of megabytes."""
    return nn.scan(module, variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True})


def sample(x: jax.Array, positions: jax.Array) -> jax.Array:
    """Bilinear samples of maps; each of the four neighbours of a position counts 0 where it lies outside.

    Args:
      x: [N, h, w, C].
      positions: [N, h, w, T, 2] float32, (row, column) in pixels.

    Returns:
      [N, h, w, T, C] of x's dtype.
    """
    n, h, w, c = x.shape
    # In a frame of zeros, from one pixel outside on all is 0: positions further out may be moved there.
    framed = jnp.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0))).reshape(-1, c)
    positions = jnp.clip(positions, -1, np.array([h, w], np.float32))
    corner = jnp.floor(positions)
    fy, fx = jnp.moveaxis((positions - corner).astype(x.dtype), -1, 0)[..., None]
    row, column = jnp.moveaxis(corner.astype(jnp.int32) + 1, -1, 0)
    first = (jnp.arange(n)[:, None, None, None] * (h + 3) + row) * (w + 3) + column

    def neighbours(step: int) -> jax.Array:
        return framed.at[first + step].get(mode="clip")  # whole C-vectors; NaN positions stay inside

    upper = neighbours(0) * (1 - fx) + neighbours(1) * fx
    lower = neighbours(w + 3) * (1 - fx) + neighbours(w + 4) * fx
    return upper * (1 - fy) + lower * fy


def mirrored(canvases: jax.Array) -> jax.Array:
    """Canvases [N, H, W, 3] for the flip test: mirrored left-right, then moved left by SHIFT pixels, so that the mirror
    images of the output's pixels lie on output pixels; the last SHIFT columns stay the mirror's."""
    flipped = canvases[:, :, ::-1]
    return jnp.concatenate([flipped[:, :, SHIFT:], flipped[:, :, -SHIFT:]], 2)
