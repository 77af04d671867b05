"""Opens every image once before a build: can it be decoded, and what are its pHash and its file hash?

The two hashes find near-duplicates and equal files between test and train, for the build report. A file
that data_builders/photos.py does not open counts as unreadable.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import polars as pl
from PIL import Image
from tqdm import tqdm

from data_builders import photos
from data_builders.photo_colours import eight_bits
from third_party_ports.worker_process import map_in_processes

DRAFT_SIDE = 128  # px: pHash shrinks images to 32, so a JPEG is not decoded larger than this
SLICE = 128  # images that a process takes at a time
ALONE = 1024  # up to this many images, starting processes takes longer than it saves
SCHEMA = {"path": pl.String, "readable": pl.Boolean, "phash": pl.UInt64, "sha256": pl.Binary}

Probed = tuple[int, bytes] | None  # (64-bit pHash, sha256 of the file); None if unreadable


def probe(raw: Path, paths: Sequence[str], workers: int | None = None) -> pl.DataFrame:
    """Decodes each image once.

    Args:
      raw: the folder that the paths are relative to.
      paths: image paths; a repeated path is opened once.
      workers: processes; None: one per core.

    Returns:
      A row per path, in order of first mention: path, readable, phash (u64), sha256 (32 bytes). The hashes of an
      unreadable file are null.
    """
    unique = list(dict.fromkeys(paths))
    slices = [unique[i : i + SLICE] for i in range(0, len(unique), SLICE)]
    readable, phash, sha256 = [], [], []
    processes = min(workers or os.cpu_count() or 1, len(slices)) if len(unique) > ALONE else 1
    with tqdm(total=len(unique), unit="image", desc="probe images") as progress:
        for part in map_in_processes(partial(probe_slice, os.fspath(raw)), slices, processes=processes):
            readable.append(pl.Series([result is not None for result in part], dtype=pl.Boolean))
            phash.append(pl.Series([result and result[0] for result in part], dtype=pl.UInt64))
            sha256.append(pl.Series([result and result[1] for result in part], dtype=pl.Binary))
            progress.update(len(part))
    if not unique:
        return pl.DataFrame(schema=SCHEMA)
    columns = (pl.concat(parts) for parts in (readable, phash, sha256))
    return pl.DataFrame(dict(zip(SCHEMA, (pl.Series(unique), *columns), strict=True)), schema=SCHEMA)


def probe_slice(root: str, paths: Sequence[str]) -> list[Probed]:
    """`probe_file` of each path below root."""
    return [probe_file(f"{root}/{path}") for path in paths]


def probe_file(path: str) -> Probed:
    """The hashes of one image file; None if it is missing, broken, cut short, too large or of another format."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except OSError:
        return None
    return probe_bytes(data)


def probe_bytes(data: bytes) -> Probed:
    """The hashes of an image file with this content; None as in `probe_file`."""
    try:
        image = eight_bits(photos.stored(data, "L", near=DRAFT_SIDE))
    except photos.PhotoError:
        return None
    return phash(image), hashlib.sha256(data).digest()


def phash(image: Image.Image) -> int:
    """The 64-bit pHash of an image, which is best at least DRAFT_SIDE px wide and high."""
    with photos.quiet():
        bits = imagehash.phash(image).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")
