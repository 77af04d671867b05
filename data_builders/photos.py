"""Opens photos that nobody has checked: the one place that does. Pillow and NumPy only, as reading processes import it.

Only JPEG, PNG, WebP and AVIF files are opened, and HEIC files where pillow-heif is installed, whatever a file is
called. A file that is broken, cut short or too large is refused with a PhotoError before its pixels can fill the
memory, and a file of another format with its name.
"""

import io
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, features

try:
    import pillow_heif
except ImportError:  # the extra `photos` brings it
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

FORMATS = ("JPEG", "PNG", "WEBP", *["AVIF"] * bool(features.check("avif")), *["HEIF"] * bool(pillow_heif))
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
_REMEDIES = {
    "HEIC": "pip install pillow-heif opens it",
    "AVIF": "a newer Pillow opens it",
    "video": "give a photo",
}
_BRANDS = {  # of files that are a container, by the first brand
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"M4V ", b"qt  "), "video"),
    b"crx ": "camera raw",
}
_BEGINNINGS = {  # of files in other formats
    b"GIF8": "GIF",
    b"II*\0": "TIFF or camera raw",
    b"MM\0*": "TIFF or camera raw",
    b"BM": "BMP",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "Photoshop",
    b"FUJIFILM": "camera raw",
    b"%PDF": "PDF",
    b"<": "text, such as a web page,",
    b"{": "text, such as JSON,",
}
_SIDEWAYS = (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])  # width and height change places
_FILTERS = threading.Lock()  # Python's warning filters belong to the whole process, and photos are read in threads


PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20  # bytes: editors write long texts, which Pillow alone refuses above 1 MB


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
        return turned(image)


def turned(image: Image.Image) -> Image.Image:
    """A decoded photo in mode RGB, turned as its EXIF says."""
    turn = _turn(image)
    return _rgb(image.copy() if turn is None else image.transpose(turn))


def read(photo: bytes | Path, *, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """The whole photo, `upright`, as uint8 [H, W, 3]. Raises PhotoError as `stored` does."""
    return np.asarray(upright(photo, most_pixels=most_pixels))


def read_near(photo: bytes | Path, near: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The photo as `read` gives it, and (width, height) of the whole photo, upright. Raises PhotoError as `stored`.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides stay at least `near` pixels long.
    """
    pixels = np.asarray(upright(photo, near=near))
    with _named(photo):
        with quiet():
            header = Image.open(_source(photo), formats=FORMATS)
        with header:
            if not near or header.format != "JPEG":  # other formats are decoded whole
                return pixels, (pixels.shape[1], pixels.shape[0])
            width, height = header.size
            return pixels, (height, width) if _turn(header) in _SIDEWAYS else (width, height)


def other_format(start: bytes) -> str:
    """The format of a file that is not opened here, such as "GIF" or "HEIC"; "" if it is opened or is not known.

    Args:
      start: the file's first bytes, 64 of them or more.
    """
    if start[4:8] == b"ftyp":
        found = "AVIF" if b"avif" in start[8:64] else _BRANDS.get(start[8:12], "")
        return "" if found.replace("HEIC", "HEIF") in FORMATS else found
    start = start.lstrip(b"\xef\xbb\xbf \r\n")
    return next((name for beginning, name in _BEGINNINGS.items() if start.startswith(beginning)), "")


def head(path: Path) -> bytes:
    """The first 64 bytes of a file; b"" if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(64)
    except OSError:
        return b""


def remedy(name: str) -> str:
    """What to do about a photo in a format that `other_format` names."""
    return _REMEDIES.get(name, "save it as JPEG")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to turn an image; None if its EXIF does not say, or is so odd that viewers pass over it."""
    try:
        with quiet():
            return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow answers odd EXIF with SyntaxError, ValueError, struct.error, ...
        return None


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
    """Turns what Pillow raises into a PhotoError that names the photo, and its format if that is the reason."""
    try:
        yield
    except Exception as error:  # Pillow answers a broken file with OSError, SyntaxError, ValueError, struct.error, ...
        what = f"image of {len(photo)} bytes" if isinstance(photo, bytes) else f"image: {photo}"
        if name := other_format(photo[:64] if isinstance(photo, bytes) else head(photo)):
            raise PhotoError(f"{name} is not supported here; {remedy(name)} ({what})") from error
        raise PhotoError(f"not a readable JPEG, PNG, WebP, AVIF or HEIC {what} ({error})") from error
