"""ImageNet preprocessing against hand-worked values."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from third_party_ports.imagenet import normalise, resize


def noise(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def test_normalised_values():
    """Black is -mean / std, not 0; white red is (1 - 0.485) / 0.229."""
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    values = normalise(image)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)
    np.testing.assert_allclose(values[0, 1], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_and_fractions_are_the_same_image(dtype):
    image = noise(2, 4, 5)
    values = normalise((image / 255).astype(dtype))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, normalise(image), atol=1e-6)


@pytest.mark.parametrize("image", [noise(2, 4, 5), noise(2, 4, 5) / np.float32(255)], ids=["uint8", "float32"])
def test_the_same_under_jax(image):
    inside = jax.jit(normalise)(jnp.asarray(image))
    assert isinstance(inside, jax.Array)
    assert inside.dtype == jnp.float32
    np.testing.assert_allclose(inside, normalise(image), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, bool])
def test_images_of_unknown_range_are_refused(dtype):
    with pytest.raises(TypeError, match="give uint8, or floating numbers"):
        normalise(np.zeros((2, 2, 3), dtype))


def test_resize_is_antialiased():
    """At half the side, each pixel is a weighted mean of four pixels (a triangle), not of the two nearest."""
    row = np.array([0, 0, 0, 0, 240, 0, 0, 0], np.uint8)  # pixel 4, which output pixels 1 and 2 see
    image = np.repeat(np.repeat(row[None, :, None], 8, 0), 3, 2)
    result = resize(image, (4, 4))
    assert result.shape == (4, 4, 3)
    np.testing.assert_array_equal(result[:, :, 0], [[0, 30, 90, 0]] * 4)  # weights 1/8 and 3/8


@pytest.mark.parametrize(("size", "target"), [((11, 7), (5, 4)), ((5, 8), (9, 13)), ((12, 6), (7, 9))])
def test_resize_stays_close_to_a_float_resize(size, target):
    """JAX's antialiased resize does not round between the axes, so it is up to one level apart."""
    image = noise(*size)
    exact = jax.image.resize(jnp.asarray(image, jnp.float32), (*target, 3), "bilinear", antialias=True)
    assert np.abs(resize(image, target) - np.asarray(exact)).max() <= 1.01


def test_a_reading_process_loads_no_jax():
    program = "import sys, third_party_ports.imagenet; sys.exit('jax' in sys.modules or 'flax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
