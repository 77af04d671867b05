"""Tests of HRNet: the exchange between resolutions against slow NumPy, the loop over modules, sizes, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.slow_hrnet import filled, images, slow_conv, slow_norm
from third_party_ports.dekr.hrnet import BasicBlock, Exchange, HRNet, upsample_nearest

TINY = {"width": 4, "modules": (2,), "blocks": 1, "stem": 2}


def test_exchange_against_a_slow_one():
    """Without blocks, an exchange is its fuse layers: nearest upsampling, chains of stride 2 without a last ReLU."""
    rng = np.random.default_rng(1)
    branches = [rng.normal(size=(2, 8 // 2**i, 16 // 2**i, 3 * 2**i)).astype(np.float32) for i in range(3)]
    exchange = Exchange(0, jnp.float32)
    variables = filled(exchange, branches, None)
    params = variables["params"]
    assert len(params) == 2 * 3 + 2 * (1 + 1 + 2)

    def brought(x, j, i):
        for d in range(i - j):
            name = f"fuse_layers_{i}_{j}_{d}"
            x = slow_norm(slow_conv(x, params[f"{name}_0"]["kernel"], 2), variables, f"{name}_1")
            x = x if d == i - j - 1 else np.maximum(x, 0)
        if j > i:
            name = f"fuse_layers_{i}_{j}"
            x = slow_norm(x @ params[f"{name}_0"]["kernel"], variables, f"{name}_1")
            x = x.repeat(2 ** (j - i), 1).repeat(2 ** (j - i), 2)
        return x

    summed, nothing = jax.jit(exchange.apply)(variables, branches, None)
    assert nothing is None
    for i, out in enumerate(summed):
        expected = np.maximum(sum(brought(x, j, i) for j, x in enumerate(branches)), 0)
        assert 0 < (expected == 0).mean() < 1
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_basic_block_against_a_slow_one():
    x = np.random.default_rng(2).normal(size=(2, 4, 6, 3)).astype(np.float32)
    block = BasicBlock(jnp.float32)
    variables = filled(block, x)
    y = np.maximum(slow_norm(slow_conv(x, variables["params"]["conv1"]["kernel"], 1), variables, "bn1"), 0)
    y = slow_norm(slow_conv(y, variables["params"]["conv2"]["kernel"], 1), variables, "bn2")
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), np.maximum(x + y, 0), rtol=1e-4, atol=1e-4)


def test_the_loop_is_the_modules_in_a_row():
    """A stage's modules run in the order of their numbers, each with its own parameters."""
    network = HRNet(**TINY)
    variables = filled(network, images(1))
    branches, out = jax.jit(network.apply)(variables, images(1))
    params, layer1 = variables["params"], np.asarray(out["layer1"])
    expected = [
        np.maximum(slow_norm(slow_conv(layer1, params[f"{name}_0"]["kernel"], stride), variables, f"{name}_1"), 0)
        for name, stride in (("transition1_0", 1), ("transition1_1_0", 2))
    ]
    exchange = jax.jit(Exchange(1, jnp.float32).apply)
    for m in range(2):
        module = {kind: jax.tree.map(lambda leaf, m=m: leaf[m], parts["stage2"]) for kind, parts in variables.items()}
        expected, _ = exchange(module, expected, None)
    for i in range(2):
        assert (branches[i] > 0).any()
        np.testing.assert_allclose(branches[i], expected[i], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(out[f"stage2_branch{i}"], branches[i])


def test_shapes_and_names():
    network = HRNet(4, (1, 1, 1), 1, 2)
    (branches, out), _ = jax.eval_shape(network.init_with_output, jax.random.key(0), images(2, 64, 96))
    assert [b.shape for b in branches] == [(2, 16, 24, 4), (2, 8, 12, 8), (2, 4, 6, 16), (2, 2, 3, 32)]
    stages = {f"stage{s}_branch{i}" for s in (2, 3, 4) for i in range(s)}
    assert set(out) == {"stem", "layer1"} | stages
    assert out["stem"].shape == (2, 16, 24, 2)
    assert out["layer1"].shape == (2, 16, 24, 8)


@pytest.mark.parametrize(
    ("modules", "height", "width", "multiple"), [((1, 1, 1), 64, 48, 32), ((1,), 20, 16, 8), ((), 6, 4, 4)]
)
def test_sides_that_the_coarsest_map_does_not_fit(modules, height, width, multiple):
    network = HRNet(2, modules, 1, 2)
    message = f"{height} x {width} px.* multiples of {multiple} px"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), images(1, height, width))


def test_nearest_upsampling():
    x = np.arange(6.0).reshape(1, 1, 3, 2)
    np.testing.assert_array_equal(upsample_nearest(x, 2), x.repeat(2, 1).repeat(2, 2))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables():
    network, half = HRNet(**TINY), HRNet(**TINY, dtype=jnp.bfloat16)
    own = jax.eval_shape(half.init, jax.random.key(0), images(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    variables = filled(network, images(1))
    branches, out = jax.jit(half.apply)(variables, images(1))
    assert {tap.dtype for tap in out.values()} == {jnp.dtype("bfloat16")}
    full = jax.jit(network.apply)(variables, images(1))[0]
    assert 0 < np.linalg.norm(branches[0] - full[0]) < 0.05 * np.linalg.norm(full[0])
