"""A stored photo as a participant gets it: the picture and nothing else."""

import io

from data_builders.photos import upright

SIDE = 1440  # px, the longer one: no screen shows more of half its width
QUALITY = 90


def plain(photo: bytes) -> bytes:
    """A JPEG, PNG or WebP file, upright and encoded anew as a JPEG without EXIF, profile, comment or name.

    Raises:
      PhotoError: not such a file, or broken.
    """
    shown = upright(photo, near=SIDE)
    shown.thumbnail((SIDE, SIDE))
    shown.info.clear()  # Pillow would copy the comment
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
