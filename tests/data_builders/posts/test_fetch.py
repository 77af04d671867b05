"""fetch-images against a server on this machine that forgets, delays, lies and redirects."""

import io
import json
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from PIL import Image

from data_builders import fetch_images
from data_builders.posts import fetch
from data_builders.posts.post import RawDataError
from data_builders.posts.read import read_posts
from tests.helpers.raw_layout import with_options

HEADER = "user,img_id,img_url,views,favorites,comments,upload_date"


def photo(kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), (90, 120, 40)).save(out, kind)
    return out.getvalue()


@dataclass
class Server:
    """What it answers: (status, headers, body) by path; each is used up, the last one stays."""

    url: str = ""
    answers: dict[str, list[tuple[int, dict, bytes]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def on(self, path: str, *answers: tuple[int, dict, bytes] | bytes) -> str:
        """Sets what a path answers; returns its address."""
        self.answers[path] = [(200, {}, each) if isinstance(each, bytes) else each for each in answers]
        return self.url + path


@pytest.fixture
def server(monkeypatch):
    behaviour = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            behaviour.asked.append(self.path)
            listed = behaviour.answers.get(self.path, [(404, {}, b"")])
            status, headers, body = listed.pop(0) if len(listed) > 1 else listed[0]
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = int(headers.get("Content-Length", len(body))) != len(body)

        def log_message(self, *arguments):
            pass

    monkeypatch.setattr(fetch._Fetcher, "_sleep", lambda self, seconds: slept.append(seconds))
    slept: list[float] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        behaviour.url = f"http://127.0.0.1:{running.server_port}"
        behaviour.slept = slept
        yield behaviour
        running.shutdown()
        thread.join()


@pytest.fixture
def listed(tmp_path):
    """Writes FlickrUser.csv with these ids and addresses."""

    def write(photos: dict[str, str]):
        rows = [f"u,{number},{url},9,{i + 5},0,{1_500_000_000 + i}" for i, (number, url) in enumerate(photos.items())]
        (tmp_path / "FlickrUser.csv").write_text("\n".join([HEADER, *rows]) + "\n")
        return tmp_path / "FlickrUser.csv"

    return write


def counts(outcome) -> dict[str, int]:
    return dict(outcome.counts)


def test_photos_come_once_and_the_reader_finds_them(server, listed, tmp_path):
    source = listed({str(n): server.on(f"/{n}.jpg", photo(kind)) for n, kind in enumerate(("JPEG", "PNG", "WEBP"))})
    to = tmp_path / "flickr"
    assert counts(fetch.fetch(source, to)) == {"downloaded": 3}
    assert sorted(file.name for file in to.iterdir()) == ["FlickrUser.csv", "gone.txt", "images"]
    table, skips = read_posts(to, with_options())
    assert table["image_ids"].to_list() == [["0"], ["1"], ["2"]] and not skips.counts
    assert counts(fetch.fetch(source, to)) == {"already there": 3} and len(server.asked) == 3
    assert (to / "images" / "1.jpg").read_bytes() == photo("PNG")


def test_what_is_gone_is_not_asked_for_again(server, listed, tmp_path):
    flickr = server.on("/photo_unavailable.png", photo("PNG"))
    source = listed(
        {
            "1": server.on("/1", (404, {}, b"")),
            "2": server.on("/2", (410, {}, b"")),
            "3": server.on("/3", (302, {"Location": flickr}, b"")),
            "4": server.on("/4", (302, {"Location": server.on("/new", photo())}, b"")),
        }
    )
    assert counts(fetch.fetch(source, tmp_path)) == {"gone": 3, "downloaded": 1}
    assert (tmp_path / "gone.txt").read_text().split() == ["1", "2", "3"]
    server.asked.clear()
    assert counts(fetch.fetch(source, tmp_path)) == {"gone": 3, "already there": 1} and not server.asked
    assert (tmp_path / "gone.txt").read_text().split() == ["1", "2", "3"]


def test_what_is_no_photo_is_refused(server, listed, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_BYTES", 4000)
    source = listed(
        {
            "1": server.on("/1", b"<html>"),
            "2": server.on("/2", photo()[:100]),
            "3": server.on("/3", photo("GIF")),
            "4": server.on("/4", bytes(5000)),
            "5": server.on("/5", (200, {"Content-Length": "999999999"}, b"")),
            "6": server.on("/6", (403, {}, b"")),
            "7": "file:///etc/passwd",
            "8": "ftp://127.0.0.1/x",
            "9": "http://[::1",
            "10": server.on("/10", (302, {"Location": "file:///etc/passwd"}, b"")),
            "11": server.on("/11", (302, {"Location": "/11"}, b"")),
        }
    )
    outcome = fetch.fetch(source, tmp_path)
    assert counts(outcome) == {"refused": 11}
    assert "text, such as a web page, is not supported" in outcome.examples["refused"][0]
    assert not list((tmp_path / "images").iterdir())


def test_a_server_that_is_busy_is_asked_again_after_the_time_it_gives(server, listed, tmp_path):
    busy = (429, {"Retry-After": "7"}, b"")
    cut = (200, {"Content-Length": "5000"}, photo())
    source = listed({"1": server.on("/1", busy, (503, {}, b""), cut, photo())})
    assert counts(fetch.fetch(source, tmp_path)) == {"downloaded": 1}
    assert len(server.asked) == 4 and 7.0 in server.slept and max(server.slept) <= 60
    server.on("/2", (429, {"Retry-After": "86400"}, b""))
    outcome = fetch.fetch(listed({"2": f"{server.url}/2"}), tmp_path)
    assert counts(outcome) == {"failed": 1} and max(server.slept) == 60 and "429" in outcome.examples["failed"][0]
    assert outcome.lines()[-1].startswith("Run the command again")
    server.on("/2", photo())
    assert counts(fetch.fetch(listed({"2": f"{server.url}/2"}), tmp_path)) == {"downloaded": 1}


def test_without_a_network_it_ends(listed, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch._Fetcher, "_sleep", lambda self, seconds: None)
    source = listed({str(n): "http://127.0.0.1:9/x.jpg" for n in range(200)})
    with pytest.raises(OSError, match=r"24 photos in a row failed.*it resumes"):
        fetch.fetch(source, tmp_path)


def test_the_rate_is_kept_by_all_threads_together(listed, tmp_path):
    fetcher = fetch._Fetcher(tmp_path, rate=40)
    start = time.monotonic()
    with fetcher:
        list(fetcher._pool.map(lambda _: fetcher._wait_for_turn(), range(21)))
    assert time.monotonic() - start >= 20 / 40


def test_rows_without_a_usable_id_are_counted(server, listed, tmp_path):
    url = server.on("/x", photo())
    outcome = fetch.fetch(listed({"1": url, "../2": url, "a/b": url, ".": url, "..": url, "": url, "3": ""}), tmp_path)
    assert counts(outcome) == {"downloaded": 1} and outcome.skips.counts == {"bad row": 6}
    assert len(list(tmp_path.rglob("*.jpg"))) == 1


def test_media_of_the_graph_api(server, tmp_path):
    media = [
        {"id": "17841", "media_type": "IMAGE", "like_count": 4, "media_url": server.on("/1", photo())},
        {"id": "17842", "media_type": "VIDEO", "like_count": 4, "media_url": server.on("/2", b"video")},
        {"id": "17843", "media_type": "CAROUSEL_ALBUM", "like_count": 5, "children": {"data": [
            {"id": "17844", "media_type": "IMAGE", "media_url": server.on("/4", photo())},
            {"id": "17845", "media_type": "VIDEO", "media_url": server.on("/5", b"video")},
        ]}},
    ]  # fmt: skip
    for each in media:
        each |= {"timestamp": "2020-01-31T14:05:09+0000", "username": "ann"}
    (tmp_path / "media.json").write_text(json.dumps({"data": media}))
    assert counts(fetch.fetch(tmp_path / "media.json", tmp_path / "to")) == {"downloaded": 2}
    table, _ = read_posts(tmp_path / "to", with_options())
    assert table["image_paths"].to_list() == [["images/17841.jpg"], ["images/17844.jpg"]]


@pytest.mark.parametrize("text", [f"{HEADER}\n", "image,account\n", "{"])
def test_a_list_without_photos_is_an_error(tmp_path, text):
    path = tmp_path / ("a.json" if text == "{" else "a.csv")
    path.write_text(text)
    with pytest.raises(RawDataError, match=r"img_id and img_url"):
        fetch.fetch(path, tmp_path / "to")


def test_the_command(server, listed, tmp_path, capsys):
    source = listed({"1": server.on("/1", photo()), "2": server.on("/2", photo()), "3": f"{server.url}/3"})
    assert fetch_images.main([str(source), "--to", str(tmp_path), "--limit", "1", "--rate", "50"]) == 0
    assert "photos downloaded: 1, already there: 0" in capsys.readouterr().out
    assert fetch_images.main([str(source), "--to", str(tmp_path)]) == 0
    assert "downloaded: 1, already there: 1, gone: 1, refused: 0, failed: 0" in capsys.readouterr().out
    assert fetch_images.main([str(tmp_path / "none.csv"), "--to", str(tmp_path)]) == 1
    assert "none.csv" in capsys.readouterr().err
    for wrong in ("0", "nan", "fast", "51"):
        with pytest.raises(SystemExit) as stopped:
            fetch_images.main([str(source), "--to", str(tmp_path), "--rate", wrong])
        assert stopped.value.code == 2
