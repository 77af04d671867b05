import io

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from data_builders.photos import PhotoError
from data_builders.top3000.probe import probe_bytes
from ipa_jax.applications.shots import read_shot

TAGS = ExifTags.Base


def jpeg(shot: dict | None = None, exif: bytes | None = None) -> bytes:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
    tags = Image.Exif()
    tags[TAGS.Make], tags[TAGS.Model] = "Acme", "One"
    tags.get_ifd(ExifTags.IFD.Exif).update(shot or {})
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=tags.tobytes() if exif is None else exif)
    return buffer.getvalue()


def test_what_the_camera_wrote_is_read():
    content = jpeg(
        {
            TAGS.DateTimeOriginal: "1970:01:02 00:00:01",
            TAGS.SubsecTimeOriginal: "25",
            TAGS.ExposureMode: 2,
            TAGS.ExposureBiasValue: IFDRational(-2, 3),
            TAGS.ExposureTime: IFDRational(1, 100),
            TAGS.FNumber: IFDRational(8),
            TAGS.ISOSpeedRatings: 200,
            TAGS.FocalLength: IFDRational(35),
        }
    )
    shot = read_shot(content)
    probed = probe_bytes(content)
    assert probed is not None and shot.phash == probed[0]
    assert shot.gray is not None and shot.gray.shape == (64, 64)
    assert shot.taken == 86401.25 and shot.camera == "Acme One" and shot.exposure_mode == 2
    assert shot.exposure_bias == pytest.approx(-2 / 3) and shot.exposure == (0.01, 8, 200, 35)


@pytest.mark.parametrize(
    "exif",
    [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\0" * 60],
)
def test_broken_exif_counts_as_none(exif):
    shot = read_shot(jpeg(exif=exif))
    assert (shot.taken, shot.camera, shot.exposure) == (None, "", None)


def test_odd_values_count_as_none():
    odd = {
        TAGS.DateTimeOriginal: "0000:00:00 00:00:00",
        TAGS.ExposureBiasValue: IFDRational(1, 0),
        TAGS.ExposureMode: 1,
    }
    shot = read_shot(jpeg(odd))
    assert (shot.taken, shot.exposure_bias, shot.exposure_mode, shot.exposure) == (None, None, 1, None)


def test_no_photo_is_an_error():
    with pytest.raises(PhotoError):
        read_shot(b"no photo")
