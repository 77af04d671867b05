"""Downloads the photos of a list of posts: at a steady rate, once each, and checked before they get their names."""

import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from data_builders import photos
from data_builders.posts import graph_api, json_file
from data_builders.posts.csv_rows import CsvRows
from data_builders.posts.flickr_user import IMAGES
from data_builders.posts.json_file import JsonError, at, text
from data_builders.posts.post import RawDataError, Skips
from third_party_ports import files
from third_party_ports.checkpoints.download import CHUNK, TIMEOUT, WORTH_A_RETRY

DOWNLOADED, PRESENT, GONE, REFUSED, FAILED = "downloaded", "already there", "gone", "refused", "failed"
GONE_LIST = "gone.txt"  # ids of photos that are gone, one per line: they are not asked for again
GONE_STATUS = (404, 410)
REMOVED = "photo_unavailable"  # Flickr redirects there in place of a photo that was removed
MOST_BYTES = 32 << 20  # of a photo
MOST_SECONDS = 120.0  # for a photo
MOST_PAUSE = 60.0  # seconds that a server may ask to wait
TRIES = 4
THREADS = 8
WINDOW = 256  # photos that are taken from the list at a time
HOPELESS = 24  # photos that fail in a row: there is no network, or the server refuses
EXAMPLES = 3
FORM = "Give a .csv file with the columns img_id and img_url, as FlickrUser.csv, or media of the Graph API as .json"

_ID = re.compile(r"[\w-][\w.-]{0,99}")


class Photo(NamedTuple):
    """A photo to download: its id, which becomes the name of its file, and its address."""

    number: str
    url: str


