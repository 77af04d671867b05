"""ResNet with bottleneck blocks, "V1.5" (the stride on the 3x3), ported from torchvision (BSD-3-Clause).

Parameter names follow the official checkpoints: `layer1.0.downsample.0.weight` is
params["layer1_0"]["downsample_0"]["kernel"], the running statistics are in batch_stats as `mean` and `var`.
Shapes: N images, H W their sides, C channels.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.batch_norm import BatchNorm
from third_party_ports.linear import Linear
from third_party_ports.weights import KeyMap

KEYS = KeyMap(ignored=r"fc\.(weight|bias)|.*\.num_batches_tracked")


class ResNet(nn.Module):
    """Images to one pooled vector each, of 4 * width * 2 ** (stages - 1) numbers.

    Attributes:
      stage_sizes: blocks of each stage; (3, 4, 6, 3) is ResNet50.
      width: channels of the stem; stage s has blocks of width * 2 ** s inside, four times as many outside.
      stem: "imagenet" (7x7 stride 2 and a max pool of stride 2) or "small" (3x3 stride 2, no pool: for 24 px or so).
      dtype: of the computation; parameters and statistics stay float32.
    """

    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    stem: Literal["imagenet", "small"] = "imagenet"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, mask: jax.Array | None = None, axis_name: str | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> pooled [N, 4 * width * 2 ** (stages - 1)] float32, and by name
        `stem`, `layer{s}_{b}` (block b of stage s = 1, 2, ...), `layer{s}`, all [N, H, W, C], and `pooled`.

        `train`, `mask` and `axis_name` are BatchNorm's; training updates batch_stats, which must then be mutable.
        Raises ValueError for an unknown stem.
        """
        norm = partial(BatchNorm, self.dtype)
        normalise = {"train": train, "mask": mask, "axis_name": axis_name}
        if self.stem == "imagenet":
            x = _conv(self.width, 7, 2, self.dtype, "conv1")(images)
        elif self.stem == "small":
            x = _conv(self.width, 3, 2, self.dtype, "conv1")(images)
        else:
            raise ValueError(f"ResNet: stem {self.stem!r} is neither 'imagenet' nor 'small'")
        x = nn.relu(norm(name="bn1")(x, **normalise))
        if self.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])

        out = {"stem": x}
        for s, blocks in enumerate(self.stage_sizes):
            for b in range(blocks):
                stride = 2 if s > 0 and b == 0 else 1
                name = f"layer{s + 1}_{b}"
                x = Bottleneck(self.width * 2**s, stride, b == 0, self.dtype, name=name)(x, **normalise)
                out[name] = x
            out[f"layer{s + 1}"] = x
        out["pooled"] = x.mean((1, 2), dtype=jnp.float32)  # a bfloat16 mean over H x W would lose digits
        return out["pooled"], out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut: [N, H, W, C] -> [N, H / stride, W / stride, 4 * width]."""

    width: int
    stride: int
    project: bool  # the shortcut is a convolution
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, **normalise: Any) -> jax.Array:
        norm = partial(BatchNorm, self.dtype)
        # A 1x1 convolution is a matrix product on the strided slice: XLA's CPU backend is much faster at that.
        pointwise = partial(Linear, use_bias=False, dtype=self.dtype)

        shortcut = x
        if self.project:
            shortcut = pointwise(4 * self.width, name="downsample_0")(x[:, :: self.stride, :: self.stride])
            shortcut = norm(name="downsample_1")(shortcut, **normalise)
        x = nn.relu(norm(name="bn1")(pointwise(self.width, name="conv1")(x), **normalise))
        x = _conv(self.width, 3, self.stride, self.dtype, "conv2")(x)
        x = nn.relu(norm(name="bn2")(x, **normalise))
        x = norm(name="bn3")(pointwise(4 * self.width, name="conv3")(x), **normalise)
        return nn.relu(x + shortcut)


def _conv(width: int, side: int, stride: int, dtype: Any, name: str) -> nn.Conv:
    """A square convolution without bias. The padding is symmetric: "SAME" pads even sizes after the end only."""
    pad = side // 2
    return nn.Conv(
        width, (side, side), (stride, stride), [(pad, pad), (pad, pad)], use_bias=False, dtype=dtype, name=name
    )
