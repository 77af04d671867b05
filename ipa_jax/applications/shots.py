"""What tells photos of one moment from others: pHash, a small gray copy, and what the camera wrote about the shot."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from data_builders import photos
from data_builders.top3000.probe import DRAFT_SIDE, phash

SIDE = 64  # px of the gray copy
MOST_EXIF = 1 << 20  # bytes; more is not read


@dataclass(frozen=True)
class Shot:
    """One photo, as far as units are concerned. What the file does not say is None.

    Attributes:
      phash: 64 bits.
      gray: uint8 [64, 64], the photo upright and squeezed; None leaves it out of panorama sets.
      taken: seconds of the camera's clock, with fractions where the camera writes them.
      camera: maker and model, "" if unknown.
      exposure_mode: EXIF ExposureMode: 0 auto, 1 manual, 2 auto bracket.
      exposure_bias: EXIF ExposureBiasValue, in EV.
      exposure: exposure time (s), f-number, ISO, focal length (mm).
    """

    phash: int
    gray: np.ndarray | None = None
    taken: float | None = None
    camera: str = ""
    exposure_mode: int | None = None
    exposure_bias: float | None = None
    exposure: tuple[float, float, float, float] | None = None


def read_shot(content: bytes) -> Shot:
    """Reads a photo file. Broken EXIF counts as none.

    Raises:
      PhotoError: the photo cannot be decoded.
    """
    image = photos.stored(content, near=DRAFT_SIDE)
    upright = photos.turned(image)  # a phone's photo and its edited copy are often turned in different ways
    small = upright.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return Shot(phash=phash(upright), gray=np.asarray(small), **_camera(image))


def _camera(image: Image.Image) -> dict[str, Any]:
    """The fields of Shot that EXIF gives."""
    if len(image.info.get("exif", b"")) > MOST_EXIF:
        return {}
    try:
        with photos.quiet():
            exif = image.getexif()
            names, shot = dict(exif), exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # Pillow raises whatever the broken bytes lead to; without EXIF a photo is still a photo
        return {}
    tags = ExifTags.Base
    mode = _number(shot.get(tags.ExposureMode))
    of_shot = (tags.ExposureTime, tags.FNumber, tags.ISOSpeedRatings, tags.FocalLength)
    numbers = [number for tag in of_shot if (number := _number(shot.get(tag))) is not None]
    return {
        "taken": _taken(shot),
        "camera": " ".join(str(names[tag]).strip("\0 ") for tag in (tags.Make, tags.Model) if tag in names),
        "exposure_mode": None if mode is None else int(mode),
        "exposure_bias": _number(shot.get(tags.ExposureBiasValue)),
        "exposure": tuple(numbers) if len(numbers) == len(of_shot) else None,
    }


def _taken(shot: Mapping[int, Any]) -> float | None:
    text = str(shot.get(ExifTags.Base.DateTimeOriginal, "")).strip("\0 ")
    try:
        seconds = datetime.strptime(text, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    fraction = str(shot.get(ExifTags.Base.SubsecTimeOriginal, "")).strip("\0 ")
    return seconds + (float(f"0.{fraction}") if fraction.isascii() and fraction.isdigit() else 0)


def _number(value: Any) -> float | None:
    """A finite number from what EXIF holds, the first of several; None for anything else."""
    first: Any = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None
