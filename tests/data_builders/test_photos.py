"""One opener for all photos: upright and RGB; broken, too large or other files are refused."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_builders import photo_formats, photos
from tests.helpers.icc_profiles import gray_profile, in_srgb, rgb_profile
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


PNG_START = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """The beginning of a PNG file that says it is so large."""
    return PNG_START + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + bytes(99)


@pytest.mark.parametrize("kind", photos.FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(kind, orientation):
    """The same corner as with Pillow's own function comes to the top left."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :30] = 255
    photo = encoded(image, kind, exif=turned(orientation), **{"quality": 95} if kind != "TIFF" else {})
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


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(kind):
    """Pillow alone would clip all but the darkest 255 of 65,536 values to white."""
    pixels = photos.read(encoded((65535 * ramp()).astype(np.uint16), kind))
    assert np.abs(pixels[..., 0] - 255 * ramp()).max() <= 1


def test_sixteen_bits_of_colour_become_eight():
    values = np.stack([65535 * ramp(), 65535 * ramp()[::-1], 0 * ramp()], axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    photo = PNG_START + chunk(b"IHDR", struct.pack(">IIBBBBB", 90, 60, 16, 2, 0, 0, 0))
    photo += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(photos.read(photo), values >> 8)


def test_a_negative_and_twelve_bits_in_a_tiff():
    values = (65535 * ramp()).astype(np.uint16)
    negative = encoded(values, "TIFF", tiffinfo={262: 0})
    assert np.abs(photos.read(negative)[..., 0] - 255 * (1 - ramp())).max() <= 1.1


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.int16])
@pytest.mark.parametrize("largest", [1, 255, 32_767])
def test_deep_and_signed_channels_are_refused_whatever_their_values_are(kind, largest):
    """Numbers of 32 bits that fit 16 are no photo of 16 bits: nobody knows which one is white."""
    values = (largest * ramp()).astype(kind)
    photo = encoded(Image.fromarray(values.astype(np.int32) if kind is np.int16 else values), "TIFF")
    if kind is np.int16:
        photo = tiff_of_signed(values)
    for opened in (photos.read, photos.size):
        with pytest.raises(photos.PhotoError, match="more than 16 bits"):
            opened(photo)


