"""The command select: generated photos by prompt."""

import csv
import json
import shutil

import numpy as np
import pytest

from ipa_jax import select_photos
from tests.helpers import red_and_blue

RED, BLUE = red_and_blue.RED, red_and_blue.BLUE
HOUSES, CATS = "Steps to a house", 'a <b>cat</b> & "dog"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory, described_history):
    """history/ of ann, whose red photos did better, and images/ of two prompts, with two photos that have none."""
    folder, rng = tmp_path_factory.mktemp("select"), np.random.default_rng(3)
    shutil.copytree(described_history, folder / "history")
    (folder / "images/more").mkdir(parents=True)
    named = {"1 blue": CATS, "2 red": CATS, "3 blue": HOUSES, "more/4 blue": HOUSES, "5 red": "", "6 blue": ""}
    for name, prompt in named.items():
        photo = folder / f"images/{name}.jpg"
        photo.write_bytes(red_and_blue.photo(RED if "red" in name else BLUE, rng))
        if prompt:
            photo.with_suffix(".txt").write_text(f"{prompt}\nNegative prompt: x")
    (folder / "images/7.jpg").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def selected(folder):
    flags = [f"--images={folder}/images", f"--history={folder}/history", f"--out={folder}/out"]
    assert select_photos.main(flags) == 0
    return folder / "out"


def test_each_prompt_has_its_own_order_and_its_best(selected):
    with (selected / "selection.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["photo"].rsplit("/", 1)[1] for row in rows]
    assert names[:2] == ["2 red.jpg", "1 blue.jpg"] and names[4:] == ["5 red.jpg", "6 blue.jpg"]
    assert set(names[2:4]) == {"3 blue.jpg", "4 blue.jpg"}
    assert [row["rank"] for row in rows] == ["1", "2"] * 3 and [row["group"] for row in rows] == list("112233")
    assert [row["picked"] for row in rows] == ["yes", "no"] * 3
    assert [row["prompt"] for row in rows] == [CATS] * 2 + [HOUSES] * 2 + [""] * 2
    record = json.loads((selected / "selection.json").read_text())
    assert [(group["prompt"], group["sources"]) for group in record["groups"]] == [
        (CATS, ["text file"]), (HOUSES, ["text file"]), ("", []),
    ]  # fmt: skip
    assert [name for group in record["groups"] for name in group["photos"]] == [row["photo"] for row in rows]
    assert record["picked_units"] == 3 and record["photos"][0]["similar"] and record["account"] == "ann"


def test_the_page_has_a_gallery_per_prompt(selected):
    page = (selected / "selection.html").read_text()
    assert page.count('<ol class="gallery">') == 3 and page.count('class="mark"') == 3
    assert "a &lt;b&gt;cat&lt;/b&gt; &amp; &#34;dog&#34;</h2>" in page and "Without a prompt</h2>" in page
    assert "6 photos of 2 prompts for ann" in page and "7.jpg" in page
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page


def test_without_any_prompt_it_is_one_gallery(folder):
    flags = [f"--images={folder}/images/more", f"--history={folder}/history", f"--out={folder}/one", "--pick=100%"]
    (folder / "images/more/4 blue.txt").rename(folder / "images/more/other.txt")
    assert select_photos.main(flags) == 0
    page = (folder / "one/selection.html").read_text()
    assert "1 photo for ann" in page and page.count("<h2") == 3 and "no prompt was found" in page


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--history=h"], "--images"),
        (["--images=i"], "--history"),
        (["--images=nowhere", "--history=."], "--images: nowhere"),
        (["--images=empty", "--history=."], "--images: no JPEG"),
        (["--images=empty", "--history=nowhere"], "--history: nowhere"),
        (["--images=one", "--history=.", "--pick=0"], "--pick 0"),
    ],
)
def test_wrong_use_ends_with_status_2(flags, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one/a.jpg").touch()
    try:
        status = select_photos.main([*flags, f"--out={tmp_path}/out"])
    except SystemExit as end:
        status = end.code
    assert status == 2 and named in capsys.readouterr().err
