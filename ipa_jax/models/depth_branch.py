"""The 3D-aware branch: depth map -> five masks -> masked images -> one shared ResNet (section 3.3, eq. 5 and 6)."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from ipa_jax.models.depth_layers import LAYERS, view_count
from third_party_ports.resnet import ResNet


def cut_depth(depth: jax.Array, window: jax.Array, flip: jax.Array, side: int) -> jax.Array:
    """The part of each depth map that the cropped (and mirrored) image shows.

    Args:
      depth: uint16 [N, d, d], min-max over the whole image (0 near, 65535 far).
      window: float32 [N, 3], top, left and size of the crop as fractions of the image's side.
      flip: bool [N], the image was mirrored.
      side: of the result, s.
    Returns: float32 [N, s, s] in [0, 1].
    """
    d = depth.shape[1]
    window = jnp.where(window[:, 2:] > 0, window, jnp.array([0.0, 0.0, 1.0]))  # an empty slot has none

    def cut(one: jax.Array, at: jax.Array) -> jax.Array:
        scale = jnp.full((2,), side / d) / at[2]
        return jax.image.scale_and_translate(
            one, (side, side), (0, 1), scale, -at[:2] * d * scale, "linear", precision=jax.lax.Precision.HIGHEST
        )

    maps = jax.vmap(cut)(depth.astype(jnp.float32) / 65535.0, window)
    return jnp.where(flip[:, None, None], maps[:, :, ::-1], maps)


def depth_masks(depth: jax.Array) -> jax.Array:
    """Eq. 5: [N, s, s] in [0, 1] -> bool [N, 5, s, s]; b_low <= D < b_high, the last of each set closed above."""
    masks = [(depth >= low) & ((depth < high) if high < 1.0 else True) for low, high in LAYERS]
    return jnp.stack(masks, axis=1)


class DepthBranch(nn.Module):
    """Five masked views of each image through one ResNet (eq. 6): V pooled vectors per image.

    Attributes:
      stage_sizes, width, stem: of the ResNet ((3, 4, 6, 3), 64, "imagenet": ResNet50).
      side: of the masked images.
      resnet: "train" | "frozen" (inference mode, no gradient).
      views: "tokens" runs each view by itself, V = 5; "channels" runs all at once, 15 channels deep, V = 1.
      dtype, remat: the ResNet's.
    """

    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    stem: Literal["imagenet", "small"] = "imagenet"
    side: int = 224
    resnet: str = "train"
    views: str = "tokens"
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        depth: jax.Array,
        mask: jax.Array,
        normalise: Callable[[jax.Array], jax.Array],
        *,
        train: bool,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Vectors [N, V, C] float32 of images float32 [N, s, s, 3] in [0, 1] and depth [N, s, s] in [0, 1].

        mask bool [N] marks real images (BatchNorm counts no others); normalise maps [0, 1] pixels to the ResNet's
        input: hidden pixels are black, not mean grey.
        """
        n, side = images.shape[:2]
        masks = depth_masks(depth)  # [N, 5, s, s]
        layers = normalise(images[:, None] * masks[..., None])  # [N, 5, s, s, 3]
        views = view_count(self.views)
        if views == 1:
            layers = jnp.moveaxis(layers, 1, 3)  # [N, s, s, 5, 3]
        flat = layers.reshape(n * views, side, side, -1)
        trained = train and self.resnet == "train"
        resnet = ResNet(self.stage_sizes, self.width, self.stem, dtype=self.dtype, remat=self.remat, name="resnet")
        pooled, taps = resnet(flat.astype(self.dtype), train=trained, mask=jnp.repeat(mask, views), axis_name=axis_name)
        vectors = pooled.reshape(n, views, -1)
        if self.resnet == "frozen":
            vectors = jax.lax.stop_gradient(vectors)
        return vectors, {"masks": masks, **{f"resnet/{name}": tap for name, tap in taps.items()}}
