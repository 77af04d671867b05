"""Tests of downloads from a local server that cuts, changes, redirects and misreports files."""

import hashlib
import socket
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from third_party_ports.checkpoints import download
from third_party_ports.checkpoints.download import DownloadError

CUT, AGAIN = 15 * download.CHUNK, 5 * download.CHUNK
CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server serves, and how it behaves. Its next answers end after the numbers of bytes in `cuts`."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True
    length: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of the next answers, in place of the file
    location: str = ""
    asked: list[str | None] = field(default_factory=list)  # the Range of each request


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    behaviour = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            behaviour.asked.append(self.headers["Range"])
            content, start = behaviour.content, 0
            if behaviour.statuses:
                self.send_response(behaviour.statuses.pop(0))
                self.send_header("Location", behaviour.location)
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if behaviour.ranges and self.headers["Range"] and self.headers["If-Range"] == behaviour.etag:
                start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            if behaviour.length:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + behaviour.cuts.pop(0) if behaviour.cuts else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        behaviour.url = f"http://127.0.0.1:{running.server_port}/weights.pth"
        yield behaviour
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "weights.pth"


def alone(target) -> bool:
    """The file is whole, and no other file is left."""
    return target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]


def test_a_whole_file(server, target):
    assert download.download(server.url, target, size=len(CONTENT), sha256=SHA256[:8]) == SHA256
    assert alone(target)
    assert server.asked == [None]


def test_a_cut_connection_is_resumed(server, target):
    server.cuts = [CUT, AGAIN]
    assert download.download(server.url, target, sha256=SHA256) == SHA256
    assert alone(target)
    assert server.asked == [None, f"bytes={CUT}-", f"bytes={CUT + AGAIN}-"]


def test_the_next_run_resumes_too(server, target):
    server.cuts = [CUT, 0]
    with pytest.raises(DownloadError, match=r"weights\.pth: .*Run the command again"):
        download.download(server.url, target, retries=0)
    assert not target.exists()
    download.download(server.url, target)
    assert alone(target)
    assert server.asked[-1] == f"bytes={CUT}-"


def test_a_changed_file_is_not_mixed_with_the_old_one(server, target):
    old, server.content, server.cuts = CONTENT, bytes(2_500_000), [CUT, 0]
    with pytest.raises(DownloadError):
        download.download(server.url, target, retries=0)
    server.content, server.etag = old, '"two"'
    assert download.download(server.url, target) == SHA256
    assert server.asked[-1] == f"bytes={CUT}-"
    assert alone(target)


@pytest.mark.parametrize(("ranges", "etag", "second"), [(False, '"one"', f"bytes={CUT}-"), (True, "", None)])
def test_a_server_that_cannot_resume_sends_everything_again(server, target, ranges, etag, second):
    """The server ignores Range, or does not name the file's version, so that no part is requested."""
    server.ranges, server.etag, server.cuts = ranges, etag, [CUT]
    assert download.download(server.url, target) == SHA256
    assert server.asked == [None, second]
    assert alone(target)


def test_without_a_length(server, target):
    server.length = False
    assert download.download(server.url, target, sha256=SHA256) == SHA256
    assert alone(target)


def test_a_part_that_is_already_whole(server, target):
    """The download was killed after the last byte and before the renaming."""
    target.with_name("weights.pth.part").write_bytes(CONTENT)
    target.with_name("weights.pth.part.validator").write_text(server.etag)
    assert download.download(server.url, target, sha256=SHA256) == SHA256
    assert server.asked == ["bytes=3000000-"]
    assert alone(target)


def test_a_part_longer_than_the_file_is_thrown_away(server, target):
    target.with_name("weights.pth.part").write_bytes(CONTENT + b"more")
    target.with_name("weights.pth.part.validator").write_text(server.etag)
    assert download.download(server.url, target) == SHA256
    assert alone(target)


def test_a_finished_file_is_only_checked(server, target):
    target.write_bytes(CONTENT)
    assert download.download(server.url, target, size=len(CONTENT), sha256=SHA256[:8].upper()) == SHA256
    assert server.asked == []
    for known in ({"size": 5}, {"sha256": "abcd"}):
        with pytest.raises(DownloadError, match=r"weights\.pth: .* expected\..*Move it away"):
            download.download(server.url, target, **known)
    assert alone(target)


def test_a_wrong_hash_removes_the_file(server, target):
    with pytest.raises(DownloadError, match=rf"weights\.pth: sha256 {SHA256}, 0123abcd expected.*again"):
        download.download(server.url, target, sha256="0123abcd")
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize("length", [True, False])
def test_another_size_is_refused(server, target, length):
    """At once if the server states the size, else as soon as too much has come."""
    server.length = length
    with pytest.raises(DownloadError, match=r"weights\.pth: .*2000000"):
        download.download(server.url, target, size=2_000_000)
    assert not list(target.parent.iterdir())


def test_no_file_may_fill_the_disk(server, target, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 1_000_000)
    with pytest.raises(DownloadError, match="1000000"):
        download.download(server.url, target)
    assert not list(target.parent.iterdir())


def test_missing_files_and_busy_servers(server, target):
    server.statuses = [503, 429]
    assert download.download(server.url, target) == SHA256
    target.unlink()
    server.statuses, server.asked = [404], []
    with pytest.raises(DownloadError, match=r"weights\.pth: 404 .*page"):
        download.download(server.url, target)
    assert server.asked == [None]
    assert not list(target.parent.iterdir())


def test_busy_for_too_long(server, target):
    server.statuses = [503] * 3
    with pytest.raises(DownloadError, match=r"503 .*Run the command again"):
        download.download(server.url, target, retries=2)


def test_retries_are_reported(server, target, capsys):
    server.statuses = [503]
    download.download(server.url, target)
    assert "weights.pth: retrying in 1 s (503 Server Error" in capsys.readouterr().err


def test_a_closed_port_is_tried_twice(target, monkeypatch, capsys):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/weights.pth"
        with pytest.raises(DownloadError, match=r"weights\.pth: .*\[Errno 111\] Connection refused.*Run"):
            download.download(url, target)
    assert pauses == [1]
    assert "HTTP" not in capsys.readouterr().err


def test_only_https_is_allowed(server, target):
    for url in ("http://example.org/weights.pth", "ftp://127.0.0.1/weights.pth", "file:///etc/passwd"):
        with pytest.raises(DownloadError, match="is not https"):
            download.download(url, target)
    server.statuses, server.location = [302], "http://0.0.0.0:9/"
    with pytest.raises(DownloadError):
        download.download(server.url, target, retries=0)
    assert not download._allowed("http://127.0.0.1/x", "https://example.org/x")  # a public link does not lead here
    assert download._allowed("https://cdn.example.org/x", "https://example.org/x")
    assert not list(target.parent.iterdir())
