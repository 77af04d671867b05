"""The photos to rank: found, described, and what a person should know about those that are not ranked."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_builders.features.photo_store import PhotoFeatures
from data_builders.photos import PhotoError
from ipa_jax.applications import rank_page
from ipa_jax.applications.account import Account, open_source
from ipa_jax.applications.history_flags import Source, WrongUse
from ipa_jax.applications.photo_files import find_photos
from ipa_jax.applications.ranking import NewPhotos
from ipa_jax.applications.shots import Shot, read_shot
from ipa_jax.applications.thumbnails import thumbnails
from ipa_jax.applications.units import to_pick

BROKEN = 5  # unreadable photos that are named on the screen


@dataclass(frozen=True)
class Photos:
    """The new photos that can be read.

    Attributes:
      files: as they were found.
      digests: sha256 of each file's content.
      described: features of all of them, in this order.
      shots: for units.
      broken: file -> why it cannot be read.
    """

    files: list[Path]
    digests: list[str]
    described: NewPhotos
    broken: dict[Path, str]


class Found(NamedTuple):
    """An opened history, the photos to rank by it, and what else a person should know, a sentence each."""

    account: Account
    photos: Photos
    notes: list[str]


def find(source: Source, paths: Sequence[Path], pick: str | None, flag: str = "--photos") -> Found:
    """Finds photos, opens the history that they are ranked by, and describes them.

    Args:
      source: the flags that name the history.
      paths: files and folders.
      pick: how many to pick, checked before anything is opened; None: none is asked for.
      flag: that named the paths, for messages.

    Raises:
      WrongUse: a flag has a value that cannot work.
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: no photo can be read, or the export does not fit.
    """
    source.check()
    try:
        files, others = find_photos(paths, flag)
        if pick is not None:
            to_pick(pick, len(files))
    except ValueError as error:
        raise WrongUse(str(error)) from error
    account = open_source(source)
    photos = describe(files, account)
    return Found(account, photos, notes_on(photos, others, set(account.digests.values())))


def describe(files: Sequence[Path], account: Account) -> Photos:
    """Describes photos by the networks that described the history. Raises ValueError if none can be read."""
    found = account.describe(files)
    shots, broken = _shots(files, found)
    kept = [i for i, shot in enumerate(shots) if shot is not None]
    if not kept:
        file, reason = next(iter(broken.items()))
        raise ValueError(f"no photo of {len(files)} can be read, such as {file}: {reason}")
    described = NewPhotos(
        names=tuple(str(files[i]) for i in kept),
        features=found.features.rows(found.rows[kept]),
        shots=tuple(shot for shot in shots if shot is not None),
    )
    return Photos([files[i] for i in kept], [found.digests[i] for i in kept], described, broken)


def _shots(files: Sequence[Path], found: PhotoFeatures) -> tuple[list[Shot | None], dict[Path, str]]:
    broken = {files[i]: reason for i, reason in found.reasons.items()}

    def one(file: Path) -> Shot | None:
        if file in broken:
            return None
        try:
            return read_shot(file.read_bytes())
        except (PhotoError, OSError) as error:
            broken[file] = str(error)
            return None

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, files)), broken


def pictures(photos: Photos, account: Account, large: str | None = None) -> dict[str, bytes]:
    """A JPEG of each photo for pages, by name; that of `large` has twice the side."""
    kept, side = account.store / "thumbnails", rank_page.PHOTO_SIDE
    small = dict(zip(photos.described.names, thumbnails(photos.files, photos.digests, side, kept), strict=True))
    if large is not None:
        first = photos.described.names.index(large)
        small[large] = thumbnails([photos.files[first]], [photos.digests[first]], 2 * side, kept)[0]
    return small


def notes_on(photos: Photos, others: dict[str, int], posted: set[str]) -> list[str]:
    """What else a person should know about the photos, a sentence each."""
    notes = []
    if photos.broken:
        named = "; ".join(f"{file.name}: {reason}" for file, reason in list(photos.broken.items())[:BROKEN])
        notes.append(f"{_photos_are(len(photos.broken))} not readable: {named}")
    notes += [f"files of a format that is not read: {count} {suffix}" for suffix, count in others.items()]
    digests = Counter(photos.digests)
    if twice := sum(count - 1 for count in digests.values()):
        notes.append(f"{_photos_are(twice)} an exact copy of another one")
    if again := sum(digest in posted for digest in digests):
        notes.append(f"{_photos_are(again)} in the history already, so its own likes are part of its score")
    return notes


def _photos_are(count: int) -> str:
    return "1 photo is" if count == 1 else f"{count} photos are each"
