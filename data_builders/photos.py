"""Opens photos that nobody has checked: the one place that does. Pillow and NumPy only, as reading processes import it.

Only JPEG, PNG, WebP, AVIF and TIFF files are opened, and HEIC files where pillow-heif is installed, whatever a file is
called. A file that is broken, cut short or too large is refused with a PhotoError before its pixels can fill the
memory, and a file of another format with its name. What one function here opens, all others open.
"""

import io
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, features

from data_builders import photo_formats
from data_builders.photo_colours import eight_bits, is_deep, srgb

try:
    import pillow_heif
except ImportError:  # the extra `photos` brings it
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", *["AVIF"] * bool(features.check("avif")), *["HEIF"] * bool(pillow_heif))
MISSING, UNREADABLE, TOO_NARROW = "image missing", "image unreadable", "image too narrow"  # reasons to leave one out
MAX_ASPECT = 100  # a narrower photo is left out: shrunk to a network's input it shows nothing
MOST_PIXELS = 200_000_000  # phones take up to that many
MANY_PIXELS = 89_478_485  # above it Pillow warns of a decompression bomb,
PIXELS_PER_BYTE = 100  # and a file that is smaller than its pixels suggest is one here

_TURNS = {  # by the EXIF tag Orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8])  # width and height change places
_RAW_TAGS = (330, 50706)  # SubIFDs and DNGVersion: the TIFF is camera raw, whose first picture is a small preview
_JPEG = b"\xff\xd8\xff"
_ENDS = (
    b"\xff\xd9",
    b"\xff\0" + b"\xaa\x55" * 8 + b"\xff\xd9",
)  # the marker of a JPEG's end, alone and after other data
_FILTERS = threading.Lock()  # Python's warning filters belong to the whole process, and photos are read in threads


# Bytes of a text, and of all texts: editors write long ones, which Pillow alone refuses above 1 MB. None is kept.
PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20, 256 << 20
Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # what is larger is refused here, and above twice as much by Pillow


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
      PhotoError: the header is broken or of another format, or the photo is too large.
    """
    with _named(photo), quiet(), Image.open(_source(photo), formats=FORMATS) as image:
        _refuse(image, photo)
        return image.size


def stored(photo: bytes | Path, mode: str = "RGB", *, near: int = 0) -> Image.Image:
    """Decodes a photo as the file stores it: not turned, in the file's own mode and colours.

    Args:
      photo: the file's content, or its path.
      mode: "RGB" or "L", what a JPEG decodes to when it is decoded small.
      near: pixels. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides stay at least this long;
        0 decodes it whole.

    Raises:
      PhotoError: the file is missing, broken, cut short, too large or of another format.
    """
    return _decoded(photo, mode, near)[0]


def upright(photo: bytes | Path, *, near: int = 0) -> Image.Image:
    """Decodes a photo as it looks: turned by its EXIF (not by XMP), in sRGB, mode RGB, white where transparent.

    Args and errors are those of `stored`.
    """
    image = stored(photo, near=near)
    with _named(photo):
        return _plain(_shown(image))


def turned(image: Image.Image) -> Image.Image:
    """A photo that `stored` decoded, as `upright` gives it. `image` stays as it is."""
    shown = _shown(image)
    return _plain(image.copy() if shown is image else shown)


def _shown(image: Image.Image) -> Image.Image:
    """A decoded photo in sRGB and turned; `image` itself if it is so already: a copy takes time."""
    turn = _turn(image)
    shown = srgb(eight_bits(image), image.info.get("icc_profile"))
    return shown if turn is None else shown.transpose(turn)


def _plain(shown: Image.Image) -> Image.Image:
    for name in ("icc_profile", "transparency"):  # neither holds any more
        shown.info.pop(name, None)
    return shown


def read(photo: bytes | Path) -> np.ndarray:
    """The whole photo, `upright`, as uint8 [H, W, 3]. Raises PhotoError as `stored` does."""
    return np.asarray(upright(photo))


def read_near(photo: bytes | Path, near: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The photo as `read` gives it, and (width, height) of the whole photo, upright. Raises PhotoError as `stored`.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as both sides stay at least `near` pixels long.
    """
    image, whole = _decoded(photo, "RGB", near)
    with _named(photo):
        pixels = np.asarray(_shown(image))
    if whole is None:  # it was not decoded small
        return pixels, (pixels.shape[1], pixels.shape[0])
    return pixels, (whole[1], whole[0]) if _turn(image) in _SIDEWAYS else whole


def is_too_narrow(width: int, height: int) -> bool:
    """Whether a photo of this size is left out as TOO_NARROW."""
    return max(height, width) > MAX_ASPECT * min(height, width)


def format_of(path: Path) -> str:
    """The format of a file that could not be opened, such as "GIF" or "HEIC"; "" if it is not known."""
    start = photo_formats.head(path)
    return "" if start is None else photo_formats.other_format(start, FORMATS)


def _decoded(photo: bytes | Path, mode: str, near: int) -> tuple[Image.Image, tuple[int, int] | None]:
    """What `stored` returns, and the (width, height) of the whole photo if a JPEG was decoded small."""
    with _named(photo):
        try:
            return _opened(photo, mode, near)
        except OSError:
            if (found := _without_end(photo, mode, near)) is None:
                raise
            return found


def _opened(photo: bytes | Path, mode: str, near: int) -> tuple[Image.Image, tuple[int, int] | None]:
    with quiet():
        image = Image.open(_source(photo), formats=FORMATS)
    with image:
        _refuse(image, photo)
        image.info.pop("xmp", None)  # Pillow turns a TIFF as its XMP says
        whole = image.size
        small = image.draft(mode, (near, near)) if near else None
        image.load()
    return image, None if small is None else whole


def _without_end(photo: bytes | Path, mode: str, near: int) -> tuple[Image.Image, tuple[int, int] | None] | None:
    """What `_decoded` returns for a JPEG that lacks only its end marker; None for all others.

    Nothing is missing from its pixels if they stay the same whatever follows. The whole photo in colour decides it:
    a smaller or grey one may not need what is missing, and all ways to open a photo must agree.
    """
    start = photo[: len(_JPEG)] if isinstance(photo, bytes) else photo_formats.head(photo)
    if start is None or not start.startswith(_JPEG):
        return None
    content = photo if isinstance(photo, bytes) else photo.read_bytes()
    try:
        one, other = (_opened(content + end, "RGB", 0)[0] for end in _ENDS)
        return _opened(content + _ENDS[0], mode, near) if one.tobytes() == other.tobytes() else None
    except OSError:
        return None


def _refuse(image: Image.Image, photo: bytes | Path) -> None:
    """Raises PhotoError for what Pillow would open, by what it says before its pixels are decoded."""
    pixels = image.width * image.height
    file_bytes = len(photo) if isinstance(photo, bytes) else photo.stat().st_size
    size = f"{image.width} x {image.height} pixels"
    if pixels > MOST_PIXELS:
        raise PhotoError(f"{size}, more than {MOST_PIXELS:,} ({_described(photo)})")
    if pixels > MANY_PIXELS and pixels > PIXELS_PER_BYTE * file_bytes:
        raise PhotoError(f"{size} in {file_bytes:,} bytes are a decompression bomb ({_described(photo)})")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and any(tag in image.tag_v2 for tag in _RAW_TAGS):
        raise PhotoError(_not_supported("camera raw", photo))
    if is_deep(image):
        raise PhotoError(f"channels of more than 16 bits, or signed ones; save it with 8 or 16 ({_described(photo)})")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to turn an image; None if its EXIF does not say, or is so odd that viewers pass over it."""
    if image.format == "JPEG" and not {"exif", "xmp"} & image.info.keys():
        return None  # as most photos from the web: to ask Pillow takes longer
    try:
        with quiet():
            exif = Image.Exif()  # not image.getexif(), which asks the XMP too
            hexadecimal = image.info.get("Raw profile type exif", "").split("\n")[3:]  # of a PNG
            exif.load(image.info.get("exif") or bytes.fromhex("".join(hexadecimal)))
            return _TURNS.get(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow answers odd EXIF with SyntaxError, ValueError, struct.error, ...
        return None


def _source(photo: bytes | Path) -> io.BytesIO | Path:
    return io.BytesIO(photo) if isinstance(photo, bytes) else photo


@contextmanager
def _named(photo: bytes | Path) -> Iterator[None]:
    """Turns what Pillow raises into a PhotoError that names the photo, and its format if that is the reason."""
    try:
        yield
    except PhotoError:
        raise
    except Exception as error:  # Pillow answers a broken file with OSError, SyntaxError, ValueError, struct.error, ...
        start = photo[: photo_formats.HEAD] if isinstance(photo, bytes) else photo_formats.head(photo)
        if start is not None and (name := photo_formats.other_format(start, FORMATS)):
            raise PhotoError(_not_supported(name, photo)) from error
        known = photo_formats.opened_format(start or b"") or "JPEG, PNG, WebP, AVIF, TIFF or HEIC"
        why = "what it holds is damaged" if "cannot identify" in str(error) else error  # Pillow names a memory address
        raise PhotoError(f"not a readable {known} {_described(photo)} ({why}): save or download it again") from error


def _not_supported(name: str, photo: bytes | Path) -> str:
    return f"{name} is not supported here; {photo_formats.remedy(name)} ({_described(photo)})"


def _described(photo: bytes | Path) -> str:
    return f"image of {len(photo)} bytes" if isinstance(photo, bytes) else f"image: {photo}"