def tiff_of_signed(values: np.ndarray) -> bytes:
    """A TIFF of signed 16 bits, which Pillow does not write."""
    height, width = values.shape
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 134, 277: 1, 278: height, 279: values.nbytes, 339: 2}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + values.astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("L", "JPEG"), ("RGB", "JPEG"),
     ("CMYK", "JPEG"), ("RGB", "TIFF"), ("RGB", "WEBP")],
)  # fmt: skip
@pytest.mark.parametrize("profile", [b"", rgb_profile("sRGB", None), b"broken"])
def test_an_ordinary_photo_keeps_its_pixels(mode, kind, profile):
    """Bit for bit: figures of data sets must not move. A profile of sRGB, or one that is broken, changes nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    photo = encoded(Image.fromarray(noise).convert(mode), kind, icc_profile=profile)
    with Image.open(io.BytesIO(photo)) as opened:
        np.testing.assert_array_equal(photos.read(photo), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_wide_gamut_becomes_srgb(name, kind):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    shown = photos.upright(encoded(noise, kind, icc_profile=rgb_profile(name)))
    assert np.abs(np.asarray(shown).astype(int) - in_srgb(noise, name, 2.2)).max() <= 1
    assert "icc_profile" not in shown.info  # saving the image must not convert it twice
    wide = encoded(Image.fromarray(noise).resize((600, 400)), "JPEG", icc_profile=rgb_profile(name), quality=95)
    small = photos.upright(wide, near=100)
    assert small.size == (150, 100)
    plain = photos.upright(encoded(Image.fromarray(noise).resize((600, 400)), "JPEG", quality=95), near=100)
    assert np.abs(np.asarray(small).astype(int) - in_srgb(np.asarray(plain), name, 2.2)).max() <= 1


def test_a_profile_of_gray_and_of_another_kind_of_image():
    gray = (255 * ramp()).astype(np.uint8)
    pixels = photos.read(encoded(gray, icc_profile=gray_profile(1.0)))
    assert np.ptp(pixels, axis=2).max() == 0 and pixels[:, :, 0].mean() > gray.mean() + 40  # light, not sRGB's values
    cmyk = encoded(Image.fromarray(gray).convert("CMYK"), "JPEG")
    odd = encoded(Image.fromarray(gray).convert("CMYK"), "JPEG", icc_profile=rgb_profile("Adobe RGB"))
    np.testing.assert_array_equal(photos.read(odd), photos.read(cmyk))


def transparent(mode: str) -> bytes:
    """A PNG whose left half is transparent, with red below it where the mode has colours; the right half is dark."""
    image = Image.new("RGBA", (60, 40), (255, 0, 0, 0))
    image.paste((40, 40, 40, 255), (30, 0, 60, 40))
    if mode == "P bytes":
        palette = image.convert("RGB").quantize(2)
        shown = [0 if color == (255, 0, 0) else 255 for color in _palette(palette)]
        return encoded(palette, transparency=bytes(shown))
    if mode == "P":
        palette = image.convert("RGB").quantize(2)
        return encoded(palette, transparency=_palette(palette).index((255, 0, 0)))
    if mode in ("L", "RGB"):
        plain = image.convert("RGB").convert(mode)
        return encoded(plain, transparency=plain.getpixel((0, 0)))
    if mode == "I;16":
        values = np.full((40, 60), 40 * 257, np.uint16)
        values[:, :30] = 20_000
        photo = encoded(values)
        at = photo.index(b"IDAT") - 4
        return photo[:at] + chunk(b"tRNS", struct.pack(">H", 20_000)) + photo[at:]
    return encoded(image.convert(mode))


def _palette(image: Image.Image) -> list[tuple[int, int, int]]:
    values = image.getpalette() or []
    return [(values[i], values[i + 1], values[i + 2]) for i in range(0, 6, 3)]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "P bytes", "L", "RGB", "I;16"])
def test_transparent_parts_are_white(mode):
    pixels = photos.read(transparent(mode))
    assert (pixels[:, :30] == 255).all() and np.abs(pixels[:, 30:].astype(int) - 40).max() <= 1


def test_half_transparent_colours_mix_with_white():
    assert photos.read(encoded(Image.new("RGBA", (4, 4), (200, 0, 0, 51))))[0, 0].tolist() == [244, 204, 204]


def test_a_jpeg_of_several_pictures_has_its_whole_size():
    """Phones hide a depth map or a gain map behind the photo; Pillow calls such a file MPO."""
    photo = encoded(Image.new("RGB", (1600, 1200)), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))],
                    exif=turned(6))  # fmt: skip
    pixels, size = photos.read_near(photo, 200)
    assert size == (1200, 1600) and pixels.shape == (400, 300, 3)


def test_a_large_jpeg_is_decoded_small_and_never_below_what_is_asked():
    photo = encoded(Image.new("RGB", (1600, 1200)), "JPEG", exif=turned(6))
    assert photos.upright(photo, near=200).size == (150 * 2, 200 * 2)  # a quarter; an eighth would be 150 high
    assert photos.stored(photo, "L", near=1000).size == (1600, 1200)
    assert photos.upright(encoded(Image.new("RGB", (1600, 1200))), near=200).size == (1600, 1200)  # PNG


WHOLE = encoded((255 * ramp()).astype(np.uint8), "JPEG")
XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


@pytest.mark.parametrize("kind", photos.FORMATS)
@pytest.mark.parametrize("orientation", [None, 1])
def test_xmp_does_not_turn_a_photo(kind, orientation):
    image = Image.fromarray((255 * ramp()).astype(np.uint8)).convert("RGB")
    options = {} if orientation is None else {"exif": turned(orientation)}
    if kind == "TIFF":
        photo = encoded(image, kind, tiffinfo={700: XMP}, **options)
    elif kind == "PNG":
        text = chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP)
        plain = encoded(image, kind, **options)
        photo = plain[:33] + text + plain[33:]
    else:
        photo = encoded(image, kind, xmp=XMP, **options)
    assert XMP in photo and photos.read(photo).shape == (60, 90, 3)
    np.testing.assert_array_equal(photos.read(photo), photos.read(encoded(image, kind, **options)))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_may_lack_its_end_marker_and_nothing_else(options, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    whole = encoded(noise, "JPEG", **options)
    for without in (whole[:-2], whole[:-1], whole[:-2] + bytes(9)):
        (tmp_path / "a.jpg").write_bytes(without)
        np.testing.assert_array_equal(photos.read(tmp_path / "a.jpg"), photos.read(whole))
        np.testing.assert_array_equal(photos.read_near(without, 16)[0], photos.read_near(whole, 16)[0])
    for missing in (4, 12, 40):  # a grey or small photo may not need what is missing
        for opened in (photos.read, partial(photos.read_near, near=8), partial(photos.stored, mode="L", near=8)):
            with pytest.raises(photos.PhotoError, match="truncated"):
                opened(whole[:-missing])


@pytest.mark.parametrize(
    "photo",
    [WHOLE[: len(WHOLE) // 2], WHOLE[:30], png_of_size(10_000, 10_000), png_of_size(100_000, 100_000)],
)
def test_what_is_no_photo_is_refused(photo, tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo)
    with pytest.raises(
        photos.PhotoError, match=rf"(not a readable (JPEG|PNG)|bomb|100000 x) .*image of {len(photo)} bytes"
    ):
        photos.read(photo)
    with pytest.raises(photos.PhotoError, match=r"a\.jpg"):
        photos.upright(tmp_path / "a.jpg", near=16)


HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(400)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (encoded(Image.new("L", (9, 9)), "GIF"), "GIF is not supported here; save it as JPEG"),
        (b"", "an empty file is not supported here; copy"),
        (bytes(500), "a file of zeros is not supported here; copy"),
        (encoded(Image.new("L", (9, 9)), "TIFF")[:20], "camera raw or an unusual TIFF is not supported"),
        (encoded(Image.new("L", (9, 9)), "TIFF", tiffinfo={50706: b"\1\4\0\0"}), "camera raw is not supported"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "camera raw is not supported"),
        (b"8BPS\0\1" + bytes(99), "Photoshop is not supported"),
        (b"\x1aE\xdf\xa3" + bytes(99), "video is not supported here; give a photo"),
        (b"RIFF\0\1\0\0AVI LIST", "video is not supported"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>", "text, such as a web page, is not supported here; download the photo"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS.*git lfs pull"),
        (b"PK\3\4" + bytes(99), "zip.* is not supported"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "a Mac's side file is not supported"),
        (b"Too many requests\n", "text is not supported"),
        (encoded(Image.new("L", (9, 9)), "BMP"), "BMP is not supported"),
        (encoded(Image.new("L", (9, 9)), "PPM"), "PPM is not supported"),
        (bytes(128) + b"DICM" + bytes(9), "DICOM is not supported"),
        (b"v/1\1" + bytes(99), "OpenEXR is not supported"),
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


def test_a_format_that_can_be_opened_has_no_other_name(tmp_path):
    (tmp_path / "a").write_bytes(WHOLE)
    assert photos.format_of(tmp_path / "a") == photos.format_of(tmp_path / "none") == ""
    avif = struct.pack(">I", 24) + b"ftypmif1\0\0\0\0avifmif1"
    for formats, names in ((("JPEG", "AVIF", "HEIF"), ("", "")), (("JPEG",), ("AVIF", "HEIC"))):
        assert tuple(photo_formats.other_format(start, formats) for start in (avif, HEIC)) == names


def test_pillow_heif_is_used_where_it_is_installed():
    """A stand-in for the package: it is registered once, and its format is among those that are opened."""
    program = """
