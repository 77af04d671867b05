"""Names the format of a file by its first bytes, so that whoever gave a file that is no photo is told what it is."""

from pathlib import Path

HEAD = 132  # bytes that name a format
TEXT = 64  # bytes that tell whether a file is text
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff")  # of what is opened

_REMEDIES = {
    "HEIC": "pip install pillow-heif opens it",
    "AVIF": "a newer Pillow opens it",
    "video": "give a photo",
    "an empty file": "copy or download it again",
    "a file of zeros": "copy or download it again",
    "a file that Git LFS has not fetched": "run git lfs pull",
    "a file that git-annex has not fetched": "run git annex get",
    "a Mac's side file": "delete it, it is no photo",
    **dict.fromkeys(("text", "text, such as a web page,", "text, such as JSON,"), "download the photo itself"),
}
_BRANDS = {  # of files that are a container, by the first brand
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "camera raw",
}
_RAW_OR_TIFF = "camera raw or an unusual TIFF"
_BEGINNINGS = {  # of files in other formats; the first that fits
    b"GIF8": "GIF",
    b"II*\0\x10\0\0\0CR": "camera raw",
    b"II*\0": _RAW_OR_TIFF,
    b"MM\0*": _RAW_OR_TIFF,
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    **dict.fromkeys((b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILM", b"FOVb", b"\0MRM"), "camera raw"),
    b"BM": "BMP",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"8BPB": "Photoshop",
    b"gimp xcf": "GIMP",
    b"\0\0\1\0": "an icon",
    b"v/1\1": "OpenEXR",
    b"#?R": "Radiance HDR",
    **dict.fromkeys((b"P%d%c" % (kind, blank) for kind in range(1, 8) for blank in b"\n\r "), "PPM"),
    b"\0\5\x16\7": "a Mac's side file",
    b"\x1aE\xdf\xa3": "video",
    b"\0\0\1\xba": "video",
    b"FLV\1": "video",
    b"0&\xb2u": "video",
    b"PK\3\4": "a packed file (zip)",
    b"\x1f\x8b": "a packed file (gzip)",
    b"7z\xbc\xaf\x27\x1c": "a packed file (7z)",
    b"Rar!": "a packed file (rar)",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"version https://git-lfs": "a file that Git LFS has not fetched",
    b"/annex/objects/": "a file that git-annex has not fetched",
    b"<": "text, such as a web page,",
    b"{": "text, such as JSON,",
    b"[": "text, such as JSON,",
}
_OPENED = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG"}  # and RIFF....WEBP


def other_format(start: bytes, opened: tuple[str, ...] = ()) -> str:
    """The name of the format of a file that could not be opened, such as "GIF" or "HEIC"; "" if it is not known, or is
    one of those that are opened.

    Args:
      start: the file's first HEAD bytes.
      opened: Pillow's names of formats that are opened.
    """
    if start[4:8] == b"ftyp":
        found = "AVIF" if b"avif" in start[8:] else _BRANDS.get(start[8:12], "video")
        return "" if found.replace("HEIC", "HEIF") in opened else found
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "video"
    if start[128:132] == b"DICM":
        return "DICOM"
    if not start.strip(b"\0"):
        return "a file of zeros" if start else "an empty file"
    start = start.removeprefix(b"\xef\xbb\xbf")
    for text in (start, start.lstrip(b" \r\n\t")):
        if found := next((name for beginning, name in _BEGINNINGS.items() if text.startswith(beginning)), ""):
            return found
    start = start[:TEXT]
    is_text = start.isascii() and start.decode().translate({ord(blank): None for blank in "\r\n\t"}).isprintable()
    return "text" if is_text and not opened_format(start) else ""


def opened_format(start: bytes) -> str:
    """JPEG, PNG or WebP by a file's first bytes; "" for all others."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    return next((name for beginning, name in _OPENED.items() if start.startswith(beginning)), "")


def head(path: Path) -> bytes | None:
    """The first HEAD bytes of a file; None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return None


def remedy(name: str) -> str:
    """What to do about a photo in a format that `other_format` names."""
    return _REMEDIES.get(name, "save it as JPEG")
