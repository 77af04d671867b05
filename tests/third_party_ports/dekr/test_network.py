"""Tests of DEKR: the adaptive block against a slow one in NumPy, the mirrored canvas, names, batches, precision."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.slow_hrnet import filled, images, slow_conv, slow_norm
from third_party_ports import imagenet
from third_party_ports.checkpoints import weights
from third_party_ports.dekr.network import DEKR, KEYS, TAPS, AdaptiveBlock, mirrored, sample
from third_party_ports.parity import dekr as parity
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Fixture

TINY = {"width": 4, "keypoints": 12, "modules": (2,), "blocks": 1, "stem": 2, "offset_width": 3}


@pytest.fixture(scope="module")
def tiny():
    network = DEKR(**TINY)
    return network, jax.jit(network.apply), filled(network, images(1))


def slow_block(x: np.ndarray, variables: dict) -> tuple[np.ndarray, np.ndarray]:
    """Returns the block's output and its taps' displacements, neighbour by neighbour."""
    params = variables["params"]
    matrix, translation = (
        slow_conv(x, params[name]["kernel"], 1) + params[name]["bias"]
        for name in ("transform_matrix_conv", "translation_conv")
    )
    kernel = params["adapt_conv"]["kernel"].reshape(9, x.shape[-1], -1)
    n, h, w, _ = x.shape
    y, moved = np.zeros(x.shape), np.zeros((n, h, w, 9, 2))
    for i, row, column in np.ndindex(n, h, w):
        for q in range(9):
            tap = np.array([q // 3 - 1, q % 3 - 1])
            dy, dx = matrix[i, row, column].reshape(2, 2) @ tap + translation[i, row, column]
            moved[i, row, column, q] = (dy, dx) - tap
            for v, u in np.ndindex(h, w):  # outside the map there is nothing to add
                share = max(0, 1 - abs(row + dy - v)) * max(0, 1 - abs(column + dx - u))
                y[i, row, column] += share * (x[i, v, u] @ kernel[q])
    return np.maximum(slow_norm(y, variables, "bn") + x, 0), moved


def test_adaptive_block_against_a_slow_one():
    x = np.random.default_rng(3).normal(size=(2, 5, 7, 3)).astype(np.float32)
    block = AdaptiveBlock(jnp.float32)
    variables = filled(block, None, x)
    _, (y, moved) = jax.jit(block.apply)(variables, None, x)
    expected, expected_moved = slow_block(x, variables)
    np.testing.assert_allclose(moved, expected_moved, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(moved).max() > 7  # some taps lie far outside


def test_identity_and_no_translation_is_an_ordinary_convolution():
    x = np.random.default_rng(4).normal(size=(1, 6, 5, 3)).astype(np.float32)
    block = AdaptiveBlock(jnp.float32)
    variables = filled(block, None, x)
    params = variables["params"]
    for name, bias in (("transform_matrix_conv", [1, 0, 0, 1]), ("translation_conv", [0, 0])):
        params[name] = {"kernel": np.zeros_like(params[name]["kernel"]), "bias": np.float32(bias)}
    _, (y, moved) = jax.jit(block.apply)(variables, None, x)
    ordinary = slow_norm(slow_conv(x, params["adapt_conv"]["kernel"], 1), variables, "bn")
    np.testing.assert_allclose(y, np.maximum(ordinary + x, 0), rtol=1e-4, atol=1e-4)
    assert not moved.any()


def test_samples_fade_out_at_the_border():
    """By hand on a map of 2 x 3: [[10, 20, 30], [40, 50, 60]]."""
    x = (10 + 10 * np.arange(6, dtype=np.float32)).reshape(1, 2, 3, 1)
    cases = {
        (0, 1): 20,
        (0.5, 1): 35,
        (0.25, 1.5): 25 + 0.25 * 30,
        (-0.25, 0): 7.5,
        (1.75, 2): 15,
        (-0.5, -0.5): 2.5,
        (1, 2.9): 6,
        (-1, 1): 0,
        (2, 1): 0,
        (-1.5, 1): 0,
        (1, -40): 0,
        (1e9, 1): 0,
        (-1e30, 1e30): 0,
    }
    rows, columns = np.float32(list(cases)).T.reshape(2, 1, 1, -1)
    np.testing.assert_allclose(sample(x, rows, columns)[0, 0, :, 0], list(cases.values()), atol=1e-5)


def test_a_position_that_is_nan_gives_nan():
    """It must not read outside the memory, and must not look like a result."""
    positions = np.full((1, 1, 1), np.nan, np.float32)
    assert np.isnan(sample(np.ones((1, 2, 3, 4), np.float32), positions, positions)).all()


def test_an_image_does_not_depend_on_its_batch(tiny):
    _, apply, variables = tiny
    heat, offset, out = apply(variables, images(2))
    assert heat.shape == (2, 8, 12, 13)
    assert offset.shape == (2, 8, 12, 24)
    assert out["adapt0_offsets"].shape == (2, 8, 12, 18)
    assert out["adapt0_out"].shape == (2, 8, 12, 3)
    exchanged = images(2)[::-1] * np.float32([1, 2]).reshape(2, 1, 1, 1)  # the second one first, beside another
    other = apply(variables, exchanged)[2]
    for name in out:
        assert not np.allclose(out[name][0], out[name][1], rtol=1e-3, atol=1e-3), name
        np.testing.assert_allclose(other[name][0], out[name][1], rtol=1e-4, atol=1e-4, err_msg=name)


def test_each_keypoint_has_its_own_channels(tiny):
    """Two offset channels, x and y, of keypoint 0, then of keypoint 1, and so on, each from its own channels."""
    _, apply, variables = tiny
    offset = apply(variables, images(2))[1]
    changed = jax.tree.map(np.array, variables)
    changed["params"]["offset_feature_layers_1"]["adapt_conv"]["kernel"][5] += 1
    differs = np.abs(apply(changed, images(2))[1] - offset).max((0, 1, 2)) > 0
    assert np.flatnonzero(differs).tolist() == [10, 11]
    changed["params"]["offset_final_layer"]["kernel"][:] = 0
    np.testing.assert_array_equal(
        apply(changed, images(2))[1][0, 0, 0], variables["params"]["offset_final_layer"]["bias"].ravel()
    )


def official(variables: dict) -> dict[str, np.ndarray]:
    """Returns the tensors of the official file for `variables`."""
    tensors = {}

    def put(path, leaf):
        _, *owner, last = (part.key for part in path)
        name = {"scale": "weight", "kernel": "weight", "mean": "running_mean", "var": "running_var"}.get(last, last)
        head, *rest = (_dotted(part) for part in owner)
        parallel = head.startswith(("stage", "offset_f"))
        for number in range(len(leaf)) if parallel else (None,):
            part = leaf[number] if parallel else leaf
            if last == "kernel":
                part = part.transpose(3, 2, 0, 1) if part.ndim == 4 else part.T[:, :, None, None]
            numbered = head
            if parallel:
                layer, *block = head.split(".")
                numbered = ".".join([layer, str(number), *block])
            tensors[".".join([numbered, *rest, name])] = part

    jax.tree_util.tree_map_with_path(put, variables)
    for j in range(variables["params"]["offset_final_layer"]["bias"].shape[0]):
        for block in (0, 1):
            tensors[f"offset_feature_layers.{j}.{block}.regular_matrix"] = TAPS.T.astype(np.float32)
            tensors[f"offset_feature_layers.{j}.{block}.bn.num_batches_tracked"] = np.int64(0)
    return tensors


def _dotted(name: str) -> str:
    """fuse_layers_1_0_0 -> fuse_layers.1.0.0."""
    words = name.split("_")
    numbers = [word for word in words if word.isdigit()]
    return ".".join(["_".join(word for word in words if not word.isdigit()), *numbers])


def test_official_names(tiny):
    """With twelve keypoints, 10 comes after 2, whatever the file's order. Training files begin names with `module.`."""
    network, _, variables = tiny
    tensors = official(variables)
    assert {
        "stage2.1.fuse_layers.1.0.0.0.weight",
        "transition1.1.0.0.weight",
        "head_heatmap.0.0.conv2.weight",
        "offset_feature_layers.11.1.adapt_conv.weight",
        "offset_final_layer.10.bias",
    } <= set(tensors)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images(1))
    for given in (tensors, {f"module.{name}": tensors[name] for name in sorted(tensors)}):
        loaded = weights.from_state_dict(KEYS, given, shapes)
        jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    assert KEYS.wrappers == ("best_state_dict", "state_dict")


