"""EfficientNet: depthwise convolutions, blocks, sizes, precision (parity: test_verify.py, with AdaBins)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.efficientnet import Block, Depthwise, EfficientNet, SqueezeExcite

TINY = {"stem": 4, "stages": ((1, 3, 1, 1, 6), (1, 3, 2, 2, 8)), "head": 10}


def images(count: int, height: int, width: int, channels: int = 3) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (count, height, width, channels))


def filled(module, *inputs) -> dict:
    """Variables of random numbers, with positive variances. (Compiling init would take seconds.)"""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)


@pytest.fixture(scope="module")
def tiny():
    network = EfficientNet(**TINY)
    return network, jax.jit(network.apply), filled(network, images(2, 12, 16))


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize(
    ("side", "stride", "size"), [(3, 1, (6, 7)), (3, 2, (6, 7)), (5, 1, (1, 2)), (5, 2, (8, 5)), (5, 2, (2, 1))]
)
def test_depthwise_is_a_grouped_convolution(side, stride, size, padding):
    layer = Depthwise(side, stride, jnp.float32, padding)
    zeros = "SAME" if padding == "same" else ((side // 2, side // 2),) * 2
    x = images(2, *size, 3)
    kernel = np.random.default_rng(1).normal(size=(side, side, 1, 3)).astype(np.float32)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), zeros, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3
    )
    np.testing.assert_allclose(jax.jit(layer.apply)({"params": {"kernel": kernel}}, x), expected, rtol=1e-5, atol=1e-5)


def test_stride_two_pads_even_sizes_after_the_end_only():
    """3 of 4 columns from the left are in the first window: 1 + 2 + 3; 3 + 4 and a zero in the second. A symmetric
    padding begins with a zero: 1 + 2, then 2 + 3 + 4."""
    x = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 4, 1)
    variables = {"params": {"kernel": np.ones((3, 3, 1, 1), np.float32)}}
    assert jax.jit(Depthwise(3, 2, jnp.float32).apply)(variables, x).ravel().tolist() == [6, 7]
    assert jax.jit(Depthwise(3, 2, jnp.float32, "symmetric").apply)(variables, x).ravel().tolist() == [3, 9]


@pytest.mark.parametrize(
    ("expansion", "last", "stride", "width", "adds"),
    [(1, "bn2", 1, 8, True), (3, "bn3", 1, 8, True), (3, "bn3", 2, 8, False), (3, "bn3", 1, 6, False)],
)
def test_a_block_adds_its_input_where_the_shape_stays(expansion, last, stride, width, adds):
    """The last norm returns 0, so that only the input is left. On a map of one pixel, the stride does not show."""
    block = Block(3, stride, expansion, width, jnp.float32)
    x = images(2, 1, 1, 8)
    variables = filled(block, x)
    for name in ("scale", "bias"):
        variables["params"][last][name][:] = 0
    np.testing.assert_array_equal(jax.jit(block.apply)(variables, x), x if adds else np.zeros((2, 1, 1, width)))


def test_squeeze_excite_by_hand():
    """Means 2 and 4; reduced to 2 + 4 - 5 = 1, swish 1 / (1 + e^-1); gates sigmoid of 0 and of minus that."""
    x = jnp.array([[1.0, 3.0], [3.0, 5.0]]).reshape(1, 1, 2, 2)
    params = {
        "conv_reduce": {"kernel": np.ones((2, 1), np.float32), "bias": np.float32([-5])},
        "conv_expand": {"kernel": np.float32([[0, -1]]), "bias": np.zeros(2, np.float32)},
    }
    swish = 1 / (1 + np.exp(-1))
    expected = x * np.float32([0.5, 1 / (1 + np.exp(swish))])
    np.testing.assert_allclose(SqueezeExcite(1, jnp.float32).apply({"params": params}, x), expected, rtol=1e-6)


def test_squeezed_widths_are_a_quarter_of_a_blocks_input():
    network = EfficientNet(8, ((2, 3, 1, 1, 16), (2, 3, 2, 6, 24)))
    params = jax.eval_shape(network.init, jax.random.key(0), images(1, 16, 16))["params"]
    kernels = {name: block["se"]["conv_reduce"]["kernel"].shape for name, block in params.items() if "blocks" in name}
    assert kernels == {"blocks_0_0": (8, 2), "blocks_0_1": (16, 4), "blocks_1_0": (96, 4), "blocks_1_1": (144, 6)}
    assert set(params["blocks_0_0"]) == {"conv_dw", "bn1", "se", "conv_pw", "bn2"}
    assert set(params["blocks_1_0"]) == {"conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3"}


@pytest.mark.parametrize(("size", "half", "quarter"), [((16, 12), (8, 6), (4, 3)), ((15, 9), (8, 5), (4, 3))])
def test_sides_are_rounded_up(size, half, quarter):
    network = EfficientNet(**TINY)
    (head, out), _ = jax.eval_shape(network.init_with_output, jax.random.key(0), images(2, *size))
    assert head.shape == (2, *quarter, 10)
    assert {name: tap.shape[1:] for name, tap in out.items()} == {
        "blocks0": (*half, 6), "blocks1": (*quarter, 8), "conv_head": (*quarter, 10)
    }  # fmt: skip


def test_an_image_does_not_depend_on_its_batch(tiny):
    _, apply, variables = tiny
    x = images(2, 12, 16)
    both = apply(variables, x)[1]
    for name, tap in apply(variables, x.at[0].set(0.5))[1].items():
        np.testing.assert_allclose(tap[1], both[name][1], rtol=1e-5, atol=1e-5, err_msg=name)
        assert not np.allclose(tap[0], both[name][0])


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables(tiny):
    _, apply, variables = tiny
    half = EfficientNet(**TINY, dtype=jnp.bfloat16)
    x = images(2, 12, 16)
    (_, out), own = jax.eval_shape(half.init_with_output, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert {tap.dtype for tap in out.values()} == {jnp.dtype("bfloat16")}
    full = apply(variables, x)[0]
    assert np.linalg.norm(jax.jit(half.apply)(variables, x)[0] - full) < 0.05 * np.linalg.norm(full)
