"""Tests of Swin: batches, windows, stochastic depth, precision (parity: test_verify.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.checkpoints import weights
from third_party_ports.swin import Swin, branch_scales, relative_position_index, shift_mask

TINY = {"patch": 4, "width": 8, "depths": (2, 1), "heads": (1, 2), "window": 3, "drop_path": 0.5}


def images(count: int, side: int = 24) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (count, side, side, 3))


def filled(swin: Swin, x: jax.Array) -> dict:
    """Variables of random numbers, also for biases. (Compiling init would take seconds.)"""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(swin.init, jax.random.key(0), x)
    return jax.tree.map(lambda leaf: rng.normal(0.3, 0.3, leaf.shape).astype(leaf.dtype), shapes)


@pytest.fixture(scope="module")
def tiny():
    swin = Swin(**TINY)
    return swin, jax.jit(swin.apply), filled(swin, images(1))


def test_an_image_does_not_depend_on_its_batch(tiny):
    _, apply, variables = tiny
    both = apply(variables, images(2))[1]
    assert {"patch_embed", "stage0_block0", "stage0_block1", "stage0", "stage1_block0", "stage1"} < set(both)
    for n in range(2):
        alone = apply(variables, images(2)[n : n + 1])[1]
        for name in both:
            np.testing.assert_allclose(both[name][n : n + 1], alone[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_window_12_at_384_px():
    """Stage 3 has a grid of 12 x 12, one window, so its odd block must not shift (the mask would not fit)."""
    swin = Swin(4, 4, (1, 1, 2, 2), (1, 1, 1, 1), 12, 0.0)
    x = images(1, 384)
    variables = filled(swin, x)
    assert variables["params"]["layers_3"]["blocks_1"]["attn"][weights.TABLE].shape == (23**2, 1)
    tokens, out = jax.jit(swin.apply)(variables, x)
    assert tokens.shape == (1, 144, 32)
    assert np.isfinite(tokens).all()
    assert out["stage2"].shape == (1, 144, 32)


def test_a_window_larger_than_the_grid_is_the_grid():
    """A larger window changes nothing: the table has the same size, and no block shifts."""
    swin = Swin(4, 8, (2,), (2,), 12, 0.0)
    x = images(1)  # a grid of 6 x 6
    variables = filled(swin, x)
    same = Swin(4, 8, (2,), (2,), 6, 0.0)
    assert str(jax.make_jaxpr(swin.apply)(variables, x)) == str(jax.make_jaxpr(same.apply)(variables, x))


@pytest.mark.parametrize(
    ("fields", "side", "message"),
    [
        ({}, 26, "26 px"),
        ({}, 28, "stage 0 has a grid of 7 x 7, .*multiple of the window 3.* multiples of 24 px"),
        ({"depths": (1, 1, 1), "heads": (1, 1, 1)}, 24, "stage 1 has a grid of 3 x 3, which 2 x 2 merging"),
        ({"heads": (3, 2)}, 24, "stage 0 has width 8, which 3 heads"),
        ({"heads": (1, 2, 4)}, 24, "differ in length"),
    ],
)
def test_sizes_that_do_not_fit(fields, side, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(Swin(**(TINY | fields)).init, jax.random.key(0), images(1, side))


def test_relative_position_rows():
    """Some values of the original's index table."""
    index = relative_position_index(7)
    places = {(0, 0): 84, (0, 1): 83, (0, 7): 71, (48, 0): 168, (0, 48): 0}
    assert {place: index[place] for place in places} == places


def test_mask_counts():
    """14 x 14 cells, window 7, shift 3: the number of masked pairs in each of the four windows."""
    assert (shift_mask(14, 7, 3) == -100).sum((1, 2)).tolist() == [0, 1176, 1176, 1776]


def test_mask_hides_what_only_the_roll_made_neighbours():
    """Cell by cell on the unrolled map: cells of a shifted window that are a window or more apart crossed the edge."""
    side, window, shift = 6, 3, 1
    mask = shift_mask(side, window, shift)
    cells = [divmod(c, side) for c in range(side * side)]
    for y, x in cells:
        ry, rx = (y - shift) % side, (x - shift) % side  # where the roll puts the cell
        group = (ry // window) * 2 + rx // window
        i = (ry % window) * window + rx % window
        for v, u in cells:
            sy, sx = (v - shift) % side, (u - shift) % side
            if (sy // window) * 2 + sx // window != group:
                continue
            j = (sy % window) * window + sx % window
            near = abs(y - v) < window and abs(x - u) < window
            assert (mask[group, i, j] == 0) == near


def test_stochastic_depth_follows_the_image_key(tiny):
    """The same keys in another order and another batch give the same tokens: no draw depends on the layout."""
    _, apply, variables = tiny
    keys = jax.random.split(jax.random.key(3), 4)
    tokens, _ = apply(variables, images(4), keys)
    order = jnp.array([2, 0, 3, 1])
    np.testing.assert_allclose(apply(variables, images(4)[order], keys[order])[0], tokens[order], rtol=1e-4, atol=1e-4)
    pair = apply(variables, images(4)[1:3], keys[1:3])[0]
    np.testing.assert_allclose(pair, tokens[1:3], rtol=1e-4, atol=1e-4)
    other = apply(variables, images(4), jax.random.split(jax.random.key(4), 4))[0]
    assert not np.allclose(other, tokens)
    assert not np.allclose(apply(variables, images(2))[0], tokens[:2])


def test_stochastic_depth_scales():
    """Rates per block, separate draws of the two branches, kept branches divided by their keep probability."""
    keys = jax.random.split(jax.random.key(0), 4000)
    scales = np.asarray(branch_scales(keys, np.array([0.0, 0.25, 0.5])))
    assert scales.shape == (4000, 3, 2)
    assert (scales[:, 0] == 1).all()
    np.testing.assert_allclose(np.unique(scales[:, 1]), [0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose(scales.mean(0), 1, atol=0.06)
    assert abs(np.corrcoef(scales[:, 2].T)[0, 1]) < 0.06
    draw = jax.random.bernoulli(jax.random.fold_in(keys[5], 2 * 2 + 1), 0.5)  # block 2, branch 1
    assert scales[5, 2, 1] == 2 * draw


def test_without_drop_path_nothing_is_drawn(tiny):
    _, _, variables = tiny
    keys = jax.random.split(jax.random.key(3), 2)
    for rate, drawn in ((0.0, False), (0.5, True)):
        program = jax.make_jaxpr(Swin(**(TINY | {"drop_path": rate})).apply)(variables, images(2), keys)
        assert ("random_bits" in str(program)) == drawn


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters(tiny):
    _, apply, variables = tiny
    half = Swin(**TINY, dtype=jnp.bfloat16)
    own = jax.eval_shape(half.init, jax.random.key(0), images(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    _, out = jax.eval_shape(half.apply, variables, images(2), jax.random.split(jax.random.key(0), 2))
    assert out.pop("pooled").dtype == jnp.float32
    assert {tap.dtype for tap in out.values()} == {jnp.dtype("bfloat16")}
    pooled = jax.jit(half.apply)(variables, images(2))[1]["pooled"]
    full = apply(variables, images(2))[1]["pooled"]
    assert np.linalg.norm(pooled - full) < 0.05 * np.linalg.norm(full)
