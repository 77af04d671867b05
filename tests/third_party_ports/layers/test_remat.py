"""Tests of recomputed blocks: the same numbers under the same names, for less memory."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.layers.remat import COMPILER_OPTIONS, keeping_products
from third_party_ports.resnet import ResNet
from third_party_ports.swin import Swin


def _swin(remat: bool):
    return Swin(4, 8, (2,), (2,), 3, 0.5, remat=remat), {"keys": jax.random.split(jax.random.key(1), 2)}


def _resnet(remat: bool):
    return ResNet((2,), 4, "small", remat=remat), {"train": True, "mask": np.array([True, False])}


@pytest.mark.parametrize("build", [_swin, _resnet])
def test_values_gradients_and_names_stay(build):
    x = jax.random.normal(jax.random.key(0), (2, 24, 24, 3))
    found = []
    for remat in (False, True):
        network, arguments = build(remat)
        variables = jax.jit(lambda key, network=network, arguments=arguments: network.init(key, x, **arguments))(
            jax.random.key(2)
        )

        def loss(params, network=network, arguments=arguments, variables=variables):
            (y, _), moved = network.apply(variables | {"params": params}, x, **arguments, mutable=["batch_stats"])
            return (y * jnp.cos(y)).sum(), moved

        found.append((variables, jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])))
    plain, again = found
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), plain, again)


class _Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Dense(4 * x.shape[-1])(nn.LayerNorm()(x))
        return x + nn.Dense(x.shape[-1])(nn.gelu(y, approximate=False))


class _Blocks(nn.Module):
    remat: bool

    @nn.compact
    def __call__(self, x):
        run = keeping_products(_Block.__call__) if self.remat else _Block.__call__
        for _ in range(4):
            x = run(_Block(), x)
        return x


def test_the_compiler_keeps_the_second_computation_apart():
    """Without the option XLA merges it with the first one, and nothing is gained."""
    bytes_held = []
    for remat in (False, True):
        network, x = _Blocks(remat), jax.ShapeDtypeStruct((512, 64), jnp.float32)
        shapes = jax.eval_shape(network.init, jax.random.key(0), x)
        slopes = jax.jit(jax.grad(lambda v, x, network=network: (network.apply(v, x) ** 2).sum()))
        compiled = slopes.lower(shapes, x).compile(COMPILER_OPTIONS)
        bytes_held.append(compiled.memory_analysis().temp_size_in_bytes)
    assert bytes_held[1] < 0.8 * bytes_held[0]
