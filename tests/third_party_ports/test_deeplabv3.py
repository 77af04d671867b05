"""Tests of DeepLabV3 and its background vectors: batches, dilations, precision (parity: test_verify.py)."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from third_party_ports.checkpoints import weights
from third_party_ports.deeplabv3 import KEYS, DeepLabV3, WideConv, background_vector
from third_party_ports.parity import deeplabv3 as parity
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Fixture

TINY = {"stage_sizes": (1, 1, 1, 1), "width": 4, "head": 3, "classes": 4}
SIZE = (24, 40)


def images(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (*shape, 3))


def shapes_of(network: DeepLabV3):
    return jax.eval_shape(network.init, jax.random.key(0), images(1, 32, 32))


def official(path: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Returns the checkpoint's name and shape for one of our leaves."""
    leaf = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}.get(path[-1], path[-1])
    name = ".".join([*(re.sub(r"_(?=\d)", ".", part) for part in path[1:-1]), leaf])
    if path[-1] == "kernel":
        shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else (shape[1], shape[0], 1, 1)
    return name, shape


def manifest() -> dict:
    """The fixture of a tiny network, like tests/golden/deeplabv3: two images of one size, one of another."""
    leaves = flatten_dict(shapes_of(DeepLabV3(**TINY)))
    return {
        "model": "deeplabv3_resnet101",
        "seed": 7,  # one of those that give each image some background
        "gain": 1.0,
        "mean": [0.4, 0.5, 0.6],
        "std": [0.3, 0.2, 0.1],
        "input": {"name": "two", "shape": [2, 3, *SIZE], "seed": 5},
        "extra": [{"io": "odd.npz", "input": {"name": "odd", "shape": [1, 3, 33, 17], "seed": 6}}],
        "tensors": [[*official(path, leaf.shape), "float32"] for path, leaf in leaves.items()],
    }


@pytest.fixture(scope="module")
def tiny():
    """Images -> all outputs of a tiny network by name. Its file has no auxiliary head and no counters."""
    network = DeepLabV3(**TINY)
    variables = weights.from_state_dict(KEYS, recipe.state_dict(manifest()), shapes_of(network))

    @jax.jit
    def answers(x):
        logits, layer4, out = network.apply(variables, x, upsample=True)
        vector, count, classes = background_vector(logits, layer4)
        return {**out, "background": vector, "background_count": count, "classes": classes}

    return variables, answers


