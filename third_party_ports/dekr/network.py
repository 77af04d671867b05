"""DEKR (arXiv 2104.02300): heatmaps and offsets of all persons' keypoints in one pass, ported from HRNet/DEKR (MIT).

Parameter names follow the official checkpoints. The keypoints' branches are alike, so they are held as one with a
leading axis K and run in a loop: `offset_feature_layers.3.0.bn.weight` is
params["offset_feature_layers_0"]["bn"]["scale"][3]. `third_party_ports.dekr.poses` makes poses from the two maps.
Shapes: N images, H W their sides, h = H / 4, w = W / 4, K keypoints.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.dekr import hrnet
from third_party_ports.dekr.hrnet import BasicBlock, HRNet, conv_norm
from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear

KEYS = KeyMap(
    wrappers=("best_state_dict", "state_dict"),
    ignored=r"(.*\.)?num_batches_tracked|offset_feature_layers\.\d+\.\d+\.regular_matrix",
    stacked=rf"({hrnet.STACKED}|offset_feature_layers|offset_final_layer)\.(\d+)(\..+)",
)
TAPS = np.stack(np.divmod(np.arange(9), 3), -1) - 1  # [9, 2]: (row, column) of a 3x3 kernel's taps around its centre
SHIFT = 3  # pixels; output i lies on input column 4 i, and the mirror of that column on 4 (w - 1 - i) + 3


class DEKR(nn.Module):
    """Computes heatmaps of the keypoints and of the persons' centres, and offsets from pixels to keypoints.

    Attributes:
      width: C of HRNet; 32 and 48 have official weights.
      keypoints: K; 17 in COCO's order.
      modules: of HRNet's stages.
      blocks: residual blocks, of HRNet.
      stem: channels of HRNet's stem.
      offset_width: channels per keypoint in the offset head.
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
        intermediates, `heatmap`, `offset`, and for keypoint 0's first block `adapt0_offsets` [N, h, w, 18] (dy_0, dx_0,
        dy_1, ...: how far its taps are from a 3x3 kernel's) and `adapt0_out` [N, h, w, offset_width].

        Raises ValueError if H or W is not a multiple of 32 (of 4 * 2 ** len(modules)).
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
        _, (x, moved) = _each(AdaptiveBlock)(self.dtype, name="offset_feature_layers_0")(None, x)
        out |= {"adapt0_offsets": moved[0].reshape(n, h, w, 18), "adapt0_out": x[0]}
        _, (x, _) = _each(AdaptiveBlock)(self.dtype, name="offset_feature_layers_1")(None, x)
        offset = _Final(name="offset_final_layer")(x.astype(jnp.float32)).reshape(n, h, w, 2 * self.keypoints)
        return heat, offset, out | {"heatmap": heat, "offset": offset}


class AdaptiveBlock(nn.Module):
    """A 3x3 convolution with a shortcut. At each pixel, an affine map computed from the input moves the taps."""

    dtype: Any

    @nn.compact
    def __call__(self, _: None, x: jax.Array) -> tuple[None, tuple[jax.Array, jax.Array]]:
        """[N, h, w, C] -> the same shape, and how far each of TAPS is moved, [N, h, w, 9, 2] float32 (row, column). The
        loop over keypoints carries nothing else."""
        width = x.shape[-1]
        matrix = _Kernel(4, name="transform_matrix_conv")(width)
        translation = _Kernel(2, name="translation_conv")(width)
        kernel, bias = (jnp.concatenate(pair, -1) for pair in zip(matrix, translation, strict=True))
        affine = jax.lax.conv_general_dilated(  # both at once: six channels cost no more than four
            x, kernel.astype(self.dtype), (1, 1), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        m00, m01, m10, m11, t0, t1 = jnp.moveaxis(affine.astype(jnp.float32) + bias, -1, 0)
        places = [(m00 * a + m01 * b + t0, m10 * a + m11 * b + t1) for a, b in TAPS.tolist()]  # seen from the pixel

        rows, columns = jnp.arange(x.shape[1])[:, None], jnp.arange(x.shape[2])
        sampled = jnp.concatenate([sample(x, rows + row, columns + column) for row, column in places], -1)
        kernel = _Kernel(width, use_bias=False, name="adapt_conv")(width)[0]
        y = sampled @ kernel.reshape(9 * width, width).astype(self.dtype)
        y = BatchNorm(self.dtype, name="bn")(y, train=False)
        moved = jnp.stack([jnp.stack(place, -1) for place in places], -2) - TAPS
        return None, (nn.relu(y + x), moved)


class _Kernel(nn.Module):
    """The parameters of a 3x3 convolution: kernel [3, 3, inputs, features] and bias [features] (zeros without one)."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: int) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, inputs, self.features))
        if not self.use_bias:
            return kernel, jnp.zeros(self.features)
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


class _Final(nn.Module):
    """The offsets of each keypoint from its own features: [K, N, h, w, C] -> [N, h, w, K, 2]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[0], x.shape[-1], 2))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[0], 2))
        return jnp.einsum("knhwc,kco->nhwko", x, kernel) + bias


def _each(module: type[nn.Module]) -> type[nn.Module]:
    """Runs `module` for one keypoint after the other, each with its own parameters.

    The samples of one keypoint fit the cache. All keypoints at once took three times as long, and their samples fill
    hundreds of megabytes.
    """
    return nn.scan(module, variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True})


def sample(x: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Samples maps [N, h, w, C] bilinearly at `rows` and `columns` [N, h, w] float32 pixels: [N, h, w, C] of x's dtype.

    Neighbours outside the map count 0.
    """
    n, h, w, c = x.shape
    # Two rings of zeros: a position in or beyond them has zeros on all four sides, so it can be moved to the border.
    framed = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))).reshape(-1, c)
    above, left = jnp.floor(rows), jnp.floor(columns)
    fy, fx = ((place - corner).astype(x.dtype)[..., None] for place, corner in ((rows, above), (columns, left)))
    above = jnp.clip(above.astype(jnp.int32) + 2, 0, h + 2)
    left = jnp.clip(left.astype(jnp.int32) + 2, 0, w + 2)
    corner = (jnp.arange(n)[:, None, None] * (h + 4) + above) * (w + 4) + left

    def neighbour(step: int) -> jax.Array:
        return framed.at[corner + step].get(mode="promise_in_bounds")  # whole C-vectors

    upper = neighbour(0) * (1 - fx) + neighbour(1) * fx
    lower = neighbour(w + 4) * (1 - fx) + neighbour(w + 5) * fx
    return upper * (1 - fy) + lower * fy


def mirrored(canvases: jax.Array) -> jax.Array:
    """Mirrors canvases [N, H, W, 3] for the flip test, and moves them left by SHIFT pixels.

    The mirror images of the output's pixels are then on output pixels. The last SHIFT columns stay as they are.
    """
    flipped = canvases[:, :, ::-1]
    return jnp.concatenate([flipped[:, :, SHIFT:], flipped[:, :, -SHIFT:]], 2)
