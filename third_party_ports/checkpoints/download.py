"""One file over https: resumed where it stopped, checked before it gets its name."""

import hashlib
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError

LARGEST = 4 << 30  # bytes, of a file whose size nobody published: a server must not fill the disk
CHUNK = 1 << 16  # bytes; what is left of one is lost when the connection is cut
TIMEOUT = (20, 60)  # seconds to connect, and without a byte
WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(OSError):
    """A file that cannot be had, or is not the published one; the message names it and the remedy."""


class UnknownHostError(DownloadError):
    """No address for the host's name: most likely there is no network at all."""


def download(url: str, target: Path, *, size: int | None = None, sha256: str = "", retries: int = 5) -> str:
    """Fetches `url` into the file `target` and returns its whole sha256; a file that is there is checked alone.

    What has come so far is kept in `target`.part and gone on with, by this call after a cut connection or by the next
    one, provided that the server still has the same file; else it starts anew.

    Args:
      url: https; plain http from this machine alone (127.0.0.1, ::1, localhost).
      size: in bytes, where published. sha256: hexadecimal, whole or its first digits, where published.
      retries: after cut connections and busy servers, with growing pauses that stderr tells of; a try that brought
        bytes is not counted. A server that cannot be reached at all is asked once more.

    Raises DownloadError, also for another size or hash: what came is removed then, what was there before is left;
    UnknownHostError for a name without an address.
    """
    if not _allowed(url, url):
        raise DownloadError(f"{target.name}: {url} is not https. Give an https address.")
    if target.exists():
        return _checked(
            target, target.name, size, sha256, f"{target} is another file than the published one. Move it away."
        )
    part = target.with_name(f"{target.name}.part")
    state = part.with_name(f"{part.name}.validator")  # what the server called the file that `part` is the start of
    failures = 0
    while True:
        before, absent = _length(part), None
        try:
            _receive(url, part, state, size)
            break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            absent = _unreachable(error)
            reason = str(absent).partition("): ")[2] or str(absent) if absent else str(error)
        except requests.HTTPError as error:
            reason = str(error)
            if error.response.status_code not in WORTH_A_RETRY:
                raise DownloadError(f"{target.name}: {reason}. Does the file's page still have it there?") from error
        except requests.RequestException as error:
            raise DownloadError(f"{target.name}: {error}. Does the file's page still have it there?") from error
        failures = 0 if _length(part) > before else failures + 1
        if failures > (min(retries, 1) if absent else retries):
            kind = UnknownHostError if isinstance(absent, NameResolutionError) else DownloadError
            raise kind(f"{target.name}: {reason}. Run the command again: it goes on where it stopped.")
        pause = min(2.0**failures - 1, 30)
        tqdm.write(f"{target.name}: retrying in {pause:g} s ({reason})", file=sys.stderr)
        time.sleep(pause)
    again = "What came is removed: run the command again. If it stays so, the published file has changed."
    try:
        digest = _checked(part, target.name, size, sha256, again)
    except DownloadError:
        _remove(part, state)
        raise
    part.replace(target)
    _remove(state)
    return digest


def _receive(url: str, part: Path, state: Path, size: int | None) -> None:
    """Appends to `part` what is missing; returns when it is whole. Raises requests' errors, or DownloadError."""
    have = _length(part) if state.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": state.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        for step in (*response.history, response):
            if not _allowed(step.url, url):
                raise DownloadError(f"{part.stem}: {url} leads to {step.url}, which is not https. Nothing is taken.")
        sent, total = _content_range(response)
        if response.status_code == 416 and have:
            if total == have:  # the last run ended between the last byte and the new name
                return
            _remove(part, state)
            raise requests.ConnectionError("the server has a shorter file now")
        response.raise_for_status()
        if response.status_code == 206 and sent != have:
            _remove(part, state)
            raise requests.ConnectionError("the server sent another part than asked for")
        if response.status_code != 206:
            have, total = 0, int(response.headers.get("Content-Length", 0)) or None
            _remove(part)
            state.write_text(_validator(response)) if _validator(response) else _remove(state)
        limit = size or LARGEST
        if (total or 0) > limit or (size and total not in (None, size)):
            _remove(part, state)
            raise DownloadError(f"{part.stem}: the server has {total} bytes, {limit} were expected. Look at {url}.")
        with (
            part.open("ab") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024, desc=part.stem) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                have += len(chunk)
                if have > limit:
                    _remove(part, state)
                    raise DownloadError(f"{part.stem}: the server sends more than {limit} bytes. Look at {url}.")
                file.write(chunk)
                bar.update(len(chunk))
    if total and have < total:
        raise requests.ConnectionError(f"{have} of {total} bytes came")


def _unreachable(error: requests.RequestException) -> ConnectTimeoutError | None:
    """Why no connection came about: the name is unknown, the port closed, nobody answers; None if one did."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    cause = getattr(cause, "original_error", cause)  # of a proxy
    return cause if isinstance(cause, ConnectTimeoutError) else None


def _allowed(url: str, first: str) -> bool:
    """https, and plain http on this machine where the first address is there."""
    here = ("127.0.0.1", "::1", "localhost")
    local = all(urlsplit(place).scheme == "http" and urlsplit(place).hostname in here for place in (url, first))
    return local or urlsplit(url).scheme == "https"


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and whole size of "bytes 5-9/10", "bytes */10", or (None, None)."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    return tuple(int(n) if n and n.isdigit() else None for n in found.groups()) if found else (None, None)


def _validator(response: requests.Response) -> str:
    """What If-Range may hold: a strong ETag, else the date; empty if there is neither, and nothing can be resumed."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag


def _checked(file: Path, name: str, size: int | None, sha256: str, remedy: str) -> str:
    """The sha256 of a file of the right size and hash. Raises DownloadError: `name`, what is wrong, `remedy`."""
    if size and _length(file) != size:
        raise DownloadError(f"{name}: {_length(file)} bytes, {size} expected. {remedy}")
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(sha256.lower()):
        raise DownloadError(f"{name}: sha256 {digest}, {sha256} expected. {remedy}")
    return digest


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
