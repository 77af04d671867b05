"""Depth maps cut as images are, and the five masks of eq. 5 and 6."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ipa_jax.input import photos
from ipa_jax.models.depth_branch import DepthBranch, cut_depth, depth_masks, view_count
from ipa_jax.models.popularity import normalise
from third_party_ports.imagenet import MEAN, STD

cut_maps = jax.jit(cut_depth, static_argnums=3)
WHOLE = [0.0, 0.0, 1.0]
TOP = 65535


def cut(depth, window, flip, side):
    """One map through cut_depth."""
    arrays = np.uint16(depth)[None], np.float32(window)[None], np.array([flip])
    return np.asarray(cut_maps(*arrays, side))[0]


def random_map(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, TOP + 1, (side, side)).astype(np.uint16)


def test_masks_by_hand():
    third, two_thirds = np.float32(1 / 3), np.float32(2 / 3)
    below = np.nextafter(np.float32([third, 0.5, two_thirds, 1]), np.float32(0))
    depth = np.float32([0, below[0], third, below[1], 0.5, below[2], two_thirds, below[3], 1, 1]).reshape(1, 2, 5)
    near, middle, far, front, back = np.asarray(depth_masks(jnp.asarray(depth)))[0].reshape(5, 10).astype(int)
    assert near.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert middle.tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]
    assert far.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert front.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert back.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_each_pixel_lies_in_one_layer_of_each_set_even_a_little_above_one():
    """Interpolation may round 1 up: the far sets have no upper bound."""
    depth = np.append(np.random.default_rng(0).random(999), 1 + 1e-6).astype(np.float32).reshape(1, 10, 100)
    masks = np.asarray(depth_masks(jnp.asarray(depth))).astype(int)
    assert (masks[:, :3].sum(1) == 1).all() and (masks[:, 3:].sum(1) == 1).all()


def test_the_stored_thirds_fall_in_the_upper_layer():
    """21845 / 65535 is 1/3 exactly: the sixteen-bit map keeps the boundaries of eq. 5."""
    third = cut(np.full((9, 9), 21845), WHOLE, False, 9)
    masks = np.asarray(depth_masks(jnp.asarray(third[None])))[0]
    assert masks[:, 0, 0].tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("flip", [False, True])
def test_a_whole_map_of_the_right_side_is_unchanged(flip):
    depth = random_map(9)
    expected = depth[:, ::-1] if flip else depth
    np.testing.assert_allclose(cut(depth, WHOLE, flip, 9), expected / TOP, atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("top, left, size", [(0, 0, 8), (2, 3, 8), (4, 4, 8)])
def test_an_aligned_crop_is_the_numpy_crop(top, left, size, flip):
    depth = random_map(12)
    expected = photos.cut_out(depth, photos.Cut(top, left, flip), size)
    window = np.array([top, left, size]) / 12
    np.testing.assert_allclose(cut(depth, window, flip, size), expected / TOP, atol=1e-6)


@pytest.mark.parametrize("side, size", [(24, 16), (4, 16)], ids=["up", "down"])
def test_another_side_is_interpolated_about_pixel_centres(side, size):
    """A ramp stays the ramp of its pixel centres, whatever side it is stored or shown at."""
    ramp = np.tile((np.arange(32) + 0.5) / 32 * TOP, (32, 1)).round()
    top, left = 4, 8
    shown = cut(ramp, np.array([top, left, size]) / 32, False, side)
    expected = (left + (np.arange(side) + 0.5) * size / side) / 32
    np.testing.assert_allclose(shown, np.tile(expected, (side, 1)), atol=1e-4)


def test_an_empty_slot_stays_finite():
    assert np.isfinite(cut(np.zeros((8, 8)), [0, 0, 0], False, 5)).all()


@pytest.mark.parametrize("key", [(0, 0, 0), (0, 0, 1), (0, 3, 2)])
def test_depth_and_image_are_cut_alike(key):
    """A map that is its photo's gray level is still so after a random crop and flip of both."""
    resize, crop = 48, 40
    coarse = Image.fromarray(np.random.default_rng(7).integers(0, 256, (6, 6), dtype=np.uint8))
    gray = np.asarray(coarse.resize((resize, resize), Image.Resampling.BICUBIC))
    at = photos.draw_cut(key, resize, crop, True)
    image = photos.cut_out(gray[..., None].repeat(3, 2), at, crop)
    window = np.array([at.top, at.left, crop]) / resize
    np.testing.assert_allclose(cut(gray * np.uint16(257), window, at.flip, crop), image[..., 0] / 255, atol=1e-5)
    stored = np.asarray(Image.fromarray(gray).resize((24, 24), Image.Resampling.BOX))  # at half the side, as a store is
    coarser = cut(stored * np.uint16(257), window, at.flip, crop)
    assert np.abs(coarser - image[..., 0] / 255)[2:-2, 2:-2].mean() < 0.02


