"""`make flickr`: its commands on a small FlickrUser.csv whose photos a server on this machine has."""

import json
import shlex
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from ipa_jax.baselines.names import BASELINES
from tests.helpers.commands import succeed_here
from tests.helpers.paths import ROOT

ACCOUNTS, PHOTOS = 8, 24  # photos of each account, one every second day


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def flickr(tmp_path):
    """FlickrUser.csv. One of its photos is gone, and one has no favorites."""
    rng = np.random.default_rng(0)
    photos = tmp_path / "server"
    photos.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=photos)) as server:
        lines = ["user,img_id,img_url,views,favorites,comments,upload_date,user_gender,set,ci_score"]
        for number in range(ACCOUNTS * PHOTOS):
            Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(photos / f"{number}.jpg")
            favorites = 0 if number == 3 else 1 + int(rng.lognormal(4, 1))
            url = f"http://127.0.0.1:{server.server_port}/{number}.jpg"
            day = np.datetime64("2015-01-01") + 2 * (number % PHOTOS)
            lines.append(f"{number // PHOTOS}@N01,{number},{url},900,{favorites},3,{day} 10:11:12,f,train,0.5")
        (photos / "7.jpg").unlink()
        (tmp_path / "FlickrUser.csv").write_text("\n".join(lines) + "\n")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield tmp_path / "FlickrUser.csv"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_from_the_list_to_a_report(flickr, tmp_path):
    out = tmp_path / "out"
    variables = (f"FLICKR={flickr}", f"OUT={out}", "RATE=50", "CONFIG=light:tiny", "EXTRACT=--random_weights",
                 "TRAIN=--config.allow_random_features=True")  # fmt: skip
    made = subprocess.run(["make", "-n", "flickr", *variables], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.partition(" -m ipa_jax ")[2] for line in made.stdout.splitlines()]
    commands = [shlex.split(line) for line in lines if line]
    names = [command[0] for command in commands]
    assert names == ["fetch-images", "extract", "build", "train", "evaluate", "baselines", "report"]
    printed = {command[0]: succeed_here(*command).stdout for command in commands}
    photos = ACCOUNTS * PHOTOS
    assert f"downloaded: {photos - 1}, already there: 0, gone: 1" in printed["fetch-images"]
    trained = json.loads((out / "light/results.json").read_text())["test"]
    assert trained["accounts"] <= ACCOUNTS and trained["pairs"] > 0
    page = (out / "light/report.html").read_text()
    assert "<img" in page and BASELINES["newer"].title in page

    written = (out / "light/results.json").stat().st_mtime_ns
    again = {command[0]: succeed_here(*command).stdout for command in commands[:4]}  # a second `make flickr` keeps all
    assert f"downloaded: 0, already there: {photos - 1}, gone: 1" in again["fetch-images"]
    assert (out / "light/results.json").stat().st_mtime_ns == written