@dataclass
class Outcome:
    """What became of the photos: how many by state, and up to 3 examples of those that are refused or failed."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    skips: Skips = field(default_factory=Skips)  # rows of the list that cannot be read

    def add(self, state: str, example: str = "") -> None:
        """Counts one photo."""
        self.counts[state] += 1
        kept = self.examples.setdefault(state, [])
        if example and len(kept) < EXAMPLES:
            kept.append(example)

    def lines(self) -> list[str]:
        """The outcome in words."""
        states = (DOWNLOADED, PRESENT, GONE, REFUSED, FAILED)
        found = ["photos " + ", ".join(f"{state}: {self.counts[state]}" for state in states)]
        found += [f"{state}: {example}" for state in (REFUSED, FAILED) for example in self.examples.get(state, ())]
        for reason, rows in self.skips.counts.items():
            found.append(f"{reason}: {rows}, such as {self.skips.examples[reason][0]}")
        return found + (["Run the command again: it tries those that failed."] if self.counts[FAILED] else [])


class _Gone(Exception):
    """The server does not have the photo any more."""


class _Refused(Exception):
    """The address or the answer is not one that is taken; the message says why."""


class _Stopped(Exception):
    """The command ends."""


class _Busy(requests.RequestException):
    """The server asks to come back later, after so many seconds."""

    def __init__(self, status: int, seconds: float) -> None:
        super().__init__(f"the server answers {status}")
        self.seconds = seconds


def fetch(source: Path, folder: Path, *, rate: float = 5.0, limit: int | None = None) -> Outcome:
    """Downloads the photos of a list to `folder`/images/<id>.jpg, and copies the list there, beside them.

    A photo that exists is not asked for again, nor one that is gone. Each file is opened as a photo before it gets its
    name, which ends with .jpg whatever its format is.

    Args:
      source: FlickrUser.csv, another CSV file with img_id and img_url, or media of the Graph API as JSON.
      folder: made if it does not exist.
      rate: photos to ask for per second, all together.
      limit: photos of the list to take, from its start; None for all.

    Returns:
      What became of them.

    Raises:
      RawDataError: the list cannot be read, or names no photo.
      OSError: the folder cannot be written, or 24 photos in a row failed.
    """
    outcome = Outcome()
    listed = islice(wanted(source, outcome.skips), limit)
    window = list(islice(listed, WINDOW))
    if not window:
        raise RawDataError(source, "this list names no photo to download", FORM)
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    with files.lock(folder):
        if source.absolute().parent != folder.absolute():
            with files.replacing(folder / source.name) as temporary:
                shutil.copyfile(source, temporary)
        ledger = folder / GONE_LIST
        gone = set(ledger.read_text().split()) if ledger.exists() else set()
        with (
            ledger.open("a") as record,
            tqdm(unit="photo", desc="fetch") as progress,
            _Fetcher(folder, rate) as fetcher,
        ):
            while window:
                for photo, state, example in fetcher.states(window, gone):
                    outcome.add(state, example)
                    progress.update()
                    if state == GONE and photo.number not in gone:
                        gone.add(photo.number)
                        record.write(f"{photo.number}\n")
                        record.flush()
                window = list(islice(listed, WINDOW))
    return outcome


def wanted(source: Path, skips: Skips) -> Iterator[Photo]:
    """The photos of a list. Counts rows without a usable id as "bad row". Raises RawDataError if it is no list."""
    if source.suffix.lower() == ".json":
        listed = _of_media(source)
    else:
        table = CsvRows(source, ("img_id", "img_url"), (), FORM)
        rows = table.rows(lambda row: row["img_url"].startswith("http"), skips, bar=False)
        listed = ((f"{source.name}:{line}", row["img_id"], row["img_url"]) for line, row in rows)
    for where, number, url in listed:
        if _ID.fullmatch(number) and url:
            yield Photo(number, url)
        else:
            skips.add("bad row", f"{where}: id {number!r}, address {url[:100]!r}")


def _of_media(source: Path) -> Iterator[tuple[str, str, str]]:
    try:
        answers = json_file.read(source)
    except JsonError as error:
        raise RawDataError(source, f"this file cannot be read: {error}", FORM) from error
    for media, _ in graph_api.media_of(answers):
        for child in graph_api.children_of(media):
            if at(media, "media_type") not in ("VIDEO", "REELS"):
                yield source.name, str(at(child, "id")), text(at(child, "media_url"))


class _Fetcher:
    """Downloads photos into folder/images with several threads that keep one rate. A context manager."""

    def __init__(self, folder: Path, rate: float) -> None:
        self._images, self._interval = folder / IMAGES, 1 / rate
        self._pool = ThreadPoolExecutor(THREADS)
        self._sessions = threading.local()
        self._turn, self._next = threading.Lock(), 0.0
        self._stop = threading.Event()
        self._failures = 0  # in a row

    def __enter__(self) -> "_Fetcher":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def states(self, window: list[Photo], gone: set[str]) -> Iterator[tuple[Photo, str, str]]:
        """(photo, state, example) of each photo, in order. Raises OSError when photo after photo fails."""
        tasks = {}
        for photo in window:
            here = self._images / f"{photo.number}.jpg"
            if photo.number not in gone and photo.number not in tasks and not here.is_file():
                tasks[photo.number] = self._pool.submit(self._photo, photo)
        for photo in window:
            if not (task := tasks.pop(photo.number, None)):
                yield photo, GONE if photo.number in gone else PRESENT, ""
                continue
            try:
                task.result()
                self._failures = 0
                yield photo, DOWNLOADED, ""
            except _Gone:
                self._failures = 0
                yield photo, GONE, ""
            except _Refused as error:
                yield photo, REFUSED, f"{photo.number}: {error}"
            except requests.RequestException as error:
                self._failures += 1
                if self._failures == HOPELESS:
                    problem = f"{HOPELESS} photos in a row failed, the last one, {photo.url}, with: {error}"
                    raise OSError(f"{problem}. Check the network and run the command again: it resumes") from error
                yield photo, FAILED, f"{photo.number}: {error}"

    def _photo(self, photo: Photo) -> None:
        """Downloads and checks a photo. Raises _Gone, _Refused, or the last error of several tries."""
        for left in reversed(range(TRIES)):
            self._wait_for_turn()
            try:
                data = self._content(photo.url)
                break
            except (ValueError, requests.TooManyRedirects) as error:  # an address that is none, or leads nowhere
                raise _Refused(str(error)) from error
            except requests.exceptions.ChunkedEncodingError as error:  # its own message is a Python tuple
                if not left:
                    raise requests.ConnectionError(f"the answer of {photo.url} was cut short") from error
                self._sleep(2.0 ** (TRIES - 1 - left))
            except requests.RequestException as error:
                if not left:
                    raise
                pause = error.seconds if isinstance(error, _Busy) else 0.0
                self._sleep(max(pause, 2.0 ** (TRIES - 1 - left)))
        try:
            photos.stored(data, near=64)
        except photos.PhotoError as error:
            raise _Refused(str(error)) from error
        files.write_bytes(self._images / f"{photo.number}.jpg", data)

    def _content(self, url: str) -> bytes:
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Refused(f"{url[:100]} is not an http or https address")
        if not hasattr(self._sessions, "session"):
            self._sessions.session = requests.Session()
            self._sessions.session.max_redirects = 5
        until = time.monotonic() + MOST_SECONDS
        headers = {"Accept-Encoding": "identity", "User-Agent": "ipa-jax fetch-images"}
        with self._sessions.session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            status, length = answer.status_code, answer.headers.get("Content-Length", "")
            if status in GONE_STATUS or REMOVED in urlsplit(answer.url).path:
                raise _Gone
            if status in WORTH_A_RETRY:
                asked = answer.headers.get("Retry-After", "")
                raise _Busy(status, min(float(asked) if asked.isdigit() else 0.0, MOST_PAUSE))
            if status != 200:
                raise _Refused(f"the server answers {status} for {url}")
            size = int(length) if length.isdigit() else None
            data = bytearray()
            for chunk in answer.iter_content(CHUNK) if (size or 0) <= MOST_BYTES else ():
                data += chunk
                if len(data) > MOST_BYTES:
                    break
                if time.monotonic() > until:
                    raise requests.Timeout(f"{url} takes more than {MOST_SECONDS:g} s")
            if max(size or 0, len(data)) > MOST_BYTES:
                raise _Refused(f"{url} has more than {MOST_BYTES >> 20} MB")
            if size is not None and len(data) < size:
                raise requests.ConnectionError(f"only {len(data)} of {size} bytes of {url} arrived")
        return bytes(data)

    def _wait_for_turn(self) -> None:
        with self._turn:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._interval
        self._sleep(start - now)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped
