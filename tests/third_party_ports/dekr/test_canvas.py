"""Tests of DEKR's canvas: sizes, the map and its inverse, sampling against a slow reference, what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from third_party_ports.dekr.canvas import AspectError, Geometry, canvas, warp

SIDES = st.integers(1, 2000)


@pytest.mark.parametrize(
    ("photo", "side", "canvases"),
    [
        ((480, 640), 512, [(704, 512), (352, 256), (1408, 1024)]),
        ((1350, 1080), 512, [(512, 640), (256, 320), (1024, 1280)]),
        ((1350, 1080), 640, [(640, 832), (320, 416), (1280, 1664)]),
        ((1080, 1920), 512, [(960, 512), (480, 256), (1920, 1024)]),
        ((512, 512), 512, [(512, 512), (256, 256), (1024, 1024)]),
    ],
)
def test_published_sizes(photo, side, canvases):
    geometry = Geometry(*photo, side)
    assert [geometry.canvas(scale)[::-1] for scale in (1, 0.5, 2)] == canvases


def test_less_than_a_pixel_above_a_multiple_is_not_rounded_up():
    assert Geometry(1024, 1153, 512).base == (512, 576)  # 576.5
    assert Geometry(1024, 1154, 512).base == (512, 640)  # 577


def test_the_centre_is_a_whole_pixel():
    assert Geometry(45, 65, 64).centre == (33, 23)
    assert Geometry(44, 64, 64).centre == (32, 22)
    assert (Geometry(45, 65, 64).forward() @ [33, 23, 1]).tolist() == [64, 32]


@given(SIDES, SIDES, st.sampled_from([64, 512, 640]), st.tuples(st.floats(-500, 3000), st.floats(-500, 3000)))
def test_there_and_back(height, width, side, point):
    geometry = Geometry(height, width, side)
    np.testing.assert_allclose(geometry.to_image(geometry.forward() @ [*point, 1]), point, atol=1e-8)
    np.testing.assert_allclose(geometry.to_image(point), geometry.inverse() @ [*point, 1], rtol=1e-9, atol=1e-7)


@given(SIDES, SIDES, st.sampled_from([64, 512, 640]), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_photo_fills_its_canvas_but_for_narrow_bands(height, width, side, scale):
    assume(max(height, width) <= 4 * min(height, width))
    geometry = Geometry(height, width, side)
    rows, columns = geometry.canvas(scale)
    assert rows % 32 == columns % 32 == 0
    k = geometry.factor(scale)
    shown = np.array([height, width]) * k
    assert min(rows, columns) == pytest.approx(shown.min())
    bands = np.array([rows, columns]) - shown
    assert (bands > -1 * scale - 1e-9).all() and (bands < 63 * scale + 1e-9).all()


def slowly(image: np.ndarray, geometry: Geometry, scale: float) -> np.ndarray:
    """Inverts the map and samples pixel by pixel."""
    (rows, columns), (cx, cy), k = geometry.canvas(scale), geometry.centre, geometry.factor(scale)
    height, width, _ = image.shape
    result = np.zeros((rows, columns, 3))
    for i in range(rows):
        for j in range(columns):
            x, y = (j - columns / 2) / k + cx, (i - rows / 2) / k + cy
            left, top = int(np.floor(x)), int(np.floor(y))
            for u, v in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
                if 0 <= u < width and 0 <= v < height:
                    result[i, j] += image[v, u] * (1 - abs(x - u)) * (1 - abs(y - v))
    return result


@pytest.mark.parametrize(("photo", "scale"), [((21, 32), 1), ((50, 37), 1), ((150, 170), 0.5)])
def test_sampling_against_a_slow_reference(photo, scale):
    image = np.random.default_rng(3).integers(0, 256, (*photo, 3), np.uint8)
    geometry = Geometry(*photo, 64)
    ours = warp(image, geometry, scale)
    assert np.abs(ours - slowly(image, geometry, scale)).max() < 0.501


def test_a_photo_of_the_canvas_size_passes_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    ours, geometry = canvas(image, 64)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, image)
    assert geometry == Geometry(64, 128, 64)


def test_bands_are_black():
    ours, geometry = canvas(np.full((64, 100, 3), 200, np.uint8), 64)
    assert ours.shape == (64, 128, 3)
    assert (ours[:, :14] == 0).all() and (ours[:, 114:] == 0).all() and (ours[:, 14:114] == 200).all()
    assert geometry.to_image([14, 0]).tolist() == [0, 0]


@given(st.integers(30, 120), st.integers(30, 120), st.sampled_from([0.5, 1.0, 2.0]))
def test_canvas_pixels_show_what_lies_at_their_place_in_the_photo(height, width, scale):
    """A ramp in x and one in y show each pixel's position."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([2 * x, 2 * y, x + y], axis=-1).astype(np.uint8)
    ours, geometry = canvas(image, 64, scale)
    i, j = np.mgrid[: ours.shape[0], : ours.shape[1]]
    place = geometry.to_image(np.stack([j, i], axis=-1) / scale)
    within = ((place >= 0) & (place <= [width - 1, height - 1])).all(axis=-1)
    assert within.any()
    assert np.abs(ours[within][:, :2] - 2 * place[within]).max() < 0.501


def test_a_photo_that_is_too_long_is_refused():
    strip = np.zeros((10, 41, 3), np.uint8)
    with pytest.raises(AspectError, match="41 x 10 px is longer than 4:1"):
        canvas(strip, 64)
    assert canvas(strip, 64, max_aspect=5)[0].shape == (64, 320, 3)
    assert canvas(strip[:, :40], 64)[0].shape == (64, 256, 3)


def test_scales_that_do_not_fit_the_network():
    with pytest.raises(ValueError, match=r"scale 0\.7 .* gives 44 x 44.*multiples of 32"):
        canvas(np.zeros((64, 64, 3), np.uint8), 64, 0.7)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), np.zeros((0, 8, 3), np.uint8)]
)
def test_arrays_that_are_not_photos(image):
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        canvas(image, 64)


def test_importing_it_loads_only_numpy():
    program = """
import sys
import third_party_ports.dekr.canvas
assert not {"jax", "flax", "scipy", "PIL"} & set(sys.modules)
import third_party_ports.dekr.poses
assert not {"jax", "flax"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
