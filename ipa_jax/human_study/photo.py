"""A stored photo as a participant gets it: the picture and nothing else."""

import io

from PIL import Image, ImageOps

from data_builders.photos import rgb
from ipa_jax.input.photos import FORMATS

SIDE = 1440  # px, the longer one: no screen shows more of half its width
QUALITY = 90


def plain(photo: bytes) -> bytes:
    """A JPEG, PNG or WebP file, upright and encoded anew as a JPEG without EXIF, profile, comment or name.

    Raises:
      OSError: not such a file, or broken.
    """
    with Image.open(io.BytesIO(photo), formats=FORMATS) as image:
        image.draft("RGB", (SIDE, SIDE))
        upright = rgb(ImageOps.exif_transpose(image))
    upright.thumbnail((SIDE, SIDE))
    upright.info.clear()  # Pillow would copy the comment
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
