"""Downloads a file over https. A cut download resumes, and a file is checked before it gets its name."""

import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError

from third_party_ports.files import sha256 as sha256_of

LARGEST = 4 << 30  # bytes, for a file of unknown size, so that a server cannot fill the disk
CHUNK = 1 << 16  # bytes; a cut connection loses at most one chunk
TIMEOUT = (20, 60)  # seconds to connect, and seconds without a byte
WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)
AGAIN = "The download was removed: run the command again. If the error stays, the published file has changed."
GONE = "Check whether the file's page still links to it."


class DownloadError(OSError):
    """A file cannot be downloaded, or is not the published one. The message names the file and what to do."""


class UnknownHostError(DownloadError):
    """The server's name cannot be looked up, most likely because there is no network."""


def download(url: str, target: Path, *, size: int | None = None, sha256: str = "", retries: int = 5) -> str:
    """Downloads `url` to the file `target`, or checks the file if it exists already.

    The bytes received so far are kept in `target`.part. If the connection is cut, this call or the next one resumes
    there, unless the server has another file by then.

    Args:
      url: https, or plain http from this machine (127.0.0.1, ::1, localhost).
      target: the file to write.
      size: in bytes, if it was published.
      sha256: hexadecimal digits, all or the first ones, if they were published.
      retries: how often to try again after cut connections and busy servers. Pauses grow, and stderr announces them. A
        try that received bytes does not count. A server that cannot be reached at all is asked once more.

    Returns:
      The file's sha256.

    Raises:
      DownloadError: the download failed, or the size or the hash is wrong. A wrong download is removed; a file that
        existed before stays.
      UnknownHostError: the server's name cannot be looked up.
    """
    if not _allowed(url, url):
        raise DownloadError(f"{target.name}: {url} is not https. Give an https address.")
    if target.exists():
        return _checked(target, target.name, size, sha256, f"{target} is not the published file. Move it away.")
    part = target.with_name(f"{target.name}.part")
    state = part.with_name(f"{part.name}.validator")  # the server's version of the file in `part`
    failures = 0
    while True:
        before, absent = _length(part), None
        try:
            _receive(url, part, state, size)
            break
        except requests.RequestException as error:
            reason, absent = _why_again(target.name, url, error)
        failures = 0 if _length(part) > before else failures + 1
        if failures > (min(retries, 1) if absent else retries):
            kind = UnknownHostError if isinstance(absent, NameResolutionError) else DownloadError
            raise kind(f"{target.name}: {reason}. Run the command again: it resumes.")
        pause = min(2.0**failures - 1, 30)
        tqdm.write(f"{target.name}: retrying in {pause:g} s ({reason})", file=sys.stderr)
        time.sleep(pause)
    try:
        digest = _checked(part, target.name, size, sha256, AGAIN)
    except DownloadError:
        _remove(part, state)
        raise
    part.replace(target)
    _remove(state)
    return digest


def _why_again(name: str, url: str, error: requests.RequestException) -> tuple[str, ConnectTimeoutError | None]:
    """What went wrong, and the cause if the server cannot be reached. Raises DownloadError if a retry cannot help."""
    lost = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    if isinstance(error, lost):
        absent = _unreachable(error)
        # The cause is the operating system's own error.
        return f"no connection to {urlsplit(url).hostname}: {absent.__cause__ or absent}" if absent else str(
            error
        ), absent
    answer = error.response if isinstance(error, requests.HTTPError) else None
    if answer is not None and answer.status_code in WORTH_A_RETRY:
        return str(error), None
    raise DownloadError(f"{name}: {error}. {GONE}") from error


def _receive(url: str, part: Path, state: Path, size: int | None) -> None:
    """Appends the missing bytes to `part`. Raises requests' errors if it stays incomplete, or DownloadError."""
    have = _length(part) if state.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": state.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        for step in (*response.history, response):
            if not _allowed(step.url, url):
                raise DownloadError(
                    f"{part.stem}: {url} redirects to {step.url}, which is not https. Nothing was downloaded."
                )
        sent, total = _content_range(response)
        if response.status_code == 416 and have:
            if total == have:  # the last run was stopped between the last byte and the renaming
                return
            _remove(part, state)
            raise requests.ConnectionError("the server's file is now shorter")
        response.raise_for_status()
        if response.status_code == 206 and sent != have:
            _remove(part, state)
            raise requests.ConnectionError("the server sent the wrong part of the file")
        if response.status_code != 206:
            have, total = 0, int(response.headers.get("Content-Length", 0)) or None
            _remove(part)
            state.write_text(_validator(response)) if _validator(response) else _remove(state)
        limit = size or LARGEST
        if (total or 0) > limit or (size and total not in (None, size)):
            _remove(part, state)
            raise DownloadError(f"{part.stem}: the server has {total} bytes, {limit} were expected. Check {url}.")
        with (
            part.open("ab") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, unit_divisor=1024, desc=part.stem) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                have += len(chunk)
                if have > limit:
                    _remove(part, state)
                    raise DownloadError(f"{part.stem}: the server sends more than {limit} bytes. Check {url}.")
                file.write(chunk)
                bar.update(len(chunk))
    if total and have < total:
        raise requests.ConnectionError(f"only {have} of {total} bytes arrived")


def _unreachable(error: requests.RequestException) -> ConnectTimeoutError | None:
    """Why there was no connection (unknown name, closed port, no answer), or None if there was one."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    cause = getattr(cause, "original_error", cause)  # a proxy's error wraps the first one
    return cause if isinstance(cause, ConnectTimeoutError) else None


def _allowed(url: str, first: str) -> bool:
    """Whether the address is https, or plain http on this machine like the first address."""
    here = ("127.0.0.1", "::1", "localhost")
    local = all(urlsplit(place).scheme == "http" and urlsplit(place).hostname in here for place in (url, first))
    return local or urlsplit(url).scheme == "https"


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and full size, from "bytes 5-9/10" or "bytes */10"; (None, None) without them."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if found is None:
        return None, None
    first, total = (int(number) if number and number.isdigit() else None for number in found.groups())
    return first, total


def _validator(response: requests.Response) -> str:
    """A value for If-Range: a strong ETag, otherwise the date; "" if there is neither, so nothing can be resumed."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag


def _checked(file: Path, name: str, size: int | None, sha256: str, remedy: str) -> str:
    """The file's sha256. Raises DownloadError (`name`, what is wrong, `remedy`) for a wrong size or hash."""
    if size and _length(file) != size:
        raise DownloadError(f"{name}: {_length(file)} bytes, {size} expected. {remedy}")
    digest = sha256_of(file)
    if not digest.startswith(sha256.lower()):
        raise DownloadError(f"{name}: sha256 {digest}, {sha256} expected. {remedy}")
    return digest


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