def test_hidden_pixels_are_black_not_gray():
    """Eq. 6 masks the image, not the normalised image: hidden pixels reach the ResNet as (0 - mean) / std."""
    seen = []
    branch = DepthBranch((1,), 2, "small", 8)
    images = jnp.full((1, 8, 8, 3), 0.7)
    depth = jnp.zeros((1, 8, 8)).at[:, :, 4:].set(1.0)  # the left half near, the right half far

    def keep(layers):
        seen.append(normalise(layers))
        return seen[-1]

    def layers():
        branch.init(jax.random.key(0), images, depth, jnp.ones(1, bool), keep, train=False)
        return seen[0]

    black, bright = -np.array(MEAN) / np.array(STD), (0.7 - np.array(MEAN)) / np.array(STD)
    halves = {"near": (bright, black), "middle": (black, black), "far": (black, bright)}
    halves |= {"front": halves["near"], "back": halves["far"]}
    for layer, (left, right) in zip(np.asarray(jax.jit(layers)())[0], halves.values(), strict=True):
        np.testing.assert_allclose(layer[:, :4], np.broadcast_to(left, (8, 4, 3)), rtol=1e-5)
        np.testing.assert_allclose(layer[:, 4:], np.broadcast_to(right, (8, 4, 3)), rtol=1e-5)


def test_one_network_sees_the_five_layers():
    """Vectors follow the layers: swapping near and far swaps the vectors, and equal layers have equal vectors."""
    branch = DepthBranch((1,), 2, "small", 8)
    images = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 3)), jnp.float32)
    depth = jnp.asarray(np.random.default_rng(1).choice([0.1, 0.9], (2, 8, 8)), jnp.float32)  # nothing in the middle
    arguments = (jnp.ones(2, bool), normalise)
    variables = jax.jit(lambda: branch.init(jax.random.key(0), images, depth, *arguments, train=False))()
    apply = jax.jit(lambda depth: branch.apply(variables, images, depth, *arguments, train=False))
    (vectors, out), (mirrored, _) = apply(depth), apply(1 - depth)
    assert vectors.shape == (2, 5, 8) and vectors.dtype == jnp.float32
    assert out["masks"].shape == (2, 5, 8, 8)
    np.testing.assert_allclose(mirrored, np.asarray(vectors)[:, [2, 1, 0, 4, 3]], rtol=1e-5)
    np.testing.assert_allclose(vectors[:, 0], vectors[:, 3], rtol=1e-5)


def test_views_as_channels_are_one_pass_of_fifteen():
    """One vector, and each view has channels of its own: what only one view's weights see is that view."""
    branch = DepthBranch((1,), 2, "small", 8, views="channels")
    images = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 3)), jnp.float32)
    depth = jnp.asarray(np.random.default_rng(1).choice([0.1, 0.9], (2, 8, 8)), jnp.float32)
    variables = jax.jit(
        lambda: branch.init(jax.random.key(0), images, depth, jnp.ones(2, bool), normalise, train=False)
    )()
    kernel = variables["params"]["resnet"]["conv1"]["kernel"]
    assert kernel.shape == (3, 3, 15, 2)
    near = {"resnet": variables["params"]["resnet"] | {"conv1": {"kernel": kernel.at[:, :, 3:].set(0)}}}
    apply = jax.jit(
        lambda x: branch.apply(variables | {"params": near}, x, depth, jnp.ones(2, bool), normalise, train=False)[0]
    )
    hidden = (depth > 0.5)[..., None]
    vectors = apply(images)
    assert vectors.shape == (2, 1, 8)
    np.testing.assert_array_equal(apply(jnp.where(hidden, 0.3, images)), vectors)
    assert (np.asarray(apply(jnp.where(hidden, images, 0.3))) != np.asarray(vectors)).any()


def test_other_views_are_refused():
    with pytest.raises(ValueError, match=r"views is 'layers'.*tokens"):
        view_count("layers")
