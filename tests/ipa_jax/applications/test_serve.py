"""The page that ranks photos as they are dropped: what it takes, what it refuses, and whom it answers."""

import io
import json
import shutil
import struct
import threading
import time
import zlib
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from configs import basic, light
from ipa_jax import local_page, serve
from ipa_jax.applications import history_flags, rank_job
from ipa_jax.applications.account import open_account
from ipa_jax.applications.serve import session as sessions
from ipa_jax.applications.serve.session import Session
from ipa_jax.applications.serve.web import MOST_REQUEST, create_app
from ipa_jax.training.export import save_export
from ipa_jax.training.initial import initial_variables
from tests.helpers import red_and_blue


@pytest.fixture(scope="module")
def folder(tmp_path_factory, described_history):
    """history/ of ann, and photos/ of 12 new ones."""
    folder, rng = tmp_path_factory.mktemp("serve"), np.random.default_rng(1)
    shutil.copytree(described_history, folder / "history")
    (folder / "photos").mkdir()
    for number in range(12):
        hue = red_and_blue.RED if number % 2 else red_and_blue.BLUE
        (folder / f"photos/{number:02}.jpg").write_bytes(red_and_blue.photo(hue, rng))
    return folder


@pytest.fixture(scope="module")
def account(folder):
    return open_account(folder / "history")


@pytest.fixture
def opened(account, tmp_path):
    """A session, its client, and the folder of its photos."""
    photos, scratch = tmp_path / "photos", tmp_path / "scratch"
    photos.mkdir()
    scratch.mkdir()
    session = Session(account, photos, scratch)
    yield SimpleNamespace(session=session, client=create_app(session).test_client(), photos=photos)
    session.stop()


def upload(client, *files, **more):
    """POSTs (name, content) pairs as one request."""
    data = {"photo": [(io.BytesIO(content), name) for name, content in files], **more}
    return client.post("/photos", data=data, content_type="multipart/form-data")


def settled(client, *, within=60):
    """The state once nothing waits."""
    end = time.monotonic() + within
    while (state := client.get("/state").get_json())["waiting"]:
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def new_photos(folder):
    return [(file.name, file.read_bytes()) for file in sorted((folder / "photos").iterdir())]


def names(state):
    return [photo["name"] for unit in state["units"] for photo in unit["photos"]]


