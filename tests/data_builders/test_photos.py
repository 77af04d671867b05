"""One opener for all photos: upright and RGB; broken, too large or other files are refused."""

import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_builders import photos
from tests.helpers.paths import ROOT


def ramp(height=60, width=90):
    return np.linspace(0, 1, height * width).reshape(height, width)


def encoded(image, kind="PNG", **options) -> bytes:
    out = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(out, kind, **options)
    return out.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_of_size(width: int, height: int) -> bytes:
    """The beginning of a PNG file that says it is so large."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(99)


@pytest.mark.parametrize("kind", photos.FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(kind, orientation):
    """The same corner as with Pillow's own function comes to the top left."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :30] = 255
    photo = encoded(image, kind, exif=turned(orientation), quality=95)
    with Image.open(io.BytesIO(photo)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    np.testing.assert_array_equal(photos.read(photo), expected)


def test_content_and_path_give_the_same(tmp_path):
    photo = encoded((255 * ramp()).astype(np.uint8))
    (tmp_path / "a").write_bytes(photo)
    np.testing.assert_array_equal(photos.read(photo), photos.read(tmp_path / "a"))
    assert photos.size(photo) == photos.size(tmp_path / "a") == (90, 60)


@pytest.mark.parametrize("kind", photos.FORMATS)
def test_gray_is_the_same_in_all_channels(kind):
    pixels = photos.read(encoded((255 * ramp()).astype(np.uint8), kind)).astype(int)
    assert np.abs(pixels - (255 * ramp())[..., None]).max() < 12
    assert np.ptp(pixels, axis=2).max() <= 1  # WebP stores colours


def test_sixteen_bits_become_eight():
    """Pillow alone would clip all but the darkest 255 of 65,536 values to white."""
    pixels = photos.read(encoded((65535 * ramp()).astype(np.uint16)))
    assert np.abs(pixels[..., 0] - 255 * ramp()).max() <= 1


def test_a_large_jpeg_is_decoded_small_and_never_below_what_is_asked():
    photo = encoded(Image.new("RGB", (1600, 1200)), "JPEG", exif=turned(6))
    assert photos.upright(photo, near=200).size == (150 * 2, 200 * 2)  # a quarter; an eighth would be 150 high
    assert photos.stored(photo, "L", near=1000).size == (1600, 1200)
    assert photos.upright(encoded(Image.new("RGB", (1600, 1200))), near=200).size == (1600, 1200)  # PNG


WHOLE = encoded((255 * ramp()).astype(np.uint8), "JPEG")


@pytest.mark.parametrize(
    "photo",
    [b"", WHOLE[: len(WHOLE) // 2], WHOLE[:30], png_of_size(10_000, 10_000), png_of_size(100_000, 100_000)],
)
def test_what_is_no_photo_is_refused(photo, tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo)
    with pytest.raises(photos.PhotoError, match=rf"not a readable JPEG, PNG.* image of {len(photo)} bytes"):
        photos.read(photo)
    with pytest.raises(photos.PhotoError, match=r"a\.jpg"):
        photos.upright(tmp_path / "a.jpg", near=16)


HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(400)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (encoded(Image.new("L", (9, 9)), "GIF"), "GIF is not supported here; save it as JPEG"),
        (encoded(Image.new("L", (9, 9)), "TIFF"), "TIFF or camera raw is not supported"),
        (encoded(Image.new("L", (9, 9)), "BMP"), "BMP is not supported"),
        (b"\n <html>", "text, such as a web page, is not supported"),
        (struct.pack(">I", 24) + b"ftypmp42" + bytes(99), "video is not supported here; give a photo"),
        (struct.pack(">I", 24) + b"ftypcrx " + bytes(99), "camera raw is not supported"),
        pytest.param(HEIC, "HEIC is not supported here; pip install pillow-heif",
                     marks=pytest.mark.skipif("HEIF" in photos.FORMATS, reason="pillow-heif is installed")),
    ],
)  # fmt: skip
def test_other_formats_are_refused_by_name(photo, message, tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo)
    for given, name in ((photo, f"image of {len(photo)} bytes"), (tmp_path / "a.jpg", r"a\.jpg")):
        for opened in (photos.read, photos.size):
            with pytest.raises(photos.PhotoError, match=rf"{message}.*{name}"):
                opened(given)


def test_a_format_that_can_be_opened_has_no_other_name(monkeypatch):
    assert photos.other_format(WHOLE[:64]) == photos.other_format(b"") == ""
    avif = struct.pack(">I", 24) + b"ftypmif1\0\0\0\0avifmif1"
    for formats, names in ((("JPEG", "AVIF", "HEIF"), ("", "")), (("JPEG",), ("AVIF", "HEIC"))):
        monkeypatch.setattr(photos, "FORMATS", formats)
        assert (photos.other_format(avif), photos.other_format(HEIC)) == names


def test_pillow_heif_is_used_where_it_is_installed():
    """A stand-in for the package: it is registered once, and its format is among those that are opened."""
    program = """
import sys, types
sys.modules["pillow_heif"] = types.SimpleNamespace(register_heif_opener=lambda: print("registered"))
from data_builders import photos
print(photos.FORMATS[-1])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["registered", "HEIF"], done.stderr


@pytest.mark.parametrize(
    "extra",
    [
        (b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n      10\nzzzznothex\n"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 3_000_000)),
    ],
)
def test_odd_metadata_do_not_spoil_a_photo(extra):
    """Every viewer shows such photos, so both ways to open them do."""
    kind, data = extra
    photo = encoded((255 * ramp()).astype(np.uint8))
    at = photo.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    odd = photo[:at] + chunk + photo[at:]
    assert photos.stored(odd).size == (90, 60)
    np.testing.assert_array_equal(photos.read(odd), photos.read(photo))


def test_texts_of_a_png_are_bounded():
    photo = encoded((255 * ramp()).astype(np.uint8))
    at = photo.index(b"IDAT") - 4
    data = b"Comment\0\0" + zlib.compress(b"a" * 20_000_000)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    with pytest.raises(photos.PhotoError, match="too large"):
        photos.read(photo[:at] + chunk + photo[at:])


def test_a_missing_file_is_refused(tmp_path):
    for open_photo in (photos.read, photos.size):
        with pytest.raises(photos.PhotoError, match="none"):
            open_photo(tmp_path / "none")


def test_the_limit_counts_pixels():
    photo = encoded(Image.new("L", (20, 10)))
    assert photos.read(photo, most_pixels=200).shape == (10, 20, 3)
    with pytest.raises(photos.PhotoError, match="20 x 10"):
        photos.read(photo, most_pixels=199)


def test_odd_exif_is_no_warning():
    exif = turned(3)
    exif[0x010E] = "text"
    photo = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=exif)
    cut = photo.replace(b"text\x00", b"te\xff\xd9\x00")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert photos.read(cut).shape == photos.read(photo).shape


def test_versions_name_the_decoders():
    assert photos.versions()["pillow"] == Image.__version__
    assert all(photos.versions().values())


def test_a_mixture_of_versions_is_named():
    old, new = {"pillow": "11.0.0"}, {"pillow": "12.0.0", "webp": "1.6.0"}
    assert photos.mixture([old, dict(old)]) == photos.mixture([]) == ""
    assert photos.mixture([old, new, old]) == "pillow 11.0.0; pillow 12.0.0, webp 1.6.0"
    assert "unknown" in photos.mixture([{}, new])
