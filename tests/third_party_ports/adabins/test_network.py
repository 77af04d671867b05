"""Tests of AdaBins: sizes, transformer, bins, mirror average, resizing, masks, names (parity: test_verify.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.adabins.mini_vit import PatchTransformer, TransformerLayer
from third_party_ports.adabins.network import (
    KEYS,
    AdaBins,
    Decoder,
    bins_to_depth,
    depth_maps,
    full_resolution,
    masks,
    resize_align_corners,
    tokens,
)

TINY = {
    "stem": 4, "stages": ((1, 3, 1, 1, 4), (1, 3, 2, 2, 6), (1, 3, 2, 2, 8)), "features": 16,
    "width": 8, "heads": 2, "layers": 1, "hidden": 16, "patch": 4, "positions": 12, "queries": 6, "bins": 5,
    "min_depth": 0.5, "max_depth": 7.0,
}  # fmt: skip


def images(count: int, height: int = 24, width: int = 31) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (count, height, width, 3))


def filled(module, *inputs) -> dict:
    """Variables of random numbers, with positive variances. (Compiling init would take seconds.)"""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: rng.uniform(-0.1, 0.5, leaf.shape).astype(leaf.dtype) ** 2, shapes)


@pytest.fixture(scope="module")
def tiny():
    network = AdaBins(**TINY)
    return network, jax.jit(network.apply), filled(network, images(1))


def test_an_image_does_not_depend_on_its_batch(tiny):
    _, apply, variables = tiny
    both = apply(variables, images(2))
    edges, depth, out = both
    assert edges.shape == (2, 6)
    assert depth.shape == (2, 12, 16)
    assert out["tokens"].shape == (2, 12, 8)
    assert out["range_attention"].shape == (2, 12, 16, 6)
    assert out["conv2"].shape == (2, 5, 6, 16)  # two more than a fourth of the half, either way
    assert {"blocks0", "blocks1", "blocks2", "conv_head", "decoder"} < set(out)
    other = apply(variables, images(2).at[0].set(0.5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b[1], rtol=1e-4, atol=1e-5), other, both)
    assert not np.allclose(other[1][0], depth[0])


@pytest.mark.parametrize(
    ("size", "count"), [((320, 416), 130), ((352, 384), 132), ((480, 640), 300), ((600, 800), 450), ((352, 1216), 418)]
)
def test_tokens(size, count):
    assert tokens(size) == count
    assert tokens((size[0] - 1, size[1] - 1)) == count  # half of it is rounded up


@pytest.mark.parametrize(("size", "count"), [((256, 320), 80), ((256, 512), 128), ((736, 736), 529)])
def test_sizes_that_do_not_fit(size, count):
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} px .* give {count} patches .* 129 to 500 are needed"):
        tokens(size)
    with pytest.raises(ValueError, match="480 x 640"):
        jax.eval_shape(AdaBins().init, jax.random.key(0), images(1, *size))


def test_the_rim_of_the_decoders_first_map_is_the_bias():
    decoder = Decoder(8, jnp.float32)
    x = jnp.ones((1, 2, 3, 16))
    variables = filled(decoder, x, [])
    conv2 = decoder.apply(variables, x, [])[1]["conv2"]
    bias = variables["params"]["conv2"]["bias"]
    assert conv2.shape == (1, 4, 5, 16)
    rim = np.ones((4, 5), bool)
    rim[1:-1, 1:-1] = False
    np.testing.assert_array_equal(conv2[0][rim], np.broadcast_to(bias, (14, 16)))
    assert (conv2[0][~rim] > bias).all()


def test_transformer_layer_against_loops():
    """One kernel holds queries, keys and values in this order; heads are blocks of channels; norms follow the sums."""
    layer = TransformerLayer(2, 12, jnp.float32)
    t = np.asarray(images(1, 5, 6)[0, :, :, 0])  # five tokens of width six
    variables = filled(layer, t[None])
    p = jax.tree.map(np.asarray, variables["params"])

    def dense(name, x):
        return x @ p[name]["kernel"] + p[name]["bias"]

    def norm(name, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * p[name]["scale"] + p[name]["bias"]

    attention = p.pop("self_attn")
    q, k, v = np.split(t @ attention["in_proj"]["kernel"] + attention["in_proj"]["bias"], 3, -1)
    mixed = np.zeros_like(t)
    for head in (slice(0, 3), slice(3, 6)):
        for i in range(5):
            weights = np.exp([q[i, head] @ k[j, head] / np.sqrt(3) for j in range(5)])
            mixed[i, head] = weights / weights.sum() @ v[:, head]
    x = norm("norm1", t + mixed @ attention["out_proj"]["kernel"] + attention["out_proj"]["bias"])
    expected = norm("norm2", x + dense("linear2", np.maximum(dense("linear1", x), 0)))
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, t[None])[0], expected, rtol=1e-4, atol=1e-5)


def test_patches_are_in_raster_order_and_incomplete_ones_are_dropped():
    transformer = PatchTransformer(8, 2, 0, 16, 4, 12, jnp.float32)
    x = images(1, 11, 14)
    variables = filled(transformer, x)
    t = jax.jit(transformer.apply)(variables, x)
    params, x = variables["params"], np.asarray(x)
    assert t.shape == (1, 6, 8)
    for s, (top, left) in enumerate([(0, 0), (0, 4), (0, 8), (4, 0), (4, 4), (4, 8)]):
        patch = x[0, top : top + 4, left : left + 4]
        expected = np.einsum("ijc,ijcd->d", patch, params["embedding_convPxP"]["kernel"])
        expected += params["embedding_convPxP"]["bias"] + params["positional_encodings"][s]
        np.testing.assert_allclose(t[0, s], expected, rtol=1e-4, atol=1e-5)


def test_bins_to_depth_by_hand():
    """Widths 1/4, 3/4 of 1 to 9: edges 1, 3, 9 and centres 2, 6."""
    probabilities = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]).reshape(1, 1, 3, 2)
    edges, depth = bins_to_depth(probabilities, jnp.array([[0.25, 0.75]]), 1.0, 9.0)
    assert edges.tolist() == [[1, 3, 9]]
    assert depth.tolist() == [[[2, 4, 6]]]


def test_edges_begin_and_end_with_the_range(tiny):
    _, apply, variables = tiny
    edges, depth, _ = apply(variables, images(2))
    assert (edges[:, 0] == 0.5).all()
    np.testing.assert_allclose(edges[:, -1], 7, rtol=1e-6)
    assert (np.diff(edges) > 0).all()
    assert 0.5 < depth.min() < depth.max() < 7


def test_a_photo_and_its_mirror_image_get_mirrored_maps(tiny):
    _, apply, variables = tiny
    x = images(1)

    def plain(x):
        return apply(variables, jnp.concatenate([x, x]))[1][:1]

    def both(x):
        return None, jnp.concatenate([plain(x[:1]), plain(x[1:])])

    photo, mirrored = (depth_maps(both, one, 0.5, 7.0) for one in (x, x[:, :, ::-1]))
    assert photo.shape == (1, 24, 31)
    np.testing.assert_allclose(photo, mirrored[:, :, ::-1], rtol=1e-5)
    once = depth_maps(lambda x: (None, plain(x)), x, 0.5, 7.0, mirror=False)
    np.testing.assert_allclose(once, resize_align_corners(plain(x)[..., None], (24, 31))[..., 0], rtol=1e-6)
    assert not np.allclose(once, photo)


def test_mirror_average_by_hand():
    """The network always returns 1, 3, 5 from left to right. Two images make four passes."""
    seen = []

    def apply(x):
        seen.append(x)
        return None, jnp.broadcast_to(jnp.array([1.0, 3.0, 8.0]), (len(x), 1, 3))

    maps = depth_maps(apply, images(2, 2, 5), 1.0, 5.0)
    assert maps.tolist() == [[[3.0] * 5] * 2] * 2  # 8 was clipped to 5 before the average
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], jnp.concatenate([images(2, 2, 5), images(2, 2, 5)[:, :, ::-1]]))


def test_values_that_are_not_finite_stay_in_the_range():
    depth = jnp.array([[jnp.inf, -jnp.inf, jnp.nan, 2.0]])[None]
    assert full_resolution(depth, (1, 1, 4), 1.0, 9.0).tolist() == [[[9, 1, 1, 2]]]


def test_resize_by_hand():
    x = jnp.array([[0.0, 2.0, 8.0]]).reshape(1, 1, 3, 1)
    assert resize_align_corners(x, (1, 5)).ravel().tolist() == [0, 1, 2, 5, 8]
    assert resize_align_corners(x, (1, 2)).ravel().tolist() == [0, 8]
    assert resize_align_corners(x, (2, 1)).ravel().tolist() == [0, 0]  # one pixel is the first
    np.testing.assert_array_equal(resize_align_corners(images(2), (24, 31)), images(2))


@pytest.mark.parametrize(("size", "new"), [((4, 3), (7, 9)), ((6, 5), (2, 3)), ((1, 4), (3, 1)), ((3, 3), (8, 3))])
def test_resize_against_loops(size, new):
    (height, width), (new_height, new_width) = size, new
    x = np.asarray(images(1, height, width))
    expected = np.zeros((1, new_height, new_width, 3))
    for i in range(new_height):
        for j in range(new_width):
            y = i * (height - 1) / (new_height - 1) if new_height > 1 else 0
            u = j * (width - 1) / (new_width - 1) if new_width > 1 else 0
            for row in range(height):
                for column in range(width):
                    share = max(0, 1 - abs(y - row)) * max(0, 1 - abs(u - column))
                    expected[:, i, j] += share * x[:, row, column]
    np.testing.assert_allclose(jax.jit(resize_align_corners, static_argnums=1)(x, new), expected, rtol=1e-5, atol=1e-5)


def test_masks_include_their_lower_ends_and_the_last_its_upper_end():
    """n = 0, just below 1/3, 1/3, 1/2, 2/3, 1 (thirds as float32 numbers)."""
    third, two = np.float32(1 / 3), np.float32(2 / 3)
    depth = jnp.array([[0, np.nextafter(third, np.float32(0)), third, 0.5, two, 1]], jnp.float32)
    expected = [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]
    assert masks(depth)[:, 0].astype(int).tolist() == expected


def test_masks_divide_each_maps_own_range():
    depth = jnp.asarray(np.random.default_rng(1).normal(0, [[[[1.0]]], [[[100.0]]]], (2, 3, 7, 5)))
    found = np.asarray(masks(depth))
    assert found.shape == (2, 3, 5, 7, 5)
    assert (found[..., :3, :, :].sum(-3) == 1).all()
    assert (found[..., 3:, :, :].sum(-3) == 1).all()
    np.testing.assert_array_equal(found[1, 2], masks(depth[1, 2]))


def test_a_constant_map_is_all_near():
    found = jax.jit(masks)(jnp.full((4, 6), 2.5))
    assert found.all((1, 2)).tolist() == [True, False, False, True, False]
    assert found.any((1, 2)).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("official", "canonical"),
    [
        ("module.encoder.original_model.blocks.1.0.bn3.running_var", "encoder.blocks.1.0.bn3.running_var"),
        ("encoder.original_model.bn1.weight", "encoder.bn1.weight"),
        ("module.encoder.original_model.bn2.weight", None),
        ("encoder.original_model.bn2.running_mean", None),
        ("encoder.original_model.blocks.0.0.bn2.weight", "encoder.blocks.0.0.bn2.weight"),
        ("module.decoder.up1._net.1.num_batches_tracked", None),
        ("module.decoder.up1._net.0.bias", "decoder.up1._net.0.bias"),
        ("module.adaptive_bins_layer.embedding_conv.weight", "adaptive_bins_layer.conv3x3.weight"),
        ("adaptive_bins_layer.conv3x3.weight", "adaptive_bins_layer.conv3x3.weight"),
        (
            "module.adaptive_bins_layer.patch_transformer.embedding_encoder.bias",
            "adaptive_bins_layer.patch_transformer.embedding_convPxP.bias",
        ),
        (
            "adaptive_bins_layer.patch_transformer.transformer_encoder.layers.3.self_attn.in_proj_weight",
            "adaptive_bins_layer.patch_transformer.layers.3.self_attn.in_proj.weight",
        ),
        ("module.conv_out.0.weight", "conv_out.0.weight"),
    ],
)
def test_names(official, canonical):
    assert KEYS.canonical(official) == canonical
    assert canonical is None or KEYS.canonical(canonical) == canonical


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_variables(tiny):
    _, apply, variables = tiny
    half = AdaBins(**TINY, dtype=jnp.bfloat16)
    (edges, depth, out), own = jax.eval_shape(half.init_with_output, jax.random.key(0), images(2))
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {jnp.dtype("float32")}
    assert {edges.dtype, depth.dtype} == {jnp.dtype("float32")}
    assert {tap.dtype for tap in out.values()} == {jnp.dtype("bfloat16")}
    full = apply(variables, images(2))[1]
    assert np.linalg.norm(jax.jit(half.apply)(variables, images(2))[1] - full) < 0.05 * np.linalg.norm(full)
