"""Features of photo files, kept by what is in the files: an edited photo is another photo, a renamed one is the same.

The folder of a store holds a feature store (`store`) for each header that was asked for: networks, their weights and
options, and the decoders' versions. Other weights never mix with these. The key of a photo is the sha256 of its bytes.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from data_builders import photos
from data_builders.features import job
from data_builders.features.extraction import job_of
from data_builders.features.features import Features
from data_builders.features.inputs import Image, Inputs
from data_builders.features.reader import FeatureReader
from data_builders.features.rows import StoreError
from third_party_ports.files import cache_folder

ACCOUNT = "photos"  # every photo's account in the feature store
FOLDER = ".ipa_jax"  # beside a history
HASHING = 4  # threads
COLOURS = 2  # counts up when photos of odd colours (16 bits, transparent, wide gamut) are read in another way
WAIT = 600.0  # seconds for another process that describes photos of the same folder


@dataclass(frozen=True)
class PhotoFeatures:
    """Features of P photo files.

    Attributes:
      features: of the R files that can be read; copies of one file share a row.
      texts: R captions; None where the profile writes none.
      rows: int64 [P], the row of each file, -1 for one that cannot be read.
      digests: the sha256 of each file's bytes in hexadecimal digits, "" for a file that cannot be opened.
      reasons: why a file cannot be read, by its position.
      folder: the feature store that holds them, under the account ACCOUNT and the digests.
    """

    features: Features
    texts: tuple[str | None, ...]
    rows: np.ndarray
    digests: list[str]
    reasons: dict[int, str]
    folder: Path


def store_beside(root: Path) -> Path:
    """The folder for features of a history's photos: in the history's own folder, or in the user's cache where that
    cannot be written. It exists."""
    root = Path(root).absolute()
    elsewhere = cache_folder() / "features" / hashlib.sha256(str(root).encode()).hexdigest()[:16]
    try:
        (root / FOLDER).mkdir(exist_ok=True)
        if os.access(root / FOLDER, os.W_OK | os.X_OK):
            return root / FOLDER
    except OSError:  # a read-only folder, disk or share
        pass
    elsewhere.mkdir(parents=True, exist_ok=True)
    return elsewhere


def features_of(
    paths: Sequence[Path],
    config: ConfigDict,
    store: Path,
    what: str = "photos",
    *,
    random_weights: bool = False,
    progress: bool = True,
) -> PhotoFeatures:
    """Features of photo files; computes those that the store lacks.

    Args:
      paths: the files.
      config: `extract` and `data` say which extractors run, as for `ipa-jax extract`.
      store: the folder for features; it is made.
      what: the progress bar's name.
      random_weights: runs without the official weights, for tests.
      progress: shows a bar with the rate and the time left, if there is something to compute.

    Raises:
      ValueError: an option is out of its range, or weights are missing (with the command that gets them).
      OSError: the store cannot be written.
    """
    config = config.copy_and_resolve_references()
    config.extract.workers = 0  # threads: to start processes takes longer than to decode some hundred photos
    work = job_of(config, Path("/"), None, random_weights)
    folder = Path(store) / f"{config.extract.profile}-{_fingerprint(work)}"
    try:
        return _described(paths, work, folder, what, progress)
    except StoreError as error:  # a cache: what it held can be made again
        print(f"warning: {error.args[0].partition(';')[0]}; all photos are described again", file=sys.stderr)
        shutil.rmtree(folder)
        return _described(paths, work, folder, what, progress)


def _described(paths: Sequence[Path], work: job.Job, folder: Path, what: str, progress: bool) -> PhotoFeatures:
    """Features of photo files, those that the folder lacks computed first. Raises StoreError where it is damaged."""
    digests, reasons = _hashed(paths)
    first = {digest: str(Path(path).absolute()) for digest, path in zip(digests[::-1], paths[::-1], strict=True)}
    wanted = [digest for digest in dict.fromkeys(digests) if digest]
    images = [Image(ACCOUNT, digest, first[digest]) for digest in wanted]

    broken: dict[str, str] = {}

    def left_out(inputs: Inputs) -> None:
        broken[inputs.image.image_id] = inputs.detail or inputs.reason

    known = FeatureReader(folder) if (folder / "header.json").exists() else None
    if lacking := [image for image in images if known is None or (ACCOUNT, image.image_id) not in known]:
        folder.mkdir(parents=True, exist_ok=True)
        job.run(work, lacking, folder, progress=progress, what=what, wait=WAIT, left_out=left_out)
        known = FeatureReader(folder)

    row = {digest: number for number, digest in enumerate(digest for digest in wanted if digest not in broken)}
    rows = np.array([row.get(digest, -1) for digest in digests], np.int64)
    reasons |= {i: broken[digest] for i, digest in enumerate(digests) if digest in broken}
    if known is None or not row:
        return PhotoFeatures(_no_features(), (), rows, digests, reasons, folder)
    features, texts = known.load(ACCOUNT, list(row)), tuple(known.caption_texts(ACCOUNT, list(row)))
    return PhotoFeatures(features, texts, rows, digests, reasons, folder)


def _hashed(paths: Sequence[Path]) -> tuple[list[str], dict[int, str]]:
    """The sha256 of each file, and the reason by position for those that cannot be opened."""

    def digest(path: Path) -> tuple[str, str]:
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest(), ""
        except FileNotFoundError:
            return "", photos.MISSING
        except OSError as error:
            return "", f"{photos.UNREADABLE}: {error.strerror or error}"

    with ThreadPoolExecutor(HASHING) as pool:
        found = list(pool.map(digest, paths))
    return [digest for digest, _ in found], {i: reason for i, (_, reason) in enumerate(found) if reason}


def _fingerprint(work: job.Job) -> str:
    """12 hexadecimal digits that change with whatever changes the features."""
    described = {
        "extractors": job.described(work),
        "depth_side": work.depth_side,
        "random_weights": work.random_weights,
        "decoded_with": photos.versions(),
        "colours": COLOURS,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def _no_features() -> Features:
    none = np.zeros(0, np.int32)
    return Features(None, None, None, none, none, None, None)
