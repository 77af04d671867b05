"""I2PA, "Intrinsic Image Popularity Assessment" (arXiv 1907.01985): how much a photo's own content adds to its likes.

A ResNet50 with one output, as dingkeyan93/Intrinsic-Image-Popularity released it (MIT by its README). It was trained on
differences between two photos of one account. So a score has no bounds, and only differences of scores have a meaning.
To prepare a photo, use `imagenet.resize` to 224 x 224, which ignores the aspect, then `scaled`. Do not subtract a mean.
Shapes: N images, H W their sides.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.layers.linear import Linear
from third_party_ports.resnet import ResNet

KEYS = KeyMap(renames=((r"^module\.", ""), (r"^(?!resnet\.|fc\.)", "resnet.")))  # the file is a bare ResNet's
SIDE = 224


class I2PA(nn.Module):
    """Turns images into scores.

    Attributes:
      stage_sizes, width: ResNet's.
      dtype: of the computation; parameters, statistics, the pooled vector and the last layer stay float32.
    """

    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool, mask: jax.Array | None = None, axis_name: str | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """RGB images [N, H, W, 3] in [0, 1] -> scores [N] float32, and ResNet's maps and pooled vectors by name.

        `train`, `mask` and `axis_name` are BatchNorm's; training updates batch_stats, which must then be mutable.
        params/resnet and batch_stats/resnet are those of a `ResNet`, and you can start from a ResNet's weights.
        """
        resnet = ResNet(self.stage_sizes, self.width, dtype=self.dtype, name="resnet")
        pooled, out = resnet(images, train=train, mask=mask, axis_name=axis_name)
        return Linear(1, name="fc")(pooled)[:, 0], out


def scaled(images: Any) -> Any:
    """[...] uint8 -> float32 in [0, 1], NumPy to NumPy and JAX to JAX."""
    return images.astype(np.float32) / np.float32(255)
