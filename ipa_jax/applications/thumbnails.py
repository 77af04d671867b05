"""Small JPEGs of photos for pages, kept beside the features, so that a page is made again in no time."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from data_builders import photos
from third_party_ports.files import write_bytes

QUALITY = 78  # of the JPEG


def thumbnail(photo: bytes | Path, side: int) -> bytes:
    """A JPEG of the photo, upright, its longer side at most `side` pixels. Raises PhotoError as `photos.stored`."""
    image = photos.upright(photo, near=side)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def thumbnails(files: Sequence[Path], digests: Sequence[str], side: int, folder: Path) -> list[bytes]:
    """The thumbnail of each file, from the folder if it is there already.

    Args:
      files: the photos.
      digests: sha256 of each file's content, which names its thumbnail.
      side: pixels of the longer side.
      folder: where thumbnails are kept; it is made.

    Raises:
      PhotoError: as `thumbnail`.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def one(file: Path, digest: str) -> bytes:
        kept = folder / f"{digest[:32]}-{side}.jpg"
        if kept.is_file():
            return kept.read_bytes()
        small = thumbnail(file, side)
        write_bytes(kept, small)
        return small

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, files, digests))
