"""ResNet with bottleneck blocks, ported from torchvision (BSD-3-Clause), and the variants that other ports need.

DeepLabV3 uses dilated stages. Bottom-up attention uses the stem, the strides and the padded images of Caffe's networks.

Parameter names follow torchvision's checkpoints: `layer1.0.downsample.0.weight` is
params["layer1_0"]["downsample_0"]["kernel"]. The running statistics are in batch_stats as `mean` and `var`.
Shapes: N images, H W their sides, C channels.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear
from third_party_ports.layers.pool import max_pool
from third_party_ports.layers.remat import keeping_products
from third_party_ports.layers.winograd import convolution

KEYS = KeyMap(ignored=r"fc\.(weight|bias)|.*\.num_batches_tracked")
STEMS = {"imagenet": (7, (1, 1)), "caffe": (7, (0, 1)), "small": (3, None)}  # convolution's side, pool's padding


class ResNet(nn.Module):
    """Turns each image into one pooled vector of 4 * width * 2 ** (stages - 1) numbers.

    Attributes:
      stage_sizes: blocks of each stage; (3, 4, 6, 3) is ResNet50.
      width: channels of the stem. Blocks of stage s have width * 2 ** s channels inside, four times as many outside.
      stem: "imagenet" (7x7 with stride 2 and a 3x3 max pool with stride 2), "caffe" (the same, but the pool is padded
        after the end only: n rows become n // 2) or "small" (3x3 with stride 2, no pool: for images of about 24 px).
      dtype: of the computation; parameters and statistics stay float32.
      stage_strides: of each stage's first block.
      dilations: of each stage's 3x3 convolutions, in its first block and in the later ones.
      stride_in: which convolution of a block has the stride: "3x3" is "V1.5", "1x1" the original.
      remat: keep only each block's products for the backward pass (`layers.remat`).
    """

    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    stem: Literal["imagenet", "caffe", "small"] = "imagenet"
    dtype: Any = jnp.float32
    stage_strides: tuple[int, ...] = (1, 2, 2, 2)
    dilations: tuple[tuple[int, int], ...] = ((1, 1), (1, 1), (1, 1), (1, 1))
    stride_in: Literal["3x3", "1x1"] = "3x3"
    remat: bool = False

    def _check(self, train: bool, sizes: jax.Array | None) -> None:
        if self.stem not in STEMS:
            raise ValueError(f"ResNet: stem {self.stem!r} is neither 'imagenet', 'caffe' nor 'small'")
        if len(self.stage_sizes) > min(len(self.stage_strides), len(self.dilations)):
            raise ValueError(f"ResNet: stage_strides and dilations need one entry for each of {self.stage_sizes}")
        if train and sizes is not None:
            raise ValueError("ResNet: leave out `sizes` in training, because the statistics would include the padding")

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool,
        mask: jax.Array | None = None,
        axis_name: str | None = None,
        sizes: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Computes pooled vectors.

        Args:
          images: normalised RGB [N, H, W, 3].
          train, mask, axis_name: BatchNorm's. Training updates batch_stats, which must then be mutable.
          sizes: int [N, 2], rows and columns of images that were padded with zeros at the end to a common size. The
            results are then those of the images alone.

        Returns:
          pooled [N, 4 * width * 2 ** (stages - 1)] float32, and by name `stem`, `layer{s}_{b}` (block b of stage
          s = 1, 2, ...) and `layer{s}`, all [N, H, W, C], and `pooled`. With `sizes`, also `sizes`: how many rows and
          columns of the last stage's map belong to each image. The values beyond have no meaning.

        Raises:
          ValueError: an unknown stem, fewer strides or dilations than stages, or `sizes` in training.
        """
        self._check(train, sizes)
        normalise = {"train": train, "mask": mask, "axis_name": axis_name}
        side, padding = STEMS[self.stem]
        x = _conv(self.width, side, 2, 1, self.dtype, train, "conv1")(images)
        x = nn.relu(BatchNorm(self.dtype, name="bn1")(x, **normalise))
        if sizes is not None:
            sizes = _strided(sizes, 2)
            x = jnp.where(inside(x, sizes), x, 0)
        if padding:
            x = max_pool(x, padding)
            sizes = sizes if sizes is None else (sizes + sum(padding) - 1) // 2

        run = lambda block, x, within: block(x, inside=within, **normalise)  # noqa: E731
        run = keeping_products(run) if self.remat else run
        out = {"stem": x}
        for s, blocks in enumerate(self.stage_sizes):
            for b in range(blocks):
                stride = self.stage_strides[s] if b == 0 else 1
                dilation = self.dilations[s][min(b, 1)]
                name = f"layer{s + 1}_{b}"
                block = Bottleneck(self.width * 2**s, stride, dilation, b == 0, self.stride_in, self.dtype, name=name)
                within = None
                if sizes is not None:
                    shrink = stride if self.stride_in == "1x1" else 1  # of the first convolution
                    within = inside(x[:, ::shrink, ::shrink], _strided(sizes, shrink))
                    sizes = _strided(sizes, stride)
                x = run(block, x, within)
                out[name] = x
            out[f"layer{s + 1}"] = x
        if sizes is None:
            out["pooled"] = x.mean((1, 2), dtype=jnp.float32)  # a bfloat16 mean over H x W would lose digits
        else:
            out["sizes"] = sizes
            out["pooled"] = x.mean((1, 2), dtype=jnp.float32, where=inside(x, sizes))
        return out["pooled"], out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut: [N, H, W, C] -> [N, H / stride, W / stride, 4 * width]."""

    width: int
    stride: int
    dilation: int  # of the 3x3
    project: bool  # the shortcut is a convolution
    stride_in: Literal["3x3", "1x1"]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, inside: jax.Array | None = None, **normalise: Any) -> jax.Array:
        """Runs the block.

        `inside` [N, h, w, 1] bool, at the first convolution's resolution, says where a zero-padded image is; None:
        everywhere. `normalise` are BatchNorm's arguments.
        """
        norm = partial(BatchNorm, self.dtype)
        # A 1x1 convolution is a matrix product on the strided slice: XLA's CPU backend is much faster at that.
        pointwise = partial(Linear, use_bias=False, dtype=self.dtype)
        first, second = (self.stride, 1) if self.stride_in == "1x1" else (1, self.stride)

        shortcut = x
        if self.project:
            shortcut = pointwise(4 * self.width, name="downsample_0")(x[:, :: self.stride, :: self.stride])
            shortcut = norm(name="downsample_1")(shortcut, **normalise)
        x = pointwise(self.width, name="conv1")(x if first == 1 else x[:, ::first, ::first])
        x = nn.relu(norm(name="bn1")(x, **normalise))
        if inside is not None:
            x = jnp.where(inside, x, 0)  # so that the 3x3 sees zeros beyond the image
        x = _conv(self.width, 3, second, self.dilation, self.dtype, normalise["train"], "conv2")(x)
        x = nn.relu(norm(name="bn2")(x, **normalise))
        x = norm(name="bn3")(pointwise(4 * self.width, name="conv3")(x), **normalise)
        return nn.relu(x + shortcut)


def inside(x: jax.Array, sizes: jax.Array) -> jax.Array:
    """Returns where maps x [N, H, W, C] hold their images of `sizes` [N, 2] (rows, columns): [N, H, W, 1] bool."""
    rows, columns = (jnp.arange(x.shape[axis]) < sizes[:, axis - 1, None] for axis in (1, 2))
    return (rows[:, :, None] & columns[:, None])[..., None]


def _strided(sizes: jax.Array, stride: int) -> jax.Array:
    """Returns the sizes after a symmetrically padded convolution with this stride."""
    return -(-sizes // stride)


def _conv(width: int, side: int, stride: int, dilation: int, dtype: Any, train: bool, name: str) -> nn.Conv:
    """A square convolution without bias. The padding is symmetric: "SAME" pads even sizes after the end only."""
    window, strides, dilations = (side, side), (stride, stride), (dilation, dilation)
    reach = side // 2 * dilation
    padding = [(reach, reach), (reach, reach)]
    return nn.Conv(
        width,
        window,
        strides,
        padding,
        kernel_dilation=dilations,
        use_bias=False,
        dtype=dtype,
        conv_general_dilated=None if train else convolution,
        name=name,
    )
