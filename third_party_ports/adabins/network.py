"""AdaBins: depth from one photo by adaptive bins (arXiv 2011.14141), written from a description of the network.

Parameter names follow the official checkpoints by the rule of `checkpoints.weights`; KEYS shortens four prefixes.
The files do not hold their range: it is 0.001 to 10 m for AdaBins_nyu.pt, and 0.001 to 80 m for AdaBins_kitti.pt. The
range is applied after the last layer (`bins_to_depth`), so one pass serves any range.
Shapes: N images, H W their sides, h w half of them rounded up, C width, S tokens, B bins. For inference only.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.adabins.mini_vit import MiniViT
from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.efficientnet import B5, EfficientNet
from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear
from third_party_ports.layers.winograd import convolution

KEYS = KeyMap(
    wrappers=("model",),
    renames=(
        (r"^module\.", ""),
        (r"^encoder\.original_model\.", "encoder."),
        (r"^adaptive_bins_layer\.embedding_conv\.", "adaptive_bins_layer.conv3x3."),  # two names of the released file
        (r"\.patch_transformer\.embedding_encoder\.", ".patch_transformer.embedding_convPxP."),
        (r"\.patch_transformer\.transformer_encoder\.", ".patch_transformer."),
        (r"\.self_attn\.in_proj_(weight|bias)$", r".self_attn.in_proj.\1"),
    ),
    ignored=r"encoder\.bn2\..*|(.*\.)?num_batches_tracked",  # the norm after the map that the decoder reads
)
THIRDS, HALF = (1 / 3, 2 / 3), 0.5


class AdaBins(nn.Module):
    """Turns photos into depth maps at half their resolution.

    Attributes:
      min_depth, max_depth: the checkpoint's range, in metres.
      stem, stages: of the encoder (`EfficientNet`).
      features: channels of the encoder's head. The decoder halves them in each step up; there is a step for each
        halving of the sides in the encoder.
      width, heads, layers, hidden: of the transformer over patches.
      patch: side of a patch, in pixels of the half resolution map.
      positions: how many position vectors there are, the largest number of tokens.
      queries: how many tokens become channels of the range attention; one more token gives the widths of the bins.
      bins: B.
      dtype: of the computation; parameters, norm statistics, softmax, bins and depth stay float32.
    """

    min_depth: float = 1e-3
    max_depth: float = 10.0
    stem: int = 48
    stages: tuple[tuple[int, int, int, int, int], ...] = B5
    features: int = 2048
    width: int = 128
    heads: int = 4
    layers: int = 4
    hidden: int = 1024
    patch: int = 16
    positions: int = 500
    queries: int = 128
    bins: int = 256
    dtype: Any = jnp.float32

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> edges [N, B + 1] and depth [N, h, w], float32 metres (small is near),
        and the taps of `probabilities` by name. Raises ValueError for sizes that do not fit (see `tokens`)."""
        probabilities, widths, out = self.probabilities(images)
        return *bins_to_depth(probabilities, widths, self.min_depth, self.max_depth), out

    @nn.compact
    def probabilities(self, images: jax.Array) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> probabilities of each pixel's bins [N, h, w, B], and the bins' shares
        of the range [N, B], both float32 with sum 1; and by name the encoder's maps, `conv2`, `decoder` [N, h, w, C],
        `tokens` [N, S, C] and `range_attention` [N, h, w, queries]."""
        _, height, width, _ = images.shape
        tokens((height, width), self.patch, self.queries, self.positions)
        _, out = EfficientNet(self.stem, self.stages, self.features, self.dtype, name="encoder")(images)
        # The last map of each resolution except the coarsest one; the coarser ones come first.
        skips = [out[f"blocks{s}"] for s in reversed(range(len(self.stages) - 1)) if self.stages[s + 1][2] > 1]
        x, taps = Decoder(self.width, self.dtype, name="decoder")(out["conv_head"], skips)
        out |= taps
        attention, widths, taps = MiniViT(
            self.width,
            self.heads,
            self.layers,
            self.hidden,
            self.patch,
            self.positions,
            self.queries,
            self.bins,
            self.dtype,
            name="adaptive_bins_layer",
        )(x)
        out |= taps
        scores = Linear(self.bins, dtype=self.dtype, name="conv_out_0")(attention)
        return nn.softmax(scores.astype(jnp.float32)), widths, out


def tokens(size: tuple[int, int], patch: int = 16, queries: int = 128, positions: int = 500) -> int:
    """Returns the number of tokens for images of size (H, W). Raises ValueError if the network cannot take it."""
    height, width = size
    count = (-(-height // 2) // patch) * (-(-width // 2) // patch)
    if not queries < count <= positions:
        raise ValueError(
            f"AdaBins: images of {height} x {width} px (height x width) give {count} patches of {2 * patch} px; "
            f"{queries + 1} to {positions} are needed. Resize them; 480 x 640 px is the indoor training size"
        )
    return count


class Decoder(nn.Module):
    """The encoder's head [N, H', W', F] and maps of growing resolution -> [N, h, w, C], and two maps by name."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, skips: list[jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        features = x.shape[-1]
        # The official 1x1 convolution pads by one: the map grows, and its border is the bias.
        x = Linear(features, dtype=self.dtype, name="conv2")(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
        out = {"conv2": x}
        for n, skip in enumerate(skips, 1):
            x = UpSample(features // 2**n, self.dtype, name=f"up{n}")(x, skip)
        out["decoder"] = _conv(self.width, self.dtype, "conv3")(x)
        return out["decoder"], out


class UpSample(nn.Module):
    """Resizes a map to the next one's size, joins the two, and runs two 3x3 convolutions: -> [N, H', W', width]."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array) -> jax.Array:
        _, height, width, _ = skip.shape
        x = jnp.concatenate([resize_align_corners(x, (height, width)), skip], -1)
        for conv, norm in ((0, 1), (3, 4)):
            x = _conv(self.width, self.dtype, f"_net_{conv}")(x)
            x = BatchNorm(self.dtype, name=f"_net_{norm}")(x, train=False)
            x = nn.leaky_relu(x)
        return x


def bins_to_depth(
    probabilities: jax.Array, widths: jax.Array, min_depth: float, max_depth: float
) -> tuple[jax.Array, jax.Array]:
    """Probabilities [N, h, w, B], widths [N, B] -> edges of the bins [N, B + 1], from min_depth to max_depth, and depth
    [N, h, w], the mean of the bins' centres. Both are float32, in metres."""
    first = jnp.full((len(widths), 1), min_depth, jnp.float32)
    edges = jnp.cumsum(jnp.concatenate([first, (max_depth - min_depth) * widths], -1), -1)
    centres = (edges[:, :-1] + edges[:, 1:]) / 2
    return edges, jnp.einsum("nhwb,nb->nhw", probabilities, centres, precision=jax.lax.Precision.HIGHEST)


def depth_maps(
    apply: Callable[[jax.Array], tuple[jax.Array, jax.Array, Any]],
    images: jax.Array,
    min_depth: float,
    max_depth: float,
    mirror: bool = True,
) -> jax.Array:
    """Computes depth at the images' own resolution.

    Args:
      apply: the network: images [M, H, W, 3] -> (edges, depth [M, h, w], ...). It is called once.
      images: normalised RGB [N, H, W, 3].
      min_depth, max_depth: the range of `apply`.
      mirror: whether to average with the depth of the mirrored images. The released evaluation does; it costs twice as
        much.

    Returns:
      [N, H, W] float32, in metres.
    """
    n, height, width, _ = images.shape
    depth = apply(with_mirrored(images) if mirror else images)[1]
    return full_resolution(depth, (n, height, width), min_depth, max_depth)


def with_mirrored(images: jax.Array) -> jax.Array:
    """Appends the mirrored images: [N, H, W, 3] -> [2 N, H, W, 3]."""
    return jnp.concatenate([images, images[:, :, ::-1]])


def full_resolution(depth: jax.Array, shape: tuple[int, int, int], min_depth: float, max_depth: float) -> jax.Array:
    """Resizes depth [N, h, w], or [2 N, h, w] of `with_mirrored` images, to [N, H, W] = `shape`.

    Values are cut to the range. Infinite values become one of its ends, NaN becomes `min_depth`.
    """
    n, height, width = shape
    depth = jnp.clip(depth, min_depth, max_depth)
    if len(depth) == 2 * n:
        depth = (depth[:n] + depth[n:, :, ::-1]) / 2
    depth = jnp.clip(resize_align_corners(depth[..., None], (height, width))[..., 0], min_depth, max_depth)
    return jnp.where(jnp.isnan(depth), min_depth, depth)


def resize_align_corners(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes [N, H, W, C] bilinearly to [N, *size, C]. Corner pixels stay corners, unlike in `jax.image.resize`."""
    for axis, new in zip((1, 2), size, strict=True):
        old = x.shape[axis]
        if new == old:
            continue
        source = np.arange(new) * ((old - 1) / max(new - 1, 1))
        low = np.minimum(source.astype(int), old - 1)
        share = jnp.asarray(source - low, jnp.float32).reshape((-1,) + (1,) * (3 - axis))
        below, above = (jnp.take(x, at, axis).astype(jnp.float32) for at in (low, np.minimum(low + 1, old - 1)))
        x = (below * (1 - share) + above * share).astype(x.dtype)
    return x


def masks(depth: jax.Array) -> jax.Array:
    """Computes the five masks of a depth map (eq. 5).

    Args:
      depth: [..., H, W], in any unit; small is near.

    Returns:
      bool [..., 5, H, W]: the near, middle and far third of each map's own range, and its nearer and farther half.
      Every pixel is in one of the three and in one of the two. A constant map is all near. To get masks of another
      resolution, resize the depth, not the masks.
    """
    depth = depth.astype(jnp.float32)
    low, high = depth.min((-2, -1), keepdims=True), depth.max((-2, -1), keepdims=True)
    share = (depth - low) / jnp.where(high > low, high - low, 1)
    first, second = (share >= np.float32(third) for third in THIRDS)
    half = share >= np.float32(HALF)
    return jnp.stack([~first, first & ~second, second, ~half, half], -3)


def _conv(width: int, dtype: Any, name: str) -> nn.Conv:
    # "SAME" at stride 1 pads 1 on each side.
    return nn.Conv(width, (3, 3), dtype=dtype, conv_general_dilated=convolution, name=name)
