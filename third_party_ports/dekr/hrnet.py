"""HRNet (arXiv 1908.07919): branches of several resolutions side by side, ported from HRNet/DEKR (MIT).

Parameter names follow the official checkpoints. A stage's modules are alike, so they are held as one with a leading
axis and run in a loop: unrolled, the network takes five to ten times as long to compile and up to twice as long to run.
`stage3.1.fuse_layers.2.0.1.0.weight` is params["stage3"]["fuse_layers_2_0_1_0"]["kernel"][1] (KeyMaps use STACKED). The
running statistics are in batch_stats as `mean` and `var`.
Shapes: N images, H W their sides, C = width. Branch i has C * 2 ** i channels at 1 / (4 * 2 ** i) of the sides.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from third_party_ports.layers.batch_norm import BatchNorm
from third_party_ports.layers.linear import Linear
from third_party_ports.layers.winograd import convolution
from third_party_ports.resnet import Bottleneck

STACKED = r"stage\d"  # names that stand before a number and are packed on a leading axis


class HRNet(nn.Module):
    """Computes a map per branch. For inference only: batch norm uses its running statistics.

    Attributes:
      width: C of the branch of the highest resolution; 32 and 48 have official weights.
      modules: how many each stage after the first has; stage s = 2, 3, ... has s branches.
      blocks: residual blocks of the first stage, and of each branch in a module.
      stem: channels before the branches; the first stage returns four times as many.
      dtype: of the computation; parameters and statistics stay float32.
    """

    width: int = 32
    modules: tuple[int, ...] = (1, 4, 3)
    blocks: int = 4
    stem: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[list[jax.Array], dict[str, jax.Array]]:
        """Normalised RGB images [N, H, W, 3] -> the last stage's branches, the highest resolution first, and by name
        `stem`, `layer1` and `stage{s}_branch{i}` (the stage's output), all [N, H', W', C'].

        Raises ValueError if H or W is not a multiple of `multiple`.
        """
        height, width = images.shape[1:3]
        if height % self.multiple or width % self.multiple:
            raise ValueError(
                f"HRNet: images of {height} x {width} px; with {len(self.modules) + 1} branches both sides must be "
                f"multiples of {self.multiple} px, or the coarsest map does not upsample to the others. Pad them."
            )
        x = nn.relu(conv_norm(images, self.stem, ("conv1", "bn1"), self.dtype, stride=2))
        x = nn.relu(conv_norm(x, self.stem, ("conv2", "bn2"), self.dtype, stride=2))
        out = {"stem": x}
        for b in range(self.blocks):
            x = Bottleneck(self.stem, 1, 1, b == 0, "3x3", self.dtype, name=f"layer1_{b}")(x, train=False)
        out["layer1"] = x

        names = ("transition1_0_0", "transition1_0_1")
        branches = [nn.relu(conv_norm(x, self.width, names, self.dtype))]
        coarsest = x  # the first new branch also starts from layer1, each later one from the branch before it
        for s, modules in enumerate(self.modules, start=1):
            names = (f"transition{s}_{s}_0_0", f"transition{s}_{s}_0_1")
            branches.append(nn.relu(conv_norm(coarsest, self.width * 2**s, names, self.dtype, stride=2)))
            stage = _repeated(modules)(self.blocks, self.dtype, name=f"stage{s + 1}")
            branches, _ = stage(branches, None)
            out |= {f"stage{s + 1}_branch{i}": branch for i, branch in enumerate(branches)}
            coarsest = branches[-1]
        return branches, out

    @property
    def multiple(self) -> int:
        """What H and W must be multiples of: the coarsest branch's pixel, 32 px for four branches."""
        return 4 * 2 ** len(self.modules)


class Exchange(nn.Module):
    """Runs residual blocks on each branch. Each output is the sum of all branches at its resolution."""

    blocks: int
    dtype: Any

    @nn.compact
    def __call__(self, branches: list[jax.Array], _: None) -> tuple[list[jax.Array], None]:
        """Maps [N, H / 2 ** i, W / 2 ** i, C * 2 ** i] -> as many of the same shapes. The loop over modules carries
        nothing else."""
        branches = list(branches)
        for i in range(len(branches)):
            for b in range(self.blocks):
                branches[i] = BasicBlock(self.dtype, name=f"branches_{i}_{b}")(branches[i])
        widths = [branch.shape[-1] for branch in branches]
        summed = [
            nn.relu(sum(self._brought(branch, j, i, widths) for j, branch in enumerate(branches)))
            for i in range(len(branches))
        ]
        return summed, None

    def _brought(self, x: jax.Array, j: int, i: int, widths: list[int]) -> jax.Array:
        """Brings branch j to the resolution and width of branch i."""
        layer = f"fuse_layers_{i}_{j}"
        if j > i:
            return upsample_nearest(
                conv_norm(x, widths[i], (f"{layer}_0", f"{layer}_1"), self.dtype, side=1), 2 ** (j - i)
            )
        for d in range(i - j):
            last = d == i - j - 1
            names = (f"{layer}_{d}_0", f"{layer}_{d}_1")
            x = conv_norm(x, widths[i] if last else widths[j], names, self.dtype, stride=2)
            x = x if last else nn.relu(x)
        return x


def _repeated(modules: int) -> type[nn.Module]:
    """Returns Exchange `modules` times in a row, each time with its own parameters."""
    return nn.scan(Exchange, variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True}, length=modules)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: [N, H, W, C] -> [N, H, W, C]."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        y = nn.relu(conv_norm(x, width, ("conv1", "bn1"), self.dtype))
        return nn.relu(conv_norm(y, width, ("conv2", "bn2"), self.dtype) + x)


def conv_norm(
    x: jax.Array, width: int, names: tuple[str, str], dtype: Any, *, side: int = 3, stride: int = 1
) -> jax.Array:
    """A convolution without bias and its batch norm: [N, H, W, C] -> [N, H / stride, W / stride, width].

    Call it in a module's compact method; the two get the `names` there. `side` is 1 or 3.
    """
    if side == 1:
        x = Linear(width, use_bias=False, dtype=dtype, name=names[0])(x[:, ::stride, ::stride])
    else:  # the padding is symmetric: "SAME" pads even sizes after the end only
        same = {"padding": ((1, 1), (1, 1)), "conv_general_dilated": convolution}
        x = nn.Conv(width, (3, 3), (stride, stride), use_bias=False, dtype=dtype, name=names[0], **same)(x)
    return BatchNorm(dtype, name=names[1])(x, train=False)


def upsample_nearest(x: jax.Array, factor: int) -> jax.Array:
    """Repeats each pixel `factor` x `factor` times: [N, H, W, C] -> [N, factor * H, factor * W, C]."""
    n, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (n, h, factor, w, factor, c))
    return x.reshape(n, h * factor, w * factor, c)