def test_parity_for_other_sizes_seeds_and_batches(tiny, tmp_path):
    """A batch of two images, with the network's own answers. One wrong value is seen."""
    network, apply, variables = tiny
    tensors = official(variables)
    computed = [name for name in tensors if name.endswith("regular_matrix")]
    listed = [[name, part.shape, str(part.dtype)] for name, part in tensors.items() if name not in computed]
    given = ["other", [2, 3, 32, 48], 5]
    manifest = {"model": "dekr_w32", "seed": 3, "gain": 0.7, "tensors": listed, "computed": computed, "input": given}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    fixture = Fixture(tmp_path)
    assert parity.network_of(fixture.state_dict()) == network

    canvases = imagenet.normalise(recipe.image(*given).transpose(0, 2, 3, 1))
    out = apply(fixture.variables(KEYS, variables), canvases)[2]
    answers = {}
    for name, stored in {"offset": "offset", "adapt0_out": "tap_adapt0_out"}.items():
        maps = np.asarray(out[name]).transpose(0, 3, 1, 2)
        index = np.arange(0, maps.size, 7)
        answers |= {stored: maps.ravel()[index], f"{stored}_index": index, f"{stored}_shape": maps.shape}
    offset = np.asarray(out["offset"])
    answers["offset_stats"] = np.array([offset.mean(), offset.std(), offset.min(), offset.max()])
    answers["tap_adapt0_out"][3] += 1
    np.savez(tmp_path / "io.npz", **answers)
    rows = {row.array: row.passed for row in parity.compare(fixture)}
    assert rows == {"offset": True, "offset, largest": True, "offset_stats": True, "adapt0_out": False}


