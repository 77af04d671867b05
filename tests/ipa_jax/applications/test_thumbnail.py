"""The command thumbnail, from a video to its cover."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from data_builders import videos
from ipa_jax import rank, thumbnail
from ipa_jax.applications import cover_job
from ipa_jax.training.export import save_export
from ipa_jax.training.initial import initial_variables
from tests.helpers import red_and_blue
from tests.helpers.tiny_models import tiny_config
from tests.helpers.videos import damaged, needs_av, noise, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory, described_history):
    """history/ of ann, whose red photos did better, and video.mp4: blue, then red from 2 s on, with a damaged part."""
    folder = tmp_path_factory.mktemp("thumbnail")
    shutil.copytree(described_history, folder / "history")
    hues = [red_and_blue.BLUE] * 50 + [red_and_blue.RED] * 50
    frames = [noise(i // 25, (192, 108), hue) for i, hue in enumerate(hues)]
    write(folder / "video.mp4", frames, options={"crf": "10"}, rotation=90)
    damaged(folder / "video.mp4", 0.3, 800)
    return folder


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export that reads photos alone, untrained."""
    config = tiny_config("basic")
    path = tmp_path_factory.mktemp("basic") / "export"
    data = {"statistics": {"train": {"images": 1, "groups": 1, "pairs": 1}}}
    save_export(path, initial_variables(config), config, data, "card")
    return path


@pytest.fixture(scope="module")
def covered(folder):
    """OUT of one run with the history."""
    flags = [f"--video={folder}/video.mp4", f"--history={folder}/history", f"--out={folder}/out", "--every=20"]
    assert thumbnail.main(flags) == 0
    return folder / "out"


def rows_of(out):
    with (out / "thumbnail.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@needs_av
def test_the_cover_is_what_resembles_liked_posts(covered):
    rows, record = rows_of(covered), json.loads((covered / "thumbnail.json").read_text())
    best = record["video"]["best"]
    assert best["seconds"] >= 2 and (float(rows[0]["seconds"]), int(rows[0]["frame"])) == (
        best["seconds"],
        best["frame"],
    )
    assert [row["picked"] for row in rows] == ["yes"] + ["no"] * (len(rows) - 1)
    scores = [float(row["score"]) for row in rows if row["leads"] == "yes"]
    assert scores == sorted(scores, reverse=True) and record["account"] == "ann"
    assert record["units"] == len(scores) < record["video"]["frames_scored"] == len(rows)
    with Image.open(covered / "best.png") as cover:
        assert cover.size == (108, 192)  # full size, upright
        assert cover.info["Source"] == f"video.mp4, {rows[0]['photo']}"
        red, _, blue = np.asarray(cover.convert("RGB")).mean(axis=(0, 1))
    assert red > blue + 30
    with Image.open(covered / "contact_sheet.png") as sheet:
        assert sheet.width > 700
    assert not (covered / cover_job.SCRATCH).exists()


@needs_av
def test_the_score_is_that_of_the_written_photo(folder, covered):
    """`rank` gives the frame that was written the score that it had in the video."""
    flags = [f"--history={folder}/history", f"--photos={covered}/best.png", f"--out={folder}/ranked"]
    assert rank.main(flags) == 0
    with (folder / "ranked/ranking.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["score"]) == pytest.approx(float(rows_of(covered)[0]["score"]), abs=1e-5)


@needs_av
def test_the_page_is_one_file_that_names_what_was_not_read(covered):
    page, record = (covered / "thumbnail.html").read_text(), json.loads((covered / "thumbnail.json").read_text())
    (gap,) = record["video"]["not_read"]
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page and "<path d=" in page
    assert f"not read: 0:{gap['start']:05.2f} to 0:{gap['end']:05.2f} of the video (damaged data)" in page
    assert "near-identical frames" in page and "Most similar posts" in page and "score +" in page
    assert rows_of(covered)[0]["photo"].partition(",")[0] in page


@needs_av
def test_an_export_alone_gives_an_order_and_claims_nothing(folder, export, monkeypatch, capsys):
    monkeypatch.setattr(cover_job, "AT_ONCE", 3)  # several batches
    flags = [f"--video={folder}/video.mp4", f"--export={export}", f"--out={folder}/alone", "--every=10"]
    assert thumbnail.main(flags) == 0
    assert "No history was given" in capsys.readouterr().out
    record, rows = json.loads((folder / "alone/thumbnail.json").read_text()), rows_of(folder / "alone")
    assert record["ranked_by"] == "model" and record["usable_posts"] == 0 and len(rows) > 6
    assert len({row["score"] for row in rows}) > 3 and {row["expected_low"] for row in rows} == {""}
    page = (folder / "alone/thumbnail.html").read_text()
    assert "No history was given" in page and "How often" not in page and "Most similar" not in page
    assert thumbnail.main([*flags[:-1], "--every=1000", f"--out={folder}/one"]) == 0  # one frame is a video too
    assert len(rows_of(folder / "one")) == 1


@needs_av
def test_what_cannot_work_is_one_error(folder, export, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("no video")
    head = (folder / "video.mp4").read_bytes()[:1500]
    (tmp_path / "head.mp4").write_bytes(head)
    for video, named in (("text.mp4", "cannot be read as a video"), ("head.mp4", "no frame of the video can be read")):
        assert thumbnail.main([f"--video={tmp_path}/{video}", f"--export={export}", f"--out={tmp_path}/out"]) == 1
        error = capsys.readouterr().err
        assert error.count("error: ") == 1 and named in error and "give a" in error
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--history=h"], "--video"),
        (["--video=v"], "--history, --export"),
        (["--video=v", "--history=h", "--every=0"], "--every"),
        (["--video=v", "--history=h", "--every=x"], "--every"),
        (["--video=v", "--export=e", "--scorer=probe"], "--scorer=probe"),
        (["--video=v", "--history=h", "--scorer=model"], "--export"),
        (["--video=nowhere", "--history=."], "--video: nowhere"),
        (["--video=v", "--history=nowhere"], "--history: nowhere"),
    ],
)
def test_wrong_use_ends_with_status_2(flags, named, tmp_path, capsys):
    try:
        status = thumbnail.main([*flags, f"--out={tmp_path}"])
    except SystemExit as end:
        status = end.code
    assert status == 2 and named in capsys.readouterr().err


def test_without_pyav_the_error_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(videos, "av", None)
    (tmp_path / "a.mp4").write_bytes(b"a video")
    assert thumbnail.main([f"--video={tmp_path}/a.mp4", f"--history={tmp_path}", f"--out={tmp_path}/out"]) == 1
    assert "pip install av" in capsys.readouterr().err
