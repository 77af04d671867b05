"""NIMA, "Neural Image Assessment" (arXiv 1709.05424): which share of votes a photo gets for each score from 1 to 10.

Weights of two networks are published. `Nima`, a MobileNet, follows idealo/image-quality-assessment (Apache-2.0) and its
Keras files; its input comes from `nima_input`. `NimaVGG`, a VGG16, follows yunxiaoshi/Neural-IMage-Assessment (MIT);
its input comes from `imagenet` (shorter side 256, centre crop 224, normalised).

KEYS reads only the layers' names, because some Keras files say `conv1/conv1/kernel:0` and others less. The last layer
may have any name. Shapes: N images, H W their sides, C channels, B scores.
"""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.checkpoints.weights import KeyMap
from third_party_ports.efficientnet import Depthwise
from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear

KEYS = KeyMap(
    wrappers=("model_weights",),  # if a file holds the whole Keras model
    renames=(
        (r":0$", ""),
        (r"^([^.]+)\..*\.([^.]+)$", r"\1.\2"),  # the layer's group, and the variable's name without its scopes
        (r"\.depthwise_kernel$", ".kernel"),
        (r"\.gamma$", ".scale"),
        (r"\.beta$", ".bias"),
        (r"\.moving_mean$", ".running_mean"),
        (r"\.moving_variance$", ".running_var"),
        (r"^(?!conv)[^.]+\.(kernel|bias)$", r"dense.\1"),  # the only layer that is neither convolution nor norm
    ),
    order="flax",
)
VGG_KEYS = KeyMap(
    renames=((r"^module\.", ""), (r"^features\.module\.", "features."))
)  # the second after training on several GPUs
MOBILENET = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
EPSILON, MOMENTUM = 1e-3, 0.99  # Keras's


class Nima(nn.Module):
    """Runs a MobileNet and one linear layer.

    Attributes:
      stem: channels of the first convolution, which halves the sides.
      blocks: (channels, stride) of each depthwise separable block; the stride is the depthwise convolution's.
      outputs: B.
      padding: of the convolutions with stride 2. "symmetric" pads one zero on all sides, like the serving graph that
        was released with the weights. "same" is TensorFlow's, one zero after the end, like today's Keras.
      dropout: of the pooled vector, in training.
      dtype: of the computation; parameters, statistics, pooled vector and last layer stay float32.
    """

    stem: int = 32
    blocks: tuple[tuple[int, int], ...] = MOBILENET
    outputs: int = 10
    padding: Literal["symmetric", "same"] = "symmetric"
    dropout: float = 0.75
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool,
        mask: jax.Array | None = None,
        axis_name: str | None = None,
        keys: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """RGB images [N, H, W, 3] in [-1, 1] -> shares of the votes [N, B] float32 with sum 1, and by name `conv1`,
        `dw{i}` and `pw{i}` (the convolutions of block i = 1, 2, ...), all [N, H', W', C], `pooled` [N, C], `logits`
        and `probs` [N, B].

        `train`, `mask` and `axis_name` are BatchNorm's; training updates batch_stats. Dropout draws from `keys` [N], a
        typed PRNG key per image, or without them from the "dropout" key.
        Raises ValueError for an unknown padding.
        """
        if self.padding not in ("symmetric", "same"):
            raise ValueError(f"Nima: padding {self.padding!r} is neither 'symmetric' nor 'same'")
        out = {}

        def activated(x: jax.Array, layer: str, tap: str) -> jax.Array:
            norm = BatchNorm(self.dtype, MOMENTUM, EPSILON, name=f"{layer}_bn")
            out[tap] = nn.relu6(norm(x, train=train, mask=mask, axis_name=axis_name))
            return out[tap]

        padding = "SAME" if self.padding == "same" else ((1, 1), (1, 1))
        x = nn.Conv(self.stem, (3, 3), (2, 2), padding, use_bias=False, dtype=self.dtype, name="conv1")(images)
        x = activated(x, "conv1", "conv1")
        for i, (channels, stride) in enumerate(self.blocks, 1):
            x = Depthwise(3, stride, self.dtype, self.padding, name=f"conv_dw_{i}")(x)
            x = activated(x, f"conv_dw_{i}", f"dw{i}")
            x = Linear(channels, use_bias=False, dtype=self.dtype, name=f"conv_pw_{i}")(x)
            x = activated(x, f"conv_pw_{i}", f"pw{i}")
        out["pooled"] = x.mean((1, 2), dtype=jnp.float32)
        return _votes(out["pooled"], out, self.outputs, self.dropout, train, "dense", keys), out


