"""DeepLabV3 on a dilated ResNet101 (arXiv 1706.05587), ported from torchvision (BSD-3-Clause).

The background similarity needs one vector per image from it: the mean of the features where the image shows no known
object (`background_vector`).

Parameter names follow the official checkpoints: `classifier.0.convs.1.0.weight` is
params["classifier_0"]["convs_1_0"]["kernel"].
Shapes: N images, H W their sides, h w = ceil(side / 8), C channels.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear
from third_party_ports.layers.winograd import convolution
from third_party_ports.resnet import ResNet

KEYS = KeyMap(ignored=r"aux_classifier\..*|.*\.num_batches_tracked")  # the auxiliary head serves training only
BACKGROUND = 0  # the class


class DeepLabV3(nn.Module):
    """Computes the logits of each class at an eighth of the images' size.

    Attributes:
      stage_sizes: blocks of the four stages; (3, 4, 23, 3) is ResNet101.
      width: channels of the stem; layer4 has 32 times as many.
      head: channels of the head.
      classes: how many, background included, which is the first.
      rates: dilations of the head's 3x3 branches.
      dtype: of the computation; parameters, statistics, means and the last layer stay float32.
    """

    stage_sizes: tuple[int, int, int, int] = (3, 4, 23, 3)
    width: int = 64
    head: int = 256
    classes: int = 21
    rates: tuple[int, ...] = (12, 24, 36)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, upsample: bool = False) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> logits [N, h, w, classes] float32, layer4 [N, h, w, 32 * width], and
        by name `layer1` ... `layer4`, `aspp_pool`, `aspp` and `logits`. With `upsample` also `upsampled`, the logits
        at [N, H, W, classes].

        Do not pad images to a common size, because padding changes the result. Resize them instead.
        """
        backbone = ResNet(
            self.stage_sizes,
            self.width,
            dtype=self.dtype,
            stage_strides=(1, 2, 1, 1),
            dilations=((1, 1), (1, 1), (1, 2), (2, 4)),  # a first block keeps the dilation of the stage before
            name="backbone",
        )
        _, features = backbone(images, train=False)
        out = {name: features[name] for name in ("layer1", "layer2", "layer3", "layer4")}
        x, out["aspp_pool"] = Pyramid(self.head, self.rates, self.dtype, name="classifier_0")(out["layer4"])
        out["aspp"] = x
        conv = {"use_bias": False, "dtype": self.dtype, "conv_general_dilated": convolution}
        x = nn.Conv(self.head, (3, 3), name="classifier_1", **conv)(x)  # "SAME" pads 1
        x = nn.relu(BatchNorm(self.dtype, name="classifier_2")(x, train=False))
        # Lower precision would change the class of cells near a border.
        last = Linear(self.classes, precision=jax.lax.Precision.HIGHEST, name="classifier_4")
        out["logits"] = last(x.astype(jnp.float32))
        if upsample:
            shape = (*images.shape[:3], self.classes)
            out["upsampled"] = jax.image.resize(out["logits"], shape, "bilinear")
        return out["logits"], out["layer4"], out


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: maps [N, h, w, C] -> the projected branches [N, h, w, width], and the branch of
    the mean over the map [N, h, w, width], which is the same in every cell."""

    width: int
    rates: tuple[int, ...]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        pointwise = partial(Linear, self.width, use_bias=False, dtype=self.dtype)

        def activated(x: jax.Array, name: str) -> jax.Array:
            return nn.relu(BatchNorm(self.dtype, name=name)(x, train=False))

        branches = [activated(pointwise(name="convs_0_0")(x), "convs_0_1")]
        for i, rate in enumerate(self.rates, 1):
            branches.append(activated(WideConv(self.width, rate, self.dtype, name=f"convs_{i}_0")(x), f"convs_{i}_1"))
        last = len(self.rates) + 1
        mean = x.mean((1, 2), keepdims=True, dtype=jnp.float32)
        pooled = activated(pointwise(name=f"convs_{last}_1")(mean), f"convs_{last}_2")  # official number 0: the mean
        pooled = jnp.broadcast_to(pooled, branches[0].shape)
        x = jnp.concatenate([*branches, pooled], -1)
        return activated(pointwise(name="project_0")(x), "project_1"), pooled


class WideConv(nn.Module):
    """A 3x3 convolution with a large dilation, without bias: [N, h, w, C] -> [N, h, w, width].

    It is computed as up to nine matrix products; taps that lie outside the map everywhere are left out. XLA's CPU
    backend takes three times as long for the convolution at these rates.
    """

    width: int
    rate: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, c, self.width)).astype(self.dtype)
        x = x.astype(self.dtype)
        out = jnp.zeros((n, h, w, self.width), self.dtype)
        for row, column in np.ndindex(3, 3):
            down, right = (row - 1) * self.rate, (column - 1) * self.rate
            if abs(down) >= h or abs(right) >= w:
                continue
            seen = x[:, max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
            product = (seen.reshape(-1, c) @ kernel[row, column]).reshape(*seen.shape[:3], self.width)
            outside = [(max(-shift, 0), max(shift, 0)) for shift in (down, right)]
            out = out + jnp.pad(product, ((0, 0), *outside, (0, 0)))
        return out


def background_vector(logits: jax.Array, layer4: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Computes the mean of layer4 over each image's background cells, not normalised.

    Args:
      logits: [N, h, w, classes], at the resolution of the features. Upsampled logits would give other vectors.
      layer4: [N, h, w, C].

    Returns:
      The vectors [N, C] float32, zero if no cell is background; the number of background cells [N] int32; and the class
      of each cell [N, h, w] int32 (of equal logits, the lower class).
    """
    classes = logits.argmax(-1)
    background = classes == BACKGROUND
    count = background.sum((1, 2))
    total = layer4.sum((1, 2), dtype=jnp.float32, where=background[..., None])
    return total / jnp.maximum(count, 1)[:, None], count, classes
