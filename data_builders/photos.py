"""Opens photos that nobody has checked: the one place that does. Pillow and NumPy only, as reading processes import it.

Only JPEG, PNG and WebP files are opened, whatever a file is called. A file that is broken, cut short or too large is
refused with a PhotoError before its pixels can fill the memory.
"""

import io
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, features

FORMATS = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 0  # 89 million: above it Pillow warns of a decompression bomb
MISSING, UNREADABLE, TOO_NARROW = "image missing", "image unreadable", "image too narrow"  # reasons to leave one out

_TURNS = {  # by the EXIF tag Orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS = threading.Lock()  # Python's warning filters belong to the whole process, and photos are read in threads


class PhotoError(ValueError):
    """A file is not a photo that this project reads; the message says why."""


def versions() -> dict[str, str]:
    """Versions of what decodes and resizes photos here, by library. Another version may give other pixels."""
    found = {name: features.version(name) for name in ("libjpeg_turbo", "webp")}
    return {"pillow": features.version("pil") or "", **{name: version for name, version in found.items() if version}}


def mixture(decoded_with: Iterable[Mapping[str, str]]) -> str:
    """Says that photos were decoded by different versions of a library.

    Args:
      decoded_with: sets of versions, as `versions` returns them; {} stands for unknown ones.

    Returns:
      Each set of versions in words, such as "pillow 12.3.0, webp 1.6.0; pillow 11.0.0"; "" if there is only one.
    """
    sets = dict.fromkeys(", ".join(f"{name} {v}" for name, v in found.items()) or "unknown" for found in decoded_with)
    return "; ".join(sets) if len(sets) > 1 else ""


@contextmanager
def quiet() -> Iterator[None]:
    """Hides Pillow's warnings of odd EXIF and the like, which do no harm to the pixels. Keep the block short."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def size(photo: bytes | Path) -> tuple[int, int]:
    """(width, height) in pixels as the file stores them, not turned. Reads only the file's header.

    Raises:
      PhotoError: the header is broken, or of another format.
    """
    with _named(photo), quiet(), Image.open(_source(photo), formats=FORMATS) as image:
        return image.size


def stored(photo: bytes | Path, mode: str = "RGB", *, near: int = 0, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decodes a photo as the file stores it: not turned, in the file's own mode.

    Args:
      photo: the file's content, or its path.
      mode: "RGB" or "L", what a JPEG decodes to when it is decoded small.
      near: pixels. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides stay at least this long;
        0 decodes it whole.
      most_pixels: a photo of more pixels is refused.

    Raises:
      PhotoError: the file is missing, broken, cut short, too large or of another format.
    """
    with _named(photo):
        with quiet():
            image = Image.open(_source(photo), formats=FORMATS)
        with image:
            if image.width * image.height > most_pixels:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {most_pixels}")
            if near:
                image.draft(mode, (near, near))
            image.load()
        return image


def upright(photo: bytes | Path, *, near: int = 0, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decodes a photo in mode RGB, turned as its EXIF says. Transparent parts keep the colour that the file holds.

    Args and errors are those of `stored`.
    """
    image = stored(photo, near=near, most_pixels=most_pixels)
    with _named(photo):
        with quiet():
            turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return _rgb(image.copy() if turn is None else image.transpose(turn))


def read(photo: bytes | Path, *, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """The whole photo, `upright`, as uint8 [H, W, 3]. Raises PhotoError as `stored` does."""
    return np.asarray(upright(photo, most_pixels=most_pixels))


def read_near(photo: bytes | Path, near: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The photo as `read` gives it, and (width, height) of the whole photo, upright. Raises PhotoError as `stored`.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides stay at least `near` pixels long.
    """
    pixels = np.asarray(upright(photo, near=near))
    with _named(photo), quiet(), Image.open(_source(photo), formats=FORMATS) as image:
        if not near or image.format != "JPEG":  # other formats are decoded whole
            return pixels, (pixels.shape[1], pixels.shape[0])
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return pixels, image.size[::-1] if turned else image.size


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "P":  # a palette with transparency warns unless it goes through RGBA
        image = image.convert("RGBA")
    elif image.mode.startswith("I"):  # 16-bit gray: Pillow would clip it at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def _source(photo: bytes | Path) -> io.BytesIO | Path:
    return io.BytesIO(photo) if isinstance(photo, bytes) else photo


@contextmanager
def _named(photo: bytes | Path) -> Iterator[None]:
    """Turns what Pillow raises into a PhotoError."""
    try:
        yield
    except Exception as error:  # Pillow answers a broken file with OSError, SyntaxError, ValueError, struct.error, ...
        what = f"image of {len(photo)} bytes" if isinstance(photo, bytes) else f"image: {photo}"
        raise PhotoError(f"not a readable JPEG, PNG or WebP {what} ({error})") from error