def test_another_number_of_keypoints_is_refused(tiny):
    """CrowdPose's files have one."""
    _, _, variables = tiny
    other = DEKR(**(TINY | {"keypoints": 11}))
    shapes = jax.eval_shape(other.init, jax.random.key(0), images(1))
    with pytest.raises(weights.WeightsError, match=r"misshapen: .*head_heatmap\.1\.weight"):
        weights.from_state_dict(KEYS, official(variables), shapes)


def test_sides_that_are_not_multiples():
    with pytest.raises(ValueError, match=r"64 x 40 px.* multiples of 32 px"):
        jax.eval_shape(DEKR().init, jax.random.key(0), images(1, 64, 40))


def test_mirrored_by_hand():
    row = np.arange(8.0).reshape(1, 1, 8, 1)
    assert mirrored(row).ravel().tolist() == [4, 3, 2, 1, 0, 2, 1, 0]


def test_the_mirrored_canvas_lies_on_the_same_pixels():
    """A network of stride 4 with symmetric kernels gives the mirrored result, except near the borders."""
    network = DEKR(**(TINY | {"modules": (), "keypoints": 1}))
    x = images(1, 16, 128)
    variables = filled(network, x)
    symmetric = jax.tree.map(lambda leaf: leaf + leaf[:, ::-1] if leaf.ndim == 4 else leaf, variables)
    heat = jax.jit(lambda v, x: network.apply(v, x)[0])
    there, back = heat(symmetric, x), heat(symmetric, mirrored(x))[:, :, ::-1]
    np.testing.assert_allclose(there[:, :, 8:-8], back[:, :, 8:-8], rtol=1e-4, atol=1e-4)
    unmoved = heat(symmetric, x[:, :, ::-1])[:, :, ::-1]
    assert np.abs(there - unmoved)[:, :, 8:-8].max() > 0.1


def test_bfloat16_runs_and_positions_stay_float32(tiny):
    _, apply, variables = tiny
    half = DEKR(**TINY, dtype=jnp.bfloat16)
    own = jax.eval_shape(half.init, jax.random.key(0), images(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    heat, offset, out = jax.jit(half.apply)(variables, images(2))
    assert heat.dtype == offset.dtype == out["adapt0_offsets"].dtype == jnp.float32
    assert out["adapt0_out"].dtype == jnp.bfloat16
    full = apply(variables, images(2))[0]
    assert np.linalg.norm(heat - full) < 0.05 * np.linalg.norm(full)
    assert np.isfinite(offset).all()
