"""3x3 convolutions on the CPU with 2.25 times fewer multiplications (Lavin and Gray, arXiv 1509.09308, F(2x2, 3x3)).

Each tile of 4 x 4 values gives 2 x 2 results. Tile and kernel are transformed by additions. In between are 16 matrix
products over all tiles, where the plain convolution has the work of 36. In float32 the result differs from the plain
one by rounding: 4e-7 to 8e-7 of its norm.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

MIN_CHANNELS = 64  # with fewer, on either side, the additions take longer than the products that they save
MIN_TILES = 64  # with fewer, the kernel's transformation does


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    rhs_dilation: Sequence[int] | None = None,
    precision: Any = None,
    **options: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` for images NHWC, faster where it can be: `nn.Conv(conv_general_dilated=...)`.

    That is on the CPU, for float32, 3x3 kernels of stride 1 that keep the map's size, and enough channels and tiles.
    """
    rate = (rhs_dilation or (1, 1))[0]
    suits = (
        jax.default_backend() == "cpu"  # a GPU's library chooses among such methods itself
        and x.dtype == kernel.dtype == jnp.float32  # the transformed values need more digits than bfloat16 has
        and kernel.shape[:2] == (3, 3)
        and min(kernel.shape[2:]) >= MIN_CHANNELS
        and x.shape[-1] == kernel.shape[2]  # no groups
        and tuple(window_strides) == (1, 1)
        and tuple(rhs_dilation or (1, 1)) == (rate, rate)
        and (padding == "SAME" or [tuple(pair) for pair in padding] == 2 * [(rate, rate)])
        and x.size // x.shape[-1] >= 4 * MIN_TILES
    )
    if suits:
        return tiled_convolution(x, kernel, rate, precision)
    return jax.lax.conv_general_dilated(
        x, kernel, window_strides, padding, rhs_dilation=rhs_dilation, precision=precision, **options
    )


@partial(jax.jit, static_argnames=("rate", "precision"))  # benchmarks count its work by this name
def tiled_convolution(x: jax.Array, kernel: jax.Array, rate: int = 1, precision: Any = None) -> jax.Array:
    """Convolves x [N, H, W, C] with a kernel [3, 3, C, O] of dilation `rate`, zeros around: -> [N, H, W, O]."""
    n, h, w, c = x.shape
    rows, columns = -(-h // rate), -(-w // rate)
    # Of a dilated convolution, each `rate`-th pixel of a row and column sees only its like: they are maps of their own.
    x = jnp.pad(x, ((0, 0), (0, rows * rate - h), (0, columns * rate - w), (0, 0)))
    x = x.reshape(n, rows, rate, columns, rate, c).transpose(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, c)
    x = _undilated(x, kernel, precision)
    x = x.reshape(rate, rate, n, rows, columns, -1).transpose(2, 3, 0, 4, 1, 5)
    return x.reshape(n, rows * rate, columns * rate, -1)[:, :h, :w]


def _undilated(x: jax.Array, kernel: jax.Array, precision: Any) -> jax.Array:
    n, h, w, c = x.shape
    down, right = -(-h // 2), -(-w // 2)  # tiles
    kernels = [_kernel_values(list(row)) for row in _kernel_values(list(kernel))]
    x = jnp.pad(x, ((0, 0), (1, 2 * down + 1 - h), (1, 2 * right + 1 - w), (0, 0)))
    halves = []  # of each row of the tiles, the two columns of results
    for i, row in enumerate(_tile_values([x[:, i : i + 2 * down : 2] for i in range(4)])):
        values = _tile_values([row[:, :, j : j + 2 * right : 2].reshape(-1, c) for j in range(4)])
        halves.append(_results([jnp.matmul(v, kernels[i][j], precision=precision) for j, v in enumerate(values)]))
    left, other = (_results([half[side] for half in halves]) for side in range(2))
    x = jnp.stack([left[0], other[0], left[1], other[1]]).reshape(2, 2, n, down, right, -1)
    return x.transpose(2, 3, 0, 4, 1, 5).reshape(n, 2 * down, 2 * right, -1)[:, :h, :w]


def _tile_values(x: list[jax.Array]) -> tuple[jax.Array, ...]:
    """The transformation of a tile along one axis."""
    return x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3]


def _kernel_values(x: list[jax.Array]) -> tuple[jax.Array, ...]:
    """The transformation of a kernel along one axis."""
    outer, middle = (x[0] + x[2]) / 2, x[1] / 2
    return x[0], outer + middle, outer - middle, x[2]


def _results(x: list[jax.Array]) -> tuple[jax.Array, ...]:
    """The results of a tile along one axis, from the four products."""
    return x[0] + x[1] + x[2], x[1] - x[2] - x[3]
