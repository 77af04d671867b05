"""Brings a decoded photo to 8 bits per channel, on white where it is transparent, and to sRGB.

The networks were trained on sRGB (ImageNet's and the paper's photos), and a number of another colour space means
another colour. An 8-bit photo that is opaque and in sRGB, as nearly all are, keeps its numbers bit for bit.
"""

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

SAME = 4  # levels of 255: profiles of sRGB differ by so much, all others by more
LARGEST_PROFILE = 4 << 20  # bytes
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of Pillow, by the profile's colour space
_WHITE_IS_ZERO = 0  # value of a TIFF's tag PhotometricInterpretation
_PHOTOMETRIC, _BITS = 262, 258  # tags of a TIFF


def is_deep(image: Image.Image) -> bool:
    """Whether an image has channels that are no whole numbers from 0 of at most 16 bits, as its file declares them.

    A TIFF of unsigned 16 bits has a mode of its own, so all others of the mode I have 32 bits, or signed 16.
    """
    return image.mode == "F" or (image.mode == "I" and isinstance(image, TiffImagePlugin.TiffImageFile))


def eight_bits(image: Image.Image) -> Image.Image:
    """A decoded image that is not `is_deep`, in the mode L, RGB or CMYK.

    16 bits are scaled to 8. Transparent parts show white, as on a page of paper.
    """
    if image.mode.startswith("I"):
        return _from_sixteen(image)
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")


def srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB, mode RGB.

    Args:
      image: what `eight_bits` returns.
      profile: the file's ICC profile. One that is broken, or of another kind of image, is passed over.
    """
    found = _transform(profile) if profile and len(profile) <= LARGEST_PROFILE else None
    if found is None or (found[0] == "CMYK") != (image.mode == "CMYK"):
        return image if image.mode == "RGB" else image.convert("RGB")
    mode, transform = found
    converted = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
    assert converted is not None  # None only where it works in place
    return converted


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode that a profile is for, and the way to sRGB; None if it is broken, or is sRGB itself."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        header: Any = opened.profile
        mode = _MODES[header.xcolor_space.strip()]
        transform = ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
        colours = _colours(mode)
        found = ImageCms.applyTransform(colours, transform)
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError, TypeError):
        return None
    assert found is not None
    difference = np.abs(np.asarray(found, np.int16) - np.asarray(colours.convert("RGB"), np.int16)).max()
    return None if mode != "CMYK" and difference <= SAME else (mode, transform)


def _colours(mode: str) -> Image.Image:
    """An image with many colours of a mode."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[steps] * len(mode), indexing="ij"), axis=-1).reshape(1, -1, len(mode))
    return Image.fromarray(np.ascontiguousarray(grid), mode)


def _on_white(image: Image.Image) -> Image.Image:
    shown: Any = image.info.get("transparency")
    if isinstance(shown, tuple) and max(shown) > 255:  # of a PNG of 16 bits, whose pixels are 8 bits by now
        image.info["transparency"] = tuple(value >> 8 for value in shown)
    if image.mode == "La":
        image = image.convert("LA")
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


def _from_sixteen(image: Image.Image) -> Image.Image:
    """A gray image of 16 bits (of 12 in some TIFFs) in 8; Pillow alone would clip it at 255."""
    tags = getattr(image, "tag_v2", {})
    bits: Any = tags.get(_BITS, 16)
    values = np.asarray(image)
    gray = (values >> ((bits[0] if isinstance(bits, tuple) else bits) - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        gray = 255 - gray
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray[values == transparent] = 255
    return Image.fromarray(gray)
