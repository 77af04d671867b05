"""ipa_jax.input.photos: what the network sees of a stored photo."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ipa_jax.input import photos

LEFT_RED = np.zeros((40, 64, 3), np.uint8)  # red left half, blue right half; green top quarter
LEFT_RED[:, :32, 0] = LEFT_RED[:, 32:, 2] = LEFT_RED[:10, :, 1] = 200


def stored(image: Image.Image, form="JPEG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **({"quality": 95, "subsampling": 0} if form == "JPEG" else {}) | options)
    return out.getvalue()


def corners(square):
    """Mean colour near the four corners, as the channels above 100."""
    n = len(square) // 8
    parts = {"tl": square[:n, :n], "tr": square[:n, -n:], "bl": square[-n:, :n], "br": square[-n:, -n:]}
    means = {corner: part.mean(axis=(0, 1)) for corner, part in parts.items()}
    return {corner: "".join(c for c, v in zip("rgb", mean, strict=True) if v > 100) for corner, mean in means.items()}


UPRIGHT = {"tl": "rg", "tr": "gb", "bl": "r", "br": "b"}
TURN = {  # what a camera stores for each EXIF orientation of an upright scene
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURN)
def test_exif_turns_are_undone(orientation):
    image = Image.fromarray(LEFT_RED)
    turned = image if TURN[orientation] is None else image.transpose(TURN[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    square = photos.decode(stored(turned, exif=exif), 32)
    assert square.shape == (32, 32, 3) and square.dtype == np.uint8
    assert corners(square) == UPRIGHT


@pytest.mark.parametrize("size", [(1080, 1080), (1080, 566), (400, 900), (48, 48), (30, 20)])
def test_draft_decoding_is_close_to_decoding_in_full(size):
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    photo = stored(coarse.resize(size, Image.Resampling.BICUBIC))
    full = Image.open(io.BytesIO(photo)).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(photos.decode(photo, 64).astype(int) - np.asarray(full)).mean() < 3


def test_an_image_of_the_right_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    np.testing.assert_array_equal(photos.decode(stored(Image.fromarray(image), "PNG"), 48), image)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "I;16", "1"])
def test_other_colour_modes_become_rgb(mode):
    """A half-bright gray stays half bright."""
    gray = Image.fromarray(np.full((16, 16), 128, np.uint8))
    image = Image.fromarray(np.full((16, 16), 128 * 257, np.uint16)) if mode == "I;16" else gray.convert(mode)
    form = "JPEG" if mode == "CMYK" else "PNG"
    options = {"transparency": b"\x00" * 16} if mode == "P" else {}
    square = photos.decode(stored(image, form, **options), 8)
    assert square.shape == (8, 8, 3)
    assert mode == "1" or np.abs(square.astype(int) - 128).max() <= 3


WHOLE = stored(Image.fromarray(LEFT_RED))


@pytest.mark.parametrize("photo", [b"", b"GIF89a", WHOLE[: len(WHOLE) // 2], b"\xff\xd8\xff" + bytes(200)])
def test_broken_files_are_refused(photo):
    with pytest.raises(ValueError, match=rf"image of {len(photo)} bytes"):
        photos.decode(photo, 16)


def test_a_format_not_allowed_is_refused():
    with pytest.raises(ValueError, match="BMP is not supported"):
        photos.decode(stored(Image.fromarray(LEFT_RED), "BMP"), 16)


def test_cuts_by_hand():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, axis=2)
    assert photos.cut_out(image, photos.Cut(1, 2, False), 2)[..., 0].tolist() == [[6, 7], [10, 11]]
    assert photos.cut_out(image, photos.Cut(1, 2, True), 2)[..., 0].tolist() == [[7, 6], [11, 10]]
    for cut in (photos.Cut(1, 2, False), photos.Cut(1, 2, True)):
        out = np.zeros((2, 2, 3), np.uint8)
        photos.copy_cut(image + np.arange(3, dtype=np.uint8), cut, out)
        np.testing.assert_array_equal(out, photos.cut_out(image + np.arange(3, dtype=np.uint8), cut, 2))
    assert photos.centre_cut(256, 224) == (16, 16, False)
    assert photos.centre_cut(48, 48) == (0, 0, False)


@given(key=st.tuples(*[st.integers(0, 2**31 - 1)] * 3), spare=st.integers(0, 40), flip=st.booleans())
def test_drawn_cuts_lie_inside_and_repeat(key, spare, flip):
    cut = photos.draw_cut(key, 50 + spare, 50, flip)
    assert 0 <= cut.top <= spare and 0 <= cut.left <= spare and cut.flip <= flip
    assert cut == photos.draw_cut(key, 50 + spare, 50, flip)


def test_drawn_cuts_cover_all_places_evenly():
    cuts = [photos.draw_cut((0, step, slot), 4, 2, True) for step in range(40) for slot in range(45)]
    counts = np.zeros((3, 3, 2))
    for cut in cuts:
        counts[cut.top, cut.left, int(cut.flip)] += 1
    assert counts.min() > 60 and counts.max() < 140  # 100 expected
