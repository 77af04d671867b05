"""What a photo tells besides its picture."""

import io

import pytest
from PIL import Image

from ipa_jax.human_study.photo import plain


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_goes_without_its_metadata(kind):
    exif = Image.Exif()
    exif[0x010E] = "SECRET description, 1234 likes"
    exif[0x0112] = 6  # to be turned a quarter
    image = Image.new("RGB", (40, 20), (200, 30, 30))
    image.paste((30, 30, 200), (0, 0, 20, 20))
    out = io.BytesIO()
    text = {"comment": b"SECRET comment"} if kind == "JPEG" else {}
    image.save(out, kind, exif=exif, icc_profile=b"SECRET profile", **text)
    assert b"SECRET" in out.getvalue()
    photo = plain(out.getvalue())
    assert b"SECRET" not in photo and b"Exif" not in photo
    with Image.open(io.BytesIO(photo)) as shown:
        assert (shown.format, shown.size) == ("JPEG", (20, 40))
        assert not shown.getexif() and not set(shown.info) & {"exif", "icc_profile", "comment", "xmp"}
        assert shown.getpixel((10, 2))[2] > 150 and shown.getpixel((10, 38))[0] > 150  # upright


def test_large_photos_become_a_screens_size_and_others_stay():
    for size, wanted in (((3000, 1500), (1440, 720)), ((24, 24), (24, 24))):
        out = io.BytesIO()
        Image.new("P", size).save(out, "PNG")
        with Image.open(io.BytesIO(plain(out.getvalue()))) as shown:
            assert shown.size == wanted