import sys, types
sys.modules["pillow_heif"] = types.SimpleNamespace(register_heif_opener=lambda: print("registered"))
from data_builders import photo_formats, photos
print(photos.FORMATS[-1])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["registered", "HEIF"], done.stderr


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_heic_photo(orientation, tmp_path):
    """A real file, as phones write it: 8 bits, Display P3, turned by its EXIF."""
    heif = pytest.importorskip("pillow_heif")
    image = np.zeros((120, 160, 3), np.uint8)
    image[:60, :80] = (200, 100, 50)
    exif = turned(orientation).tobytes()
    made = heif.from_pillow(Image.fromarray(image))
    made.save(tmp_path / "a.heic", quality=100, exif=exif, icc_profile=rgb_profile("Display P3"))
    pixels, size = photos.read_near(tmp_path / "a.heic", 60)
    upright = image if orientation == 1 else np.rot90(image, -1)
    assert size == upright.shape[1::-1] and pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - in_srgb(upright, "Display P3", 2.2)).mean() < 3
    (tmp_path / "cut.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:-99])
    with pytest.raises(photos.PhotoError, match=r"cut\.heic"):
        photos.read(tmp_path / "cut.heic")


@pytest.mark.parametrize(
    "extra",
    [
        [(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03")],
        [(b"tEXt", b"Raw profile type exif\0\nexif\n      10\nzzzznothex\n")],
        [(b"zTXt", b"%d\0\0" % part + zlib.compress(b"a" * 20_000_000)) for part in range(4)],
        [(b"iTXt", b"long\0\1" + bytes(3) + zlib.compress(b"a" * 20_000_000))],
        [(b"tEXt", b"long\0" + b"a" * 20_000_000)],
    ],
)
def test_odd_metadata_do_not_spoil_a_photo(extra):
    """Every viewer shows such photos, so both ways to open them do."""
    photo = encoded((255 * ramp()).astype(np.uint8))
    at = photo.index(b"IDAT") - 4
    odd = photo[:at] + b"".join(chunk(*each) for each in extra) + photo[at:]
    assert photos.stored(odd).size == (90, 60)
    np.testing.assert_array_equal(photos.read(odd), photos.read(photo))


def test_texts_of_a_png_are_bounded():
    photo = encoded((255 * ramp()).astype(np.uint8))
    at = photo.index(b"IDAT") - 4
    data = b"Comment\0\0" + zlib.compress(b"a" * 70_000_000)
    with pytest.raises(photos.PhotoError, match="too large"):
        photos.read(photo[:at] + chunk(b"zTXt", data) + photo[at:])


def test_the_orientation_counts_whatever_the_other_tags_are():
    """Orientation 6 beside an exposure bias of -1/0, which is no number."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x9204, 10, 1, 38)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<Iii", 0, -1, 0)
    photo = WHOLE[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + WHOLE[2:]
    np.testing.assert_array_equal(photos.read(photo), np.rot90(photos.read(WHOLE), -1))


def test_a_missing_file_is_refused(tmp_path):
    for open_photo in (photos.read, photos.size):
        with pytest.raises(photos.PhotoError, match="none"):
            open_photo(tmp_path / "none")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_limit_counts_pixels(kind, monkeypatch):
    photo = encoded(Image.new("L", (20, 10)), kind)
    monkeypatch.setattr(photos, "MOST_PIXELS", 200)
    assert photos.read(photo).shape == (10, 20, 3)
    monkeypatch.setattr(photos, "MOST_PIXELS", 199)
    for opened in (photos.read, photos.size, lambda data: photos.read_near(data, 2)):
        with pytest.raises(photos.PhotoError, match="20 x 10"):
            opened(photo)


def test_a_large_photo_is_no_bomb(monkeypatch):
    """Phones take 108 million pixels. As many in a few bytes are refused before their pixels fill the memory."""
    phone = encoded(Image.new("RGB", (12_000, 9_000), (90, 120, 40)), "JPEG", quality=75)
    pixels, size = photos.read_near(phone, 200)
    assert size == (12_000, 9_000) and pixels.shape == (1125, 1500, 3)
    assert photos.size(phone) == size
    monkeypatch.setattr(photos, "MANY_PIXELS", 9_000)
    with pytest.raises(photos.PhotoError, match=r"100 x 100 pixels in .* bytes are a decompression bomb"):
        photos.read(encoded(Image.new("1", (100, 100))))


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
