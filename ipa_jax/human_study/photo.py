"""A stored photo as participants get it: the picture without its metadata."""

import io

from data_builders.photos import upright

SIDE = 1440  # px of the longer side: a photo takes half the width of a screen
QUALITY = 90


def plain(photo: bytes) -> bytes:
    """Encodes a photo again, as an upright JPEG without EXIF, profile, comment or name.

    Raises:
      PhotoError: the file has another format, or is broken.
    """
    shown = upright(photo, near=SIDE)
    shown.thumbnail((SIDE, SIDE))
    shown.info.clear()  # or Pillow copies the comment
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
