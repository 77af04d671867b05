"""Tests of the detector's input: scales, resizing, the means, padding."""

import numpy as np
import pytest

from third_party_ports.bottom_up.input import MEANS, im_scale, region_input


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "scale", "result"),
    [
        ((480, 640), 1.25, (600, 800)),
        ((90, 131), 600 / 90, (600, 873)),
        ((350, 1300), 1000 / 1300, (269, 1000)),
        ((600, 1000), 1.0, (600, 1000)),
        ((1200, 2001), 0.5, (600, 1000)),  # 1000.5 rounds to even: not above the limit
        ((1200, 2003), 1000 / 2003, (599, 1000)),
    ],
)
def test_scales(size, scale, result):
    values, _, found = region_input(photo(*size))
    assert found == im_scale(*size) == scale
    assert values.shape == (*result, 3)
    assert values.dtype == np.float32


def test_halves_are_rounded_to_even():
    assert region_input(photo(10, 25), shorter=5, longer=100)[0].shape == (5, 12, 3)
    assert region_input(photo(10, 27), shorter=5, longer=100)[0].shape == (5, 14, 3)


@pytest.mark.parametrize(("size", "shorter"), [((7, 9), 23), ((23, 31), 10), ((5, 5), 5), ((1, 3), 4)])
def test_resize_value_by_value(size, shorter):
    """Each value by definition: sampled at (i + 0.5) / s - 0.5, clamped, BGR minus the means."""
    image = photo(*size)
    values, _, scale = region_input(image, shorter, 1000)
    source = image[:, :, ::-1].astype(np.float64) - MEANS
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            y, x = (
                min(max((place + 0.5) / scale - 0.5, 0), side - 1) for place, side in zip((i, j), size, strict=True)
            )
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, size[0] - 1), min(x0 + 1, size[1] - 1)
            top = source[y0, x0] * (x0 + 1 - x) + source[y0, x1] * (x - x0)
            bottom = source[y1, x0] * (x0 + 1 - x) + source[y1, x1] * (x - x0)
            np.testing.assert_allclose(value, top * (y0 + 1 - y) + bottom * (y - y0), atol=1e-3)


def test_channels_and_range():
    image = np.zeros((600, 600, 3), np.uint8)
    image[..., 0] = 255  # red comes last
    values, *_ = region_input(image)
    np.testing.assert_allclose(values[0, 0], [-102.9801, -115.9465, 255 - 122.7717], rtol=1e-6)
    assert (values == values[0, 0]).all()


@pytest.mark.parametrize("image", [photo(9, 9)[..., 0], photo(9, 9)[..., :2], photo(9, 9) / np.float32(255)])
def test_other_images_are_refused(image):
    with pytest.raises(ValueError, match="RGB, uint8"):
        region_input(image)


def test_a_photo_whose_side_would_become_0_is_refused():
    with pytest.raises(ValueError, match="1 x 2001 px is too narrow"):
        region_input(photo(1, 2001))


def test_padding():
    values, *_ = region_input(photo(30, 50), 33, 100)
    canvas, size, _ = region_input(photo(30, 50), 33, 100, 32)
    assert canvas.shape == (64, 64, 3)
    assert canvas.dtype == np.float32
    assert size == (33, 55)
    np.testing.assert_array_equal(canvas[:33, :55], values)
    assert not canvas[33:].any()
    assert not canvas[:, 55:].any()
    same, size, _ = region_input(photo(64, 96), 64, 100, 32)
    assert same.shape == (*size, 3) == (64, 96, 3)