def huge_png(side):
    """The beginning of a PNG of side x side pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def test_the_order_is_that_of_rank(folder, opened, tmp_path):
    for batch in (new_photos(folder)[8:], new_photos(folder)[:8]):  # in another order, and in two requests
        assert upload(opened.client, *batch).status_code == 204
    state = settled(opened.client)
    (tmp_path / "out").mkdir()
    asked = rank_job.Asked(history_flags.Source(folder / "history"), [folder / "photos"])
    ranking = rank_job.run(asked, tmp_path / "out")
    assert names(state) == [photo.name.rsplit("/", 1)[1] for photo in ranking.photos]
    assert [unit["photos"][0]["why"] for unit in state["units"]] == [p.reason for p in ranking.photos if p.leads]
    assert [unit["rank"] for unit in state["units"]] == list(range(1, len(state["units"]) + 1))
    assert all(a["rank"] < b["rank"] for a, b in pairwise(state["units"])) and not state["refusals"]


def test_reasons_show_similar_posts_and_photos_come_small_and_bare(folder, opened):
    camera = Image.open(folder / "photos/01.jpg")
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    out = io.BytesIO()
    camera.resize((1536, 1280)).save(out, "JPEG", exif=exif)
    upload(opened.client, ("01.jpg", out.getvalue()))
    key = settled(opened.client)["units"][0]["photos"][0]["key"]
    page = opened.client.get(f"/similar/{key}").get_data(as_text=True)
    posts = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert len(posts) == 5 and "your average" in page
    for url, side in ((f"/photo/{key}/small", 480), (f"/photo/{key}/large", 1280), (posts[0], 96)):
        reply = opened.client.get(url)
        image = Image.open(io.BytesIO(reply.data))
        assert max(image.size) == side and not image.getexif() and reply.headers["Cache-Control"] == "no-store"
    for url in (f"/photo/{key}/other", "/photo/0/small", "/post/0", "/similar/0", "/photo/..%2f00001.jpg/small"):
        assert opened.client.get(url).status_code == 404


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"<html>", "text, such as a web page"),
        (b"GIF89a" + b"\0" * 80, "GIF is not supported"),
        (huge_png(12_000), "12000 x 12000 pixels"),
        (huge_png(40_000), "pixels"),
        (b"\xff\xd8\xff\xe0" + b"x" * 500, "not a readable"),
    ],
)
def test_what_is_no_photo_is_refused_by_name(opened, content, said):
    assert upload(opened.client, ("bad.jpg", content)).status_code == 204
    ((name, reason),) = settled(opened.client)["refused"]
    assert name == "bad.jpg" and said in reason and "0x" not in reason
    assert not list(opened.photos.iterdir())


def test_a_photo_that_breaks_later_leaves_the_others_alone(folder, opened):
    good = new_photos(folder)[:2]
    cut = good[0][1][: len(good[0][1]) // 2]  # the header is whole
    upload(opened.client, ("cut.jpg", cut), *good)
    state = settled(opened.client)
    assert sorted(names(state)) == ["00.jpg", "01.jpg"]
    ((name, reason),) = state["refused"]
    assert name == "cut.jpg" and str(opened.photos) not in reason and len(list(opened.photos.iterdir())) == 2


def test_names_are_shown_and_never_used_as_paths(folder, opened):
    hostile = ["../../escape.jpg", "/etc/passwd", "<img src=x onerror=alert(1)>.png", "a\u202egpj.exe", "n" * 4000]
    photos = [content for _, content in new_photos(folder)]
    upload(opened.client, *zip(hostile, photos, strict=False))
    shown = set(names(settled(opened.client)))
    assert {"../../escape.jpg", "/etc/passwd", "<img src=x onerror=alert(1)>.png", "a gpj.exe"} <= shown
    assert max(map(len, shown)) == sessions.NAME_LENGTH
    files = sorted(file.name for file in opened.photos.iterdir())
    assert files == ["00001.jpg", "00002.jpg", "00003.png", "00004.jpg", "00005.jpg"]


def test_limits_are_named(folder, opened, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_PHOTOS", 2)
    first, second, third = new_photos(folder)[:3]
    upload(opened.client, first, ("copy.jpg", first[1]), second, third, too_large=["film.mov"])
    state = settled(opened.client)
    reasons = dict(state["refused"])
    assert sorted(names(state)) == ["00.jpg", "01.jpg"] and state["refusals"] == 3
    assert "the same photo as 00.jpg" in reasons["copy.jpg"]
    assert "2 photos at most" in reasons["02.jpg"] and "larger than 40 MB" in reasons["film.mov"]
    monkeypatch.setattr(sessions, "MOST_BYTES", 10)
    upload(opened.client, ("large.jpg", b"x" * 11))
    assert "larger" in dict(settled(opened.client)["refused"])["large.jpg"]
    form = {"data": b"x", "content_type": "multipart/form-data; boundary=b"}
    too_long = {"CONTENT_LENGTH": str(MOST_REQUEST + 1)}
    assert opened.client.post("/photos", **form, environ_overrides=too_long).status_code == 413


def test_picks_are_shared_and_a_known_state_is_not_sent_again(folder, opened):
    upload(opened.client, *new_photos(folder)[:2])
    state = settled(opened.client)
    other = create_app(opened.session).test_client()  # another window
    assert other.get("/state").get_json() == state
    assert other.get(f"/state?known={state['version']}").status_code == 204
    key = state["units"][1]["photos"][0]["key"]
    assert opened.client.post("/pick", data={"key": key, "on": "1"}).status_code == 204
    changed = other.get(f"/state?known={state['version']}").get_json()
    assert [unit["photos"][0]["picked"] for unit in changed["units"]] == [False, True]
    assert opened.client.post("/pick", data={"key": "nothing", "on": "1"}).status_code == 404
    opened.session.stop()
    opened.session.write_list()
    rows = json.loads((opened.photos / "photos.json").read_text())
    assert [(row["file"], row["name"]) for row in rows] == [("00001.jpg", "00.jpg"), ("00002.jpg", "01.jpg")]
    assert sorted((row["rank"], row["my_pick"]) for row in rows) == [(1, False), (2, True)]


def test_a_failure_names_the_photos_and_the_page_goes_on(folder, opened, monkeypatch):
    def broken(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(sessions, "features_of", broken)
        upload(opened.client, new_photos(folder)[0])
        assert settled(opened.client)["refused"] == [["00.jpg", "cannot be ranked (OSError)"]]
    upload(opened.client, new_photos(folder)[0])
    assert names(settled(opened.client)) == ["00.jpg"]


def test_an_export_scores_photos_too(folder, tmp_path):
    config = basic.get_config()
    config.extract.profile = "light"
    config.model.swin.update(basic.get_config("tiny").model.swin)
    config.data.similarity.update(light.get_config().data.similarity)
    config.data.depth.side = 0
    config.input.update({"resize": 24, "crop": 24})
    config.model.swin.update({"depths": (1,), "heads": (2,)})
    data = {"statistics": {"train": {"images": 1, "groups": 1, "pairs": 1}}}
    save_export(tmp_path / "export", initial_variables(config), config, data, "card")
    (tmp_path / "photos").mkdir()
    session = Session(open_account(folder / "history", export=tmp_path / "export"), tmp_path / "photos", tmp_path)
    client = create_app(session).test_client()
    upload(client, *new_photos(folder)[:2])
    state = settled(client)
    session.stop()
    keys = [unit["photos"][0]["key"] for unit in state["units"]]
    assert len(keys) == 2 and all("model" in session.ranked(key).scores for key in keys)


def test_without_the_token_every_answer_is_403(opened):
    token = local_page.new_token("0.0.0.0")
    client = create_app(opened.session, hosts=None, token=token).test_client()
    for url in ("/", "/state", "/static/serve.js", "/ranking.css", f"/{token[:-1]}/", f"/x{token}/state", "/%ff/"):
        assert client.get(url).status_code == 403
        assert client.post(url).status_code == 403
    page = client.get(f"/{token}/")
    assert page.status_code == 200 and f"/{token}/static/serve.js" in page.text
    for url in ("state", "static/serve.js", "static/serve.css", "ranking.css"):
        with client.get(f"/{token}/{url}") as reply:
            assert reply.status_code == 200
    assert client.post(f"/{token}/photos", headers={"Origin": "http://evil.example"}).status_code == 403
    assert local_page.new_token("127.0.0.1") == "" != token != local_page.new_token("0.0.0.0")


def test_the_page_holds_no_inline_script_or_style(opened):
    page = opened.client.get("/").text
    assert "style=" not in page and "<style" not in page and page.count("<script") == 1 and "onclick" not in page
    assert "this ranking would have put" in page or "your own posts" in page


@pytest.mark.parametrize("keep", [False, True])
def test_photos_are_deleted_on_stop_unless_they_are_kept(folder, tmp_path, monkeypatch, capsys, keep):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def use(app, sockets):
        upload(app.test_client(), new_photos(folder)[0])
        settled(app.test_client())
        assert list(tmp_path.glob("ipa-jax-serve-*"))

    monkeypatch.setattr(local_page, "serve", use)
    kept = tmp_path / "kept"
    flags = [f"--keep={kept}"] if keep else []
    assert serve.main([f"--history={folder}/history", *flags]) == 0
    assert "page: http://127.0.0.1:" in capsys.readouterr().out
    assert not list(tmp_path.glob("ipa-jax-serve-*")) and not [t for t in threading.enumerate() if t.name == "ranking"]
    if keep:
        assert sorted(file.name for file in kept.iterdir()) == ["00001.jpg", "photos.json"]
        assert serve.main([f"--history={folder}/history", *flags]) == 2
        assert "not empty" in capsys.readouterr().err
