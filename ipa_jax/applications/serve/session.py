"""What the page knows while it runs: the photos that arrived, their order so far, and the person's own picks.

Requests add photos and read the state; one thread describes the photos in batches and ranks all of them again. Every
window sees the same state. Photos lie in a folder under numbers; no uploaded name becomes a path.
"""

import hashlib
import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from data_builders import photos
from data_builders.features.photo_store import ACCOUNT, features_of
from data_builders.features.reader import FeatureReader
from ipa_jax.applications import rank_page
from ipa_jax.applications.account import KEY, Account
from ipa_jax.applications.photo_files import PHOTOS
from ipa_jax.applications.ranked_photo import RankedPhoto
from ipa_jax.applications.ranking import NewPhotos, Ranking
from ipa_jax.applications.shots import Shot, read_shot
from ipa_jax.applications.thumbnails import thumbnails
from third_party_ports.files import write_bytes, write_text

MOST_BYTES = 40 << 20  # of a photo
MOST_PHOTOS = 2_000
TOO_LARGE = f"larger than {MOST_BYTES >> 20} MB"
MOST_REFUSED = 500  # of which the page keeps the names; the others are counted
NAME_LENGTH = 120  # characters
BATCH, LARGEST_BATCH = 8, 32  # photos that are described before all are ranked again


@dataclass(frozen=True)
class Photo:
    """A photo that arrived: its name as uploaded, for people to read; its file; the sha256 of its content."""

    name: str
    file: Path
    digest: str

    @property
    def key(self) -> str:
        """Names the photo in addresses."""
        return self.digest[:KEY]


