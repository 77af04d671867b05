"""Tests of ResNet: sizes, masks, padded images, dilation, precision (parity: test_verify.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.resnet import Bottleneck, ResNet


def images(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (*shape, 3))


def filled(resnet: ResNet) -> dict:
    """Variables of random numbers, with positive variances. (Compiling init would take seconds.)"""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: resnet.init(key, images(1, 16, 16), train=False), jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)


@pytest.fixture(scope="module")
def small():
    resnet = ResNet((1, 2), 4, "small")
    return resnet, filled(resnet)


def test_an_image_does_not_depend_on_its_batch(small):
    resnet, variables = small
    apply = jax.jit(lambda v, x: resnet.apply(v, x, train=False))
    x = images(2, 12, 12)
    both = apply(variables, x)[1]
    for n in range(2):
        alone = apply(variables, x[n : n + 1])[1]
        for name in both:
            np.testing.assert_allclose(both[name][n : n + 1], alone[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("stem", "size", "expected"),
    [
        ("imagenet", (224, 224), {"stem": (56, 56), "layer1": (56, 56), "layer2": (28, 28)}),
        ("imagenet", (75, 49), {"stem": (19, 13), "layer1": (19, 13), "layer2": (10, 7)}),
        ("small", (24, 24), {"stem": (12, 12), "layer1": (12, 12), "layer2": (6, 6)}),
        ("small", (11, 7), {"stem": (6, 4), "layer1": (6, 4), "layer2": (3, 2)}),
    ],
)
def test_sides(stem, size, expected):
    """Symmetric padding gives ceil(n / stride) on even and odd sides."""
    resnet = ResNet((1, 1), 4, stem)
    (pooled, out), _ = jax.eval_shape(
        lambda key: resnet.init_with_output(key, images(2, *size), train=False), jax.random.key(0)
    )
    assert {name: out[name].shape[1:3] for name in expected} == expected
    assert pooled.shape == (2, 4 * 4 * 2)
    assert set(out) == {"stem", "layer1_0", "layer1", "layer2_0", "layer2", "pooled"}


def test_training_ignores_masked_images_and_moves_statistics(small):
    resnet, variables = small
    mask = np.array([True, False, True])

    @jax.jit
    def train(x):
        return resnet.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])

    x = images(3, 12, 12)
    (pooled, _), moved = train(x)
    (again, _), moved_again = train(x.at[1].set(5.0))
    np.testing.assert_allclose(pooled[mask], again[mask], rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moved, moved_again)
    differs = jax.tree.map(lambda a, b: not np.allclose(a, b), moved["batch_stats"], variables["batch_stats"])
    assert all(jax.tree.leaves(differs))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables(small):
    resnet, variables = small
    half = ResNet((1, 2), 4, "small", jnp.bfloat16)
    x = images(2, 12, 12)
    (pooled, out), own = jax.eval_shape(lambda key: half.init_with_output(key, x, train=False), jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert out["layer2"].dtype == jnp.bfloat16
    assert pooled.dtype == jnp.float32
    pooled = jax.jit(lambda x: half.apply(variables, x, train=False)[0])(x)
    full = jax.jit(lambda x: resnet.apply(variables, x, train=False)[0])(x)
    assert np.linalg.norm(pooled - full) < 0.05 * np.linalg.norm(full)


@pytest.mark.parametrize("size", [(13, 8), (9, 15), (4, 3)])
def test_the_caffe_pool_cuts_its_windows_at_the_end(size):
    """The stem here only takes every second pixel, so n rows give n // 2 windows of up to three."""
    resnet = ResNet((), 3, "caffe")
    variables = jax.tree.map(np.zeros_like, filled(resnet))
    variables["params"]["conv1"]["kernel"][3, 3] = np.eye(3)
    variables["params"]["bn1"]["scale"][:] = 1
    variables["batch_stats"]["bn1"]["var"][:] = 1 - 1e-5
    x = np.random.default_rng(1).normal(size=(2, *size, 3)).astype(np.float32)
    _, out = resnet.apply(variables, x, train=False)
    half = np.maximum(x[:, ::2, ::2], 0)
    rows, columns = half.shape[1] // 2, half.shape[2] // 2
    assert out["stem"].shape == (2, rows, columns, 3)
    for i in range(rows):
        for j in range(columns):
            window = half[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_allclose(out["stem"][:, i, j], window.max((1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    "resnet",
    [
        ResNet((2, 2, 1), 2, "caffe", stride_in="1x1"),
        ResNet((1, 2, 1), 2, stage_strides=(1, 2, 1), dilations=((1, 1), (1, 1), (1, 2))),
        ResNet((1, 1), 2, "small"),
    ],
    ids=["caffe", "imagenet", "small"],
)
def test_a_padded_image_gives_what_it_gives_alone(resnet):
    sizes = np.array([[48, 40], [37, 29], [22, 39]])
    rng = np.random.default_rng(2)
    alone = [rng.normal(size=(1, *size, 3)).astype(np.float32) for size in sizes]
    padded = np.zeros((3, 48, 40, 3), np.float32)
    for canvas, image, (height, width) in zip(padded, alone, sizes, strict=True):
        canvas[:height, :width] = image[0]
    variables = filled(resnet)
    apply = jax.jit(lambda x, sizes=None: resnet.apply(variables, x, train=False, sizes=sizes))
    pooled, out = apply(padded, sizes)
    blind = apply(padded)[0]
    for n, image in enumerate(alone):
        expected, taps = apply(image)
        np.testing.assert_allclose(pooled[n], expected[0], rtol=1e-5)
        for name in set(taps) - {"pooled"}:
            height, width = taps[name].shape[1:3]
            np.testing.assert_allclose(out[name][n, :height, :width], taps[name][0], rtol=1e-5, err_msg=name)
        last = taps[f"layer{len(resnet.stage_sizes)}"]
        assert tuple(out["sizes"][n]) == last.shape[1:3]
        assert np.allclose(blind[n], expected[0], rtol=1e-5) == (n == 0)  # this one fills its canvas


def seen(module, rows: int, output) -> np.ndarray:
    """Returns the input rows that row `output` of the result depends on, for images of `rows` rows and one column."""
    x = np.random.default_rng(3).uniform(0.5, 1, (1, rows, 1, 3)).astype(np.float32)
    shapes = jax.eval_shape(lambda key: module.init(key, x, train=False), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, leaf.dtype), shapes)
    gradient = jax.jit(jax.grad(lambda x: output(module.apply(variables, x, train=False)).sum()))(x)
    return np.flatnonzero(np.abs(gradient).sum((0, 2, 3)))


@pytest.mark.parametrize(
    ("stride_in", "stride", "dilation", "expected"),
    [
        ("3x3", 1, 1, {3, 4, 5}),
        ("3x3", 2, 1, {7, 8, 9}),
        ("1x1", 2, 1, {6, 8, 10}),  # it drops every second row first
        ("3x3", 1, 2, {2, 4, 6}),
        ("3x3", 1, 4, {0, 4, 8}),
        ("1x1", 2, 2, {4, 8, 12}),
    ],
)
def test_rows_that_a_block_sees(stride_in, stride, dilation, expected):
    block = Bottleneck(3, stride, dilation, True, stride_in, jnp.float32)
    assert set(seen(block, 16, lambda x: x[0, 4])) == expected


@pytest.mark.parametrize(("dilations", "reach"), [((2, 4), 6), ((4, 4), 8), ((1, 2), 3)])
def test_the_first_block_has_its_own_dilation(dilations, reach):
    """Two blocks see as far as the sum of their dilations; the stem, of stride 2, adds one row."""
    resnet = ResNet((2,), 3, "small", stage_strides=(1,), dilations=(dilations,))
    rows = seen(resnet, 48, lambda result: result[1]["layer1"][0, 12])
    assert (rows.min(), rows.max()) == (24 - 2 * reach - 1, 24 + 2 * reach + 1)


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"stem": "tiny"}, {}, "stem 'tiny' is neither"),
        ({"stage_strides": (1, 2)}, {}, "stage_strides and dilations need one entry"),
        ({}, {"train": True, "sizes": np.array([[16, 16]])}, "would include the padding"),
    ],
)
def test_fields_that_do_not_fit(fields, options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            lambda key: ResNet(**fields).init(key, images(1, 16, 16), **({"train": False} | options)),
            jax.random.key(0),
        )
