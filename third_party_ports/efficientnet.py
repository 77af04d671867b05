"""EfficientNet-B5 in its TensorFlow variant (arXiv 1905.11946), the encoder of AdaBins, without its classifier.

Parameter names follow gen-efficientnet-pytorch's checkpoints: `blocks.1.0.se.conv_reduce.weight` is
params["blocks_1_0"]["se"]["conv_reduce"]["kernel"]. Inference only: BatchNorm uses its stored statistics.
Shapes: N images, H W their sides, C channels. A stride rounds sides up, as TensorFlow's SAME padding does.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear


class StageSize(NamedTuple):
    """Sizes of one stage, whose blocks all have the same kernel and output width.

    Attributes:
      blocks: how many.
      kernel: side of the depthwise convolution.
      stride: of the first block.
      expansion: 1: depthwise separable blocks; more: inverted residual blocks, so many times wider inside.
      width: output channels.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


B5 = (
    StageSize(3, 3, 1, 1, 24),
    StageSize(5, 3, 2, 6, 40),
    StageSize(5, 5, 2, 6, 64),
    StageSize(7, 3, 2, 6, 128),
    StageSize(7, 5, 1, 6, 176),
    StageSize(9, 5, 2, 6, 304),
    StageSize(3, 3, 1, 6, 512),
)
EPSILON = 1e-3  # TensorFlow's; PyTorch's 1e-5 is visible in the golden fixture


class EfficientNet(nn.Module):
    """Turns images into a map of `head` channels at 1/32 of their sides.

    Attributes:
      stem: channels of the first convolution, which halves the sides.
      stages: sizes of the stages, as `StageSize` or plain tuples.
      head: channels of the last 1x1 convolution.
      dtype: of the computation; parameters, statistics and means stay float32.
    """

    stem: int = 48
    stages: tuple[tuple[int, int, int, int, int], ...] = B5
    head: int = 2048
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> the head's convolution [N, H / 32, W / 32, head], which AdaBins reads
        before its norm, and by name `blocks{s}` (stage s) and `conv_head`, all [N, H', W', C]."""
        x = nn.Conv(self.stem, (3, 3), (2, 2), "SAME", use_bias=False, dtype=self.dtype, name="conv_stem")(images)
        x = nn.silu(_norm(self.dtype, "bn1")(x))
        out = {}
        for s, (blocks, kernel, stride, expansion, width) in enumerate(self.stages):
            for b in range(blocks):
                name = f"blocks_{s}_{b}"
                x = Block(kernel, 1 if b else stride, expansion, width, self.dtype, name=name)(x)
            out[f"blocks{s}"] = x
        x = Linear(self.head, use_bias=False, dtype=self.dtype, name="conv_head")(x)
        out["conv_head"] = x
        return x, out


class Block(nn.Module):
    """Depthwise convolution, squeeze-excite and 1x1 convolution: [N, H, W, C] -> [N, H / stride, W / stride, width].

    If `expansion` > 1, a 1x1 convolution widens the input first. The input is added if the output has its shape.
    """

    kernel: int
    stride: int
    expansion: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pointwise = partial(Linear, use_bias=False, dtype=self.dtype)
        shortcut, narrow = x, x.shape[-1]
        norm, project, project_norm = "bn1", "conv_pw", "bn2"
        if self.expansion > 1:
            x = nn.silu(_norm(self.dtype, "bn1")(pointwise(self.expansion * narrow, name="conv_pw")(x)))
            norm, project, project_norm = "bn2", "conv_pwl", "bn3"
        x = Depthwise(self.kernel, self.stride, self.dtype, name="conv_dw")(x)
        x = nn.silu(_norm(self.dtype, norm)(x))
        x = SqueezeExcite(max(narrow // 4, 1), self.dtype, name="se")(x)  # a quarter of the block's own input
        x = _norm(self.dtype, project_norm)(pointwise(self.width, name=project)(x))
        return x + shortcut if self.stride == 1 and self.width == narrow else x


class Depthwise(nn.Module):
    """A convolution of each channel on its own, without bias: [N, H, W, C] -> [N, H', W', C].

    `padding` is TensorFlow's SAME, or half a kernel on all sides. The two differ if the stride is above 1.

    It is computed as a sum of shifted multiples. On 2 CPU cores at AdaBins' sizes that takes 0.1 s per image, and XLA's
    grouped convolution (`feature_group_count`) 1.9 s.
    """

    side: int
    stride: int
    dtype: Any
    padding: Literal["same", "symmetric"] = "same"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.side, self.side, 1, channels))
        pad = _same if self.padding == "same" else _symmetric
        rows, columns = (pad(n, self.side, self.stride) for n in x.shape[1:3])
        # Without the barrier XLA computes the activation before it again for each shift.
        x = jax.lax.optimization_barrier(jnp.pad(x.astype(self.dtype), ((0, 0), rows[:2], columns[:2], (0, 0))))
        kernel = kernel.astype(self.dtype).astype(jnp.float32)
        total = jnp.zeros((), jnp.float32)
        for i in range(self.side):
            for j in range(self.side):
                shifted = x[:, i : i + rows[2] : self.stride, j : j + columns[2] : self.stride]
                total = total + shifted.astype(jnp.float32) * kernel[i, j, 0]
        return total.astype(self.dtype)


class SqueezeExcite(nn.Module):
    """Scales channels by what two small layers compute from their means over the map: [N, H, W, C] -> the same."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Two short float32 sums have smaller rounding errors than one over the whole map.
        gate = x.mean(1, keepdims=True, dtype=jnp.float32).mean(2, keepdims=True)
        gate = nn.silu(Linear(self.width, dtype=self.dtype, name="conv_reduce")(gate))
        return x * nn.sigmoid(Linear(x.shape[-1], dtype=self.dtype, name="conv_expand")(gate))


def _same(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """For one axis: zeros before, zeros after (the larger half), and the span in which the strided windows start."""
    starts = (-(-size // stride) - 1) * stride + 1
    pad = max(starts - 1 + kernel - size, 0)
    return pad // 2, pad - pad // 2, starts


def _symmetric(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """Like `_same`, with half a kernel before and after."""
    half = kernel // 2
    return half, half, (size + 2 * half - kernel) // stride * stride + 1


def _norm(dtype: Any, name: str):
    return partial(BatchNorm(dtype, epsilon=EPSILON, name=name), train=False)
