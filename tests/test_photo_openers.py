"""Every place that opens a photo sees the same picture: the right way up, in the same colours, or refuses it."""

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_builders import photos
from data_builders.features import inputs
from data_builders.top3000 import inspection, probe
from data_builders.top3000.examples import image_bytes
from ipa_jax.applications.shots import read_shot
from ipa_jax.applications.thumbnails import thumbnail
from ipa_jax.human_study.photo import plain
from ipa_jax.input.photos import decode, decode_whole
from ipa_jax.report.examples import data_uri
from tests.helpers.icc_profiles import in_srgb, rgb_profile

TOP, BOTTOM = (200, 120, 60), (60, 80, 100)  # of the upright picture, 48 px wide and 64 high


def picture(width: int = 48, height: int = 64) -> Image.Image:
    image = Image.new("RGB", (width, height), TOP)
    image.paste(BOTTOM, (0, height // 2, width, height))
    return image


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def lying(kind: str) -> bytes:
    """The picture as a camera stores it that was turned, beside an exposure bias of -1/0, which is no number."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x9204, 10, 1, 38)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<Iii", 0, -1, 0)
    return saved(picture().transpose(Image.Transpose.ROTATE_90), kind, exif=exif, quality=95)


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """The picture as a PNG with one more chunk."""
    png = saved(picture(), "PNG")
    at = png.index(b"IDAT") - 4
    return png[:at] + struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) + png[at:]


def see_through() -> bytes:
    """The upper half is transparent, with black below it."""
    image = picture().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 48, 32))
    return saved(image, "PNG")


def gray(dtype: type, kind: str) -> bytes:
    values = np.zeros((64, 48), dtype)
    values[:32], values[32:] = 200 << (8 * (dtype is np.uint16)), 60 << (8 * (dtype is np.uint16))
    return saved(Image.fromarray(values), kind)


GRAY = (200,) * 3, (60,) * 3
WIDE = tuple(tuple(in_srgb(np.array(colour), "Display P3", 2.2).tolist()) for colour in (TOP, BOTTOM))
PHOTOS = {  # name: (file, upper and lower colour)
    "JPEG": (saved(picture(), "JPEG", quality=95), (TOP, BOTTOM)),
    "turned JPEG": (lying("JPEG"), (TOP, BOTTOM)),
    "turned WebP": (lying("WEBP"), (TOP, BOTTOM)),
    "MPO": (saved(picture(), "MPO", quality=95, save_all=True, append_images=[picture()]), (TOP, BOTTOM)),
    "CMYK": (saved(picture().convert("CMYK"), "JPEG", quality=95), (TOP, BOTTOM)),
    "TIFF": (saved(picture(), "TIFF", compression="tiff_lzw"), (TOP, BOTTOM)),
    "palette": (saved(picture().quantize(2), "PNG"), (TOP, BOTTOM)),
    "transparent": (see_through(), ((255,) * 3, BOTTOM)),
    "gray": (gray(np.uint8, "PNG"), GRAY),
    "16-bit gray PNG": (gray(np.uint16, "PNG"), GRAY),
    "16-bit gray TIFF": (gray(np.uint16, "TIFF"), GRAY),
    "wide gamut": (saved(picture(), "PNG", icc_profile=rgb_profile("Display P3")), WIDE),
    "broken profile": (saved(picture(), "PNG", icc_profile=b"none"), (TOP, BOTTOM)),
    "broken eXIf": (with_chunk(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"), (TOP, BOTTOM)),
    "raw profile": (with_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n      10\nzzzznothex\n"), (TOP, BOTTOM)),
    "3 MB of text": (with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 3_000_000)), (TOP, BOTTOM)),
}
OPENERS: dict[str, Callable[[bytes, Path], bytes | np.ndarray]] = {
    "extraction": lambda photo, file: photos.read_near(file, 16)[0],
    "build": lambda photo, file: image_bytes(file, 32),
    "training": lambda photo, file: decode(photo, 32),
    "peers": lambda photo, file: decode_whole(photo),
    "inspect": lambda photo, file: base64.b64decode(inspection.thumbnail(photo).partition(",")[2]),
    "report": lambda photo, file: base64.b64decode(data_uri(photo).partition(",")[2]),
    "human study": lambda photo, file: plain(photo),
    "rank and serve": lambda photo, file: thumbnail(file, 32),
    "shots": lambda photo, file: np.repeat(np.asarray(read_shot(photo).gray)[..., None], 3, axis=2),
}
REFUSED = {
    "GIF": saved(picture(), "GIF"),
    "float TIFF": saved(Image.new("F", (48, 64)), "TIFF"),
    "cut JPEG": saved(picture(480, 640), "JPEG")[:2000],
    "empty": b"",
    "web page": b"<!DOCTYPE html><html>",
}


@pytest.mark.parametrize("name", PHOTOS)
def test_all_see_the_same(name, tmp_path):
    photo, (top, bottom) = PHOTOS[name]
    (tmp_path / "a").write_bytes(photo)
    assert probe.probe_bytes(photo) is not None
    seen = inputs.Prepare(tmp_path, {}, ())(inputs.Image("me", "a", "a"))
    assert (seen.reason, seen.width, seen.height) == ("", 48, 64)
    for opener, see in OPENERS.items():
        shown = see(photo, tmp_path / "a")
        pixels = np.asarray(Image.open(io.BytesIO(shown)).convert("RGB") if isinstance(shown, bytes) else shown)
        height, width = pixels.shape[:2]
        for row, colour in ((height // 4, top), (3 * height // 4, bottom)):
            wanted = np.array(Image.new("RGB", (1, 1), colour).convert("L" if opener == "shots" else "RGB")).ravel()
            found = pixels[row, width // 2].astype(int)
            assert np.abs(found - wanted).max() <= 6, (opener, row, found, wanted)


@pytest.mark.parametrize("name", REFUSED)
def test_all_refuse_the_same(name, tmp_path):
    photo = REFUSED[name]
    (tmp_path / "a").write_bytes(photo)
    assert probe.probe_bytes(photo) is None
    assert inputs.Prepare(tmp_path, {}, ())(inputs.Image("me", "a", "a")).reason == photos.UNREADABLE
    for see in OPENERS.values():
        with pytest.raises(ValueError, match="image"):
            see(photo, tmp_path / "a")
