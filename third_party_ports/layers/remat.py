"""Keeps the products of a block for its backward pass, and computes all else again."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

# XLA's CPU backend drops the barriers that hold the second computation apart, merges it with the first one, and so
# keeps everything. A program with recomputed blocks is compiled under these options.
COMPILER_OPTIONS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def keeping_products(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` (module, *arrays), whose backward pass finds only matrix products and convolutions stored.

    Norms, activations and softmax are cheap beside the products, and hold most of the memory. The results are the same,
    gradients to float32 rounding.
    """
    return nn.remat(call, policy=_is_product)


def _is_product(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in ("dot_general", "conv_general_dilated")