class Session:
    """The state of one page.

    Args:
      account: the history.
      folder: for the photos; it exists and is empty.
      scratch: for features and thumbnails; it exists.
    """

    def __init__(self, account: Account, folder: Path, scratch: Path):
        self.account = account
        self._folder, self._scratch = folder, scratch
        self._changed = threading.Condition()
        self._id, self._version, self._stopped = secrets.token_hex(4), 0, False
        self._photos: dict[str, Photo] = {}  # by key, in order of arrival
        self._keys: dict[str, str] = {}  # by file, which names a photo in the ranking
        self._waiting: deque[Photo] = deque()
        self._shots: dict[str, Shot] = {}  # of the photos that are described
        self._features = scratch  # the store of features; the thread sets it
        self._ranking: Ranking | None = None
        self._picked: set[str] = set()
        self._refused: deque[tuple[str, str]] = deque(maxlen=MOST_REFUSED)
        self._refusals = self._numbers = 0
        self._worker = threading.Thread(target=self._work, name="ranking", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Ends the thread once its batch is done. What has not been ranked stays so."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._worker.join()

    def add(self, name: str, content: bytes) -> None:
        """Takes a photo, or refuses it by name with the reason.

        Args:
          name: as uploaded; it is shown, and never used as a path.
          content: of the file; longer than MOST_BYTES is refused.
        """
        reason = _not_a_photo(content)
        digest = hashlib.sha256(content).hexdigest()
        with self._changed:
            if not reason and (known := self._photos.get(digest[:KEY])):
                reason = f"the same photo as {known.name}, byte by byte"
            if not reason and len(self._photos) >= MOST_PHOTOS:
                reason = f"this page holds {MOST_PHOTOS:,} photos at most; use ipa-jax rank for more"
            if not reason:
                try:
                    self._keep(name, content, digest)
                except OSError as error:
                    reason = f"cannot be saved: {error.strerror}"
        if reason:
            self.refuse(name, reason)

    def _keep(self, name: str, content: bytes, digest: str) -> None:
        """Writes the file and lets the thread know. Called with the lock held."""
        suffix = next((suffix for suffix in PHOTOS if name.lower().endswith(suffix)), ".jpg")
        photo = Photo(readable(name), self._folder / f"{self._numbers + 1:05}{suffix}", digest)
        write_bytes(photo.file, content)
        self._numbers += 1
        self._photos[photo.key] = photo
        self._keys[str(photo.file)] = photo.key
        self._waiting.append(photo)
        self._touch()

    def refuse(self, name: str, reason: str) -> None:
        """Names a file that is not taken, and why."""
        with self._changed:
            self._refuse(name, reason)

    def pick(self, key: str, wanted: bool) -> bool:
        """Marks a photo as the person's own pick, or takes the mark off. False if there is no such photo."""
        with self._changed:
            if key not in self._photos:
                return False
            (self._picked.add if wanted else self._picked.discard)(key)
            self._touch()
            return True

    def state(self, known: str = "") -> dict[str, Any] | None:
        """What the page shows, for JSON; None if nothing changed since the version `known`.

        Keys: version; waiting, the photos that are not ranked yet; units, best first, each with rank, note and photos
        (key, name, expected, why, picked); refused, [name, reason] each, the latest last; refusals, their number.
        """
        with self._changed:
            version, ranking = f"{self._id}-{self._version}", self._ranking
            if version == known:
                return None
            ranked = () if ranking is None else ranking.photos
            units = [list(unit) for _, unit in groupby(ranked, lambda photo: photo.rank)]
            return {
                "version": version,
                "waiting": len(self._waiting),
                "units": [
                    {"rank": unit[0].rank, "note": rank_page.unit_note(unit), "photos": list(map(self._shown, unit))}
                    for unit in units
                ],
                "refused": list(self._refused),
                "refusals": self._refusals,
            }

    def photo(self, key: str, side: int) -> bytes | None:
        """A JPEG of a ranked photo, without metadata, its longer side at most `side` pixels; None if there is none."""
        with self._changed:
            photo = self._photos.get(key) if key in self._shots else None
        return photo and self._thumbnail(photo, side)

    def ranked(self, key: str) -> RankedPhoto | None:
        """A photo of the order so far."""
        with self._changed:
            photo, ranking = self._photos.get(key), self._ranking
        if photo is None or ranking is None:
            return None
        return next((ranked for ranked in ranking.photos if ranked.name == str(photo.file)), None)

    def write_list(self) -> None:
        """Writes photos.json beside the photos: which file was which, its rank, and whether it was picked."""
        ranks = {photo.name: photo.rank for photo in self._ranking.photos} if self._ranking else {}
        rows = [
            {"file": p.file.name, "name": p.name, "rank": ranks.get(str(p.file)), "my_pick": p.key in self._picked}
            for p in self._photos.values()
        ]
        write_text(self._folder / "photos.json", json.dumps(rows, indent=1) + "\n")

    def _shown(self, ranked: RankedPhoto) -> dict[str, Any]:
        key = self._keys[ranked.name]
        return {
            "key": key,
            "name": self._photos[key].name,
            "expected": rank_page.expected_text(ranked),
            "why": ranked.reason,
            "picked": key in self._picked,
        }

    def _touch(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _work(self) -> None:
        """The thread: describes what waits, ranks everything, until `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                # Larger batches with more photos, because all are ranked again, and an export scores them again too.
                most = LARGEST_BATCH if self.account.model is None else MOST_PHOTOS
                size = min(max(BATCH, len(self._shots) // 4), most)
                batch = list(self._waiting)[:size]
            shots, ranking = self._shots, self._ranking
            try:
                described, broken = self._describe(batch)
                if described:
                    shots = self._shots | described
                    ranking = self._rank(shots)
            except Exception as error:  # whatever it is, the page names these photos and ranks the others
                print(f"warning: {len(batch)} photos cannot be ranked: {error!r}", flush=True)
                broken = {photo.key: f"cannot be ranked ({type(error).__name__})" for photo in batch}
            with self._changed:
                self._shots, self._ranking = shots, ranking
                for photo in batch:
                    self._waiting.popleft()
                    if photo.key in broken:
                        self._drop(photo, broken[photo.key])
                self._touch()

    def _describe(self, batch: Sequence[Photo]) -> tuple[dict[str, Shot], dict[str, str]]:
        """Shots by key, of the photos whose features are now stored; and why the others cannot be read, by key."""
        files = [photo.file for photo in batch]
        found = features_of(files, self.account.config, self._scratch / "features", progress=False)
        self._features = found.folder
        broken = {batch[i].key: reason for i, reason in found.reasons.items()}
        shots = {}
        for photo in batch:
            if photo.key not in broken:
                try:
                    shots[photo.key] = read_shot(photo.file.read_bytes())
                    self._thumbnail(photo, rank_page.PHOTO_SIDE)
                except (photos.PhotoError, OSError) as error:
                    broken[photo.key] = str(error)
        return {key: shot for key, shot in shots.items() if key not in broken}, broken

    def _rank(self, shots: Mapping[str, Shot]) -> Ranking:
        ordered = [self._photos[key] for key in shots]
        features = FeatureReader(self._features).load(ACCOUNT, [photo.digest for photo in ordered])
        names = tuple(str(photo.file) for photo in ordered)
        return self.account.rank(NewPhotos(names, features, tuple(shots.values())))

    def _thumbnail(self, photo: Photo, side: int) -> bytes:
        return thumbnails([photo.file], [photo.digest], side, self._scratch / "thumbnails")[0]

    def _drop(self, photo: Photo, reason: str) -> None:
        """Refuses a photo after all. Called with the lock held."""
        photo.file.unlink(missing_ok=True)
        del self._photos[photo.key], self._keys[str(photo.file)]
        self._picked.discard(photo.key)
        self._refuse(photo.name, reason.replace(f": {photo.file}", ""))

    def _refuse(self, name: str, reason: str) -> None:
        """Called with the lock held."""
        self._refused.append((readable(name), _plain(reason)))
        self._refusals += 1
        self._touch()


def readable(name: str) -> str:
    """An uploaded name as it is shown: printable characters, at most NAME_LENGTH of them."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return (text if len(text) <= NAME_LENGTH else f"{text[: NAME_LENGTH - 1]}…") or "a file without a name"


def _not_a_photo(content: bytes) -> str:
    """Why a file is refused before anything decodes it; "" if it may be a photo."""
    if len(content) > MOST_BYTES:
        return TOO_LARGE
    try:
        photos.size(content)
    except photos.PhotoError as error:
        return str(error)
    return ""


def _plain(reason: str) -> str:
    """A reason without what only a programmer reads."""
    return re.sub(r" \(cannot identify image file .*\)$", "", reason)