class NimaVGG(nn.Module):
    """Runs VGG16's convolutions, without norms, and one linear layer on the whole last map.

    Attributes:
      stages: channels of the 3x3 convolutions of each stage; the sides are halved after a stage.
      outputs: B.
      dropout: of the flattened map, in training.
      dtype: of the computation; parameters and the last layer stay float32.
    """

    stages: tuple[tuple[int, ...], ...] = VGG16
    outputs: int = 10
    dropout: float = 0.75
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, dict[str, jax.Array]]:
        """RGB images [N, H, W, 3] -> shares of the votes [N, B] float32, and by name `features` [N, h, w, C], `logits`
        and `probs`. The images are normalised as by `imagenet`, and of the size that the weights fit (the official
        file: 224 x 224).
        """
        x, layer, out = images, 0, {}
        conv = partial(nn.Conv, kernel_size=(3, 3), padding=1, dtype=self.dtype)
        for widths in self.stages:
            for channels in widths:
                x = nn.relu(conv(channels, name=f"features_{layer}")(x))
                layer += 2  # PyTorch counts the activation, and the pooling below, as layers
            x = nn.max_pool(x, (2, 2), (2, 2))
            layer += 1
        out["features"] = x
        flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1).astype(jnp.float32)  # PyTorch's order: C, H, W
        return _votes(flat, out, self.outputs, self.dropout, train, "classifier_1"), out


def _votes(
    vectors: jax.Array,
    out: dict[str, jax.Array],
    outputs: int,
    dropout: float,
    train: bool,
    name: str,
    keys: jax.Array | None = None,
) -> jax.Array:
    """Runs the last layers of the calling compact module, [N, C] float32 -> [N, outputs], and adds taps to `out`."""
    if train and keys is not None:
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - dropout, vectors.shape[1:]))(keys)
        vectors = jnp.where(kept, vectors / (1 - dropout), 0)
    else:
        vectors = nn.Dropout(dropout)(vectors, deterministic=not train)
    out["logits"] = Linear(outputs, name=name)(vectors)
    out["probs"] = nn.softmax(out["logits"])
    return out["probs"]


def mean_score(votes: jax.Array) -> jax.Array:
    """Shares of the votes [..., B] for the scores 1 to B -> their mean [...]."""
    return (votes * _scores(votes)).sum(-1)


def deviation(votes: jax.Array) -> jax.Array:
    """Shares of the votes [..., B] -> their standard deviation [...], which the original calls the spread."""
    return jnp.sqrt((votes * (_scores(votes) - mean_score(votes)[..., None]) ** 2).sum(-1))


def _scores(votes: jax.Array) -> jax.Array:
    return jnp.arange(1, votes.shape[-1] + 1, dtype=jnp.float32)


def emd_squared(target: jax.Array, estimate: jax.Array) -> jax.Array:
    """Two distributions [..., B] -> the mean square of the difference of their cumulative sums [...]."""
    return ((jnp.cumsum(target, -1) - jnp.cumsum(estimate, -1)) ** 2).mean(-1)


def emd(target: jax.Array, estimate: jax.Array) -> jax.Array:
    """Two distributions [..., B] -> the paper's earth mover's distance (r = 2) [...]; the loss is their mean.

    1e-12 under the root keeps the gradient finite where the two are equal.
    """
    return jnp.sqrt(emd_squared(target, estimate) + 1e-12)