def test_official_size():
    """58,630,997 parameters without the auxiliary head; all sides are rounded up to an eighth."""
    network = DeepLabV3()
    (logits, layer4, out), variables = jax.eval_shape(
        lambda key: network.init_with_output(key, images(2, 321, 353), upsample=True), jax.random.key(0)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 58_630_997
    assert logits.shape == (2, 41, 45, 21)
    assert layer4.shape == (2, 41, 45, 2048)
    assert out["layer1"].shape == (2, 81, 89, 256)
    assert out["layer2"].shape == (2, 41, 45, 512)
    assert out["layer3"].shape == (2, 41, 45, 1024)
    assert out["aspp_pool"].shape == out["aspp"].shape == (2, 41, 45, 256)
    assert out["upsampled"].shape == (2, 321, 353, 21)


def test_dilations():
    """The first block of a dilated stage keeps the dilation of the stage before."""
    network = DeepLabV3(**(TINY | {"stage_sizes": (1, 2, 3, 3)}))
    program = jax.make_jaxpr(lambda v, x: network.apply(v, x))(shapes_of(network), images(1, 32, 32))
    rates = []
    for equation in program.eqns:
        if equation.primitive.name == "conv_general_dilated" and equation.invars[1].aval.shape[:2] == (3, 3):
            (rate, same), padding = equation.params["rhs_dilation"], equation.params["padding"]
            assert same == rate
            assert padding == ((rate, rate), (rate, rate))
            rates.append(rate)
    assert rates == [1, 1, 1, 1, 2, 2, 2, 4, 4, 1]  # the last one is the head's


def test_an_image_does_not_depend_on_its_batch(tiny):
    _, answers = tiny
    x = images(2, *SIZE)
    both = answers(x)
    assert len(set(both["background_count"].tolist()) - {0, 15}) == 2
    for n in range(2):
        alone = answers(x[n : n + 1])
        for name in both:
            np.testing.assert_allclose(both[name][n], alone[name][0], rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(both["aspp_pool"], np.broadcast_to(both["aspp_pool"][:, :1, :1], (2, 3, 5, 3)))


def test_upsampling_is_bilinear_between_half_pixel_centres(tiny):
    """It samples at (i + 0.5) / 8 - 0.5, clamped to the map, and only if asked to."""
    variables, answers = tiny
    out = answers(images(1, *SIZE))
    rows, columns = (np.clip((np.arange(8 * n) + 0.5) / 8 - 0.5, 0, n - 1) for n in (3, 5))
    along = np.stack([np.interp(columns, range(5), row) for row in np.asarray(out["logits"])[0, :, :, 1]])
    expected = np.stack([np.interp(rows, range(3), column) for column in along.T], 1)
    np.testing.assert_allclose(out["upsampled"][0, :, :, 1], expected, rtol=1e-4, atol=1e-5)
    assert "upsampled" not in jax.eval_shape(DeepLabV3(**TINY).apply, variables, images(1, *SIZE))[2]


def test_background_vector_by_hand():
    """Three images of 1 x 3 cells: two background cells, none, and ties, which go to the lower class."""
    logits = np.array(
        [
            [[[2, 1], [0, 5], [3, -1]]],
            [[[0, 1], [0, 1], [-2, -1]]],
            [[[1, 1], [0, 1], [-1, -2]]],
        ],
        np.float32,
    )
    layer4 = np.array([[[[1, 10], [2, 20], [4, 40]]]] * 3, np.float32)
    vector, count, classes = jax.jit(background_vector)(logits, layer4)
    np.testing.assert_array_equal(vector, [[2.5, 25], [0, 0], [2.5, 25]])
    assert count.tolist() == [2, 0, 2]
    assert classes.tolist() == [[[0, 1, 0]], [[1, 1, 1]], [[0, 1, 0]]]
    assert (vector.dtype, count.dtype, classes.dtype) == (jnp.float32, jnp.int32, jnp.int32)


def test_a_tie_between_objects_goes_to_the_lower_class():
    logits = np.zeros((1, 1, 2, 21), np.float32)
    logits[0, 0, 1, [7, 15]] = 3
    assert background_vector(logits, np.ones((1, 1, 2, 4), np.float32))[2].tolist() == [[[0, 7]]]


def test_the_mean_of_half_precision_features_is_float32():
    """In bfloat16 a sum of ones stops at 256."""
    vector, count, _ = background_vector(jnp.zeros((1, 30, 30, 3)), jnp.ones((1, 30, 30, 2), jnp.bfloat16))
    assert vector.dtype == jnp.float32
    assert count.tolist() == [900]
    np.testing.assert_array_equal(vector, [[1, 1]])


def test_bfloat16_computes_in_bfloat16_but_for_the_last_layer(tiny):
    variables, answers = tiny
    half = DeepLabV3(**TINY, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes_of(half))} == {jnp.dtype("float32")}
    x = images(2, *SIZE)
    logits, layer4, out = jax.jit(lambda x: half.apply(variables, x))(x)
    assert {name: tap.dtype for name, tap in out.items()} == {
        **dict.fromkeys(("layer1", "layer2", "layer3", "layer4", "aspp_pool", "aspp"), jnp.bfloat16),
        "logits": jnp.float32,
    }
    full = answers(x)
    for value, expected in ((logits, full["logits"]), (layer4.astype(jnp.float32), full["layer4"])):
        assert np.linalg.norm(value - expected) < 0.05 * np.linalg.norm(expected)
    assert not np.array_equal(logits, logits.astype(jnp.bfloat16))  # they have more digits than that


def test_parity_takes_all_sizes_from_the_fixture_and_sees_what_differs(tiny, tmp_path):
    """The fixture holds our own answers, except for one class and one vector of the second file."""
    given = manifest()
    for file, source in (("io.npz", given["input"]), ("odd.npz", given["extra"][0]["input"])):
        image = recipe.image(source["name"], tuple(source["shape"]), source["seed"])
        out = tiny[1]((image.transpose(0, 2, 3, 1) - np.float32(given["mean"])) / np.float32(given["std"]))
        stored = {name: np.array(out[name]) for name in ("classes", "background", "background_count")}
        for name in ("layer3", "logits", "upsampled"):
            whole, index = np.asarray(out[name]).transpose(0, 3, 1, 2), np.array([5, 0, 9])
            stored |= {f"tap_{name}": whole.ravel()[index], f"tap_{name}_index": index}
            stored[f"tap_{name}_shape"] = np.array(whole.shape)
        if file == "odd.npz":
            stored["classes"][0, 2, 1] += 1
            stored["background"] += 0.01
        np.savez(tmp_path / file, **stored)
    (tmp_path / "manifest.json").write_text(json.dumps(given))

    rows = list(parity.compare(Fixture(tmp_path)))
    names = ["classes", "background", "background_count", "layer3", "logits", "upsampled"]
    assert [row.array for row in rows] == names + [f"odd.npz: {name}" for name in names]
    assert {row.array: row.kind for row in rows if not row.passed} == {
        "odd.npz: classes": "exact",
        "odd.npz: background": "relative",
    }


@pytest.mark.parametrize("size", [(5, 7), (9, 4)])
@pytest.mark.parametrize("rate", [1, 3, 6, 12])
def test_a_wide_convolution_is_a_dilated_one(size, rate):
    """Also if whole rows or columns of taps lie outside the map."""
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    kernel = np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32)
    out = WideConv(4, rate, jnp.float32).apply({"params": {"kernel": kernel}}, x)
    dilated = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), [(rate, rate)] * 2, rhs_dilation=(rate, rate), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(out, dilated, rtol=1e-4, atol=1e-5)
