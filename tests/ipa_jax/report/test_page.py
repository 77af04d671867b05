"""The report says what the runs' files say, in one file that needs nothing else and lets no data speak as HTML."""

import base64
import io
import json
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from PIL import Image

from ipa_jax.metrics import score_files
from ipa_jax.report import __main__, examples, figures, runs
from ipa_jax.report import page as report
from ipa_jax.training.workdir import read_results
from tests.helpers.stand_in_data import CAPTION, splits, write_workdir
from third_party_ports import seals

ACCOUNTS = ["rosa.travels", "tim_eats", "<b>&mo</b>", "ana"]
BASELINES = {
    "bayes": 0.957,
    "retrieval_only": {"accuracy": 0.784, "accuracy_interval": [0.7, 0.82], "srcc": 0.41},
    "chance": 0.5,
}
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; `unclosed` is empty when every tag is closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = Counter(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def world():
    return splits(ACCOUNTS, groups=24)


@pytest.fixture(scope="module")
def workdirs(world, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return {
        "full": write_workdir(root / "full", world, 0.3, 0),
        '<i>"basic"': write_workdir(root / "basic", world, 1.2, 1),
    }


@pytest.fixture
def build_report(world, tmp_path, monkeypatch):
    file = tmp_path / "build_report.json"
    monkeypatch.setitem(world["test"].info, "build_report", str(file))
    monkeypatch.setattr(report, "open_splits", lambda data_dir: world)
    file.write_text(
        json.dumps(
            {
                "posts": 1234,
                "skips": {"likes hidden (-1)": 7},
                "warnings": ["account <u>x</u>: 34 % of its posts have 3 likes"],
                "splits": {
                    "test": {"images": 5, "paper": {"images": 71948}},
                    "train": {"images": 50, "paper": {"images": 569151}},
                },
                "choices": {"secret": 1},
            }
        )
    )
    return file


@pytest.fixture
def page(build_report, workdirs, tmp_path):
    report.write_report(tmp_path / "out" / "report.html", workdirs, tmp_path, BASELINES)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
    return (tmp_path / "out" / "report.html").read_text()


def test_one_file_that_needs_nothing_else(page):
    parsed = Page(page)
    assert not parsed.open
    assert not parsed.tags["script"] and not parsed.tags["link"] and not parsed.tags["iframe"]
    assert all(value.startswith("data:image/jpeg;base64,") for value in parsed.values("src"))
    assert all(value.startswith("#") for name in ("href", "xlink:href") for value in parsed.values(name))
    style = "".join(parsed.texts[:20]) + " ".join(parsed.values("style"))
    assert "@import" not in style and "url(h" not in page and "http" not in page
    ids = Counter(parsed.values("id"))
    assert max(ids.values()) == 1
    assert {value[1:] for value in parsed.values("href")} | {value[1:] for value in parsed.values("xlink:href")} <= set(
        ids
    )
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page


def test_every_part_is_there(page, workdirs):
    parsed = Page(page)
    text = " ".join(parsed.texts)
    test = json.loads((workdirs["full"] / "results.json").read_text())["test"]
    assert {"metrics", "breakdown", "pairs", "retrieved", "training", "data", "fields"} <= set(parsed.values("id"))
    assert page.index(f"{100 * test['accuracy']:.1f}<small>%") < page.index("<section")  # the key number first
    for name in ("Bayes ceiling", "Retrieval only", "Xu et al. with Swin-B", "79.48 %", "1.1388", "58.66 %", "78.64 %"):
        assert name in text
    assert "not the paper's data" in page.replace("&#39;", "'") and "within one account count" in text
    for metric in ("plcc", "srcc", "ratio_mse"):
        assert f"{test[metric]:.4f}" in text
    assert parsed.tags["svg"] == 5
    assert "1,234" in text and "likes hidden (-1)" in text and "71,948" in text and "secret" not in text
    assert "model.swin.width" in text


def test_the_checklist_stands_in_the_page_where_it_is_given(page, build_report, workdirs, tmp_path):
    assert "python -m ipa_jax checklist" in page
    lines = [
        {"title": "2 illegitimate features", "verdict": "fail", "found": "3 of <9> images", "decided_by": "likes"},
        {"title": "3.1 temporal leakage", "verdict": "not applicable", "found": "no forecast", "decided_by": "times"},
    ]
    report.write_report(tmp_path / "checked.html", workdirs, tmp_path, BASELINES, lines)
    checked = (tmp_path / "checked.html").read_text()
    parsed = Page(checked)
    assert not parsed.open and "<9>" not in checked and "3 of <9> images" in parsed.texts
    assert {"verdict fail", "verdict not-applicable"} <= set(parsed.values("class"))
    assert "python -m ipa_jax checklist" not in checked


def test_text_of_the_data_is_escaped(page):
    parsed = Page(page)
    assert "<script" not in page and "<b>&mo" not in page and "<u>x" not in page and '<i>"basic' not in page
    text = " ".join(parsed.texts)
    assert CAPTION in text and "<b>&mo</b>" in text and "<u>x</u>" in text and '<i>"basic"' in text


def test_real_data_gets_no_demo_label_and_may_lack_curves_intervals_and_build_report(world, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "open_splits", lambda data_dir: world)
    workdir = write_workdir(tmp_path / "run", world, 0.5, 3)
    (workdir / "metrics.jsonl").unlink()
    results = read_results(workdir)
    results["test"] |= {key: None for key in results["test"] if key.endswith("_interval")} | {
        "ratio_mse_rescaled": None
    }
    seals.write_json(workdir / "results.json", results)
    scores = pl.read_parquet(workdir / "scores-test.parquet")
    tied = scores.with_columns(z=pl.lit(0.25))  # no pair right or wrong
    score_files.save(tied, workdir / "scores-test.parquet")
    report.write_report(tmp_path / "report.html", {"run": workdir}, tmp_path)
    page = (tmp_path / "report.html").read_text()
    parsed = Page(page)
    assert not parsed.open and parsed.tags["svg"] == 2  # scores and accounts
    assert "demo world" not in page and "95 %" not in page and "no build_report.json" in page and "no curves" in page


@pytest.mark.parametrize("by", ["features", "file"])
def test_a_drawn_world_is_named_without_its_baselines_and_not_set_beside_the_paper(
    by, build_report, world, workdirs, tmp_path, monkeypatch
):
    if by == "features":
        parts = {"pose": {"name": "demo-world-truth-pose"}}
        monkeypatch.setitem(world["test"].info, "features", {"extractors": parts})
    else:
        (tmp_path / "world.json").touch()
        monkeypatch.setitem(world["test"].info, "source", {"raw": str(tmp_path / "raw")})
    report.write_report(tmp_path / "report.html", workdirs, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not Page(page).open
    assert "drawn demo world" in page and "The paper, on its own data" not in page and "66,536" not in page


def test_retrieved_photos_are_the_bank_s(world, workdirs):
    run = runs.read_run("full", workdirs["full"])
    album = examples.Album(world, ("test", "train", "validation"))
    cards = examples.retrieval_cards(run.scores, world["test"], album, count=3, seed=0)
    assert len({card["account"] for card in cards}) == 3
    for card in cards:
        record, position = (
            world["test"].images.filter(image_id=card["query"]["image_id"]).select("record", "position").row(0)
        )
        example = world["test"].get([record])[0]
        k = example["mask"].shape[1]
        assert len(card["retrieved"]) + card["empty"] == k
        for slot, found in enumerate(card["retrieved"]):
            assert found["image_id"] == example["retrieved_ids"][position * k + slot]
            assert found["likes"] == world["train"].images.filter(image_id=found["image_id"])["likes"].item()
            assert found["local_score"] == example["local_score"][position][slot]
            assert [found["similarity"], *found["parts"].values()] == example["similarity"][position][slot].tolist()


def test_an_image_of_no_split_is_named(world):
    with pytest.raises(ValueError, match="ana/gone"):
        examples.Album(world, ("test", "train")).photo("ana", "gone")


def test_pair_examples_against_a_loop_over_all_pairs(workdirs):
    scores = runs.read_run("full", workdirs["full"]).scores
    rows = scores.rows(named=True)
    margins = {
        (i, j): a["z"] - b["z"]
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if a["record"] == b["record"] and a["likes"] > 2 * b["likes"]
    }
    chosen = examples.pair_examples(scores, 2, count=4, seed=0)
    assert all(margins[pair] > 0 for pair in chosen["right"]) and len(chosen["right"]) == 4
    assert all(margins[pair] < 0 for pair in chosen["wrong"])
    (drawn,) = examples.pair_examples(scores, 2, count=4, seed=0, kinds=("any",)).values()
    assert set(drawn) <= set(margins) and len({rows[i]["account"] for i, _ in drawn}) == 4
    lowest = {}
    for (i, _), margin in margins.items():
        if margin < 0:
            lowest[rows[i]["account"]] = min(margin, lowest.get(rows[i]["account"], 0))
    firsts = [margins[pair] for pair in chosen["worst"]][: len(lowest)]
    assert firsts == sorted(lowest.values())[:4]
    assert len({rows[i]["account"] for i, _ in chosen["right"]}) == 4


def test_scores_of_another_split_are_refused(world, workdirs):
    run = runs.read_run("full", workdirs["full"])
    with pytest.raises(ValueError, match=r"full: scores-test.parquet .* --data_dir"):
        report.render([run], world | {"test": world["validation"]}, None, {}, "data")


def test_a_missing_file_is_named_and_the_old_page_stays(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "report.html").write_text("old")
    arguments = [
        "--workdir",
        str(tmp_path / "run"),
        "--data_dir",
        str(tmp_path),
        "--out",
        str(tmp_path / "report.html"),
    ]
    assert __main__.main(arguments) == 1
    message = capsys.readouterr().err
    assert "run/results.json" in message and "train" in message
    assert (tmp_path / "report.html").read_text() == "old"


def test_the_command_takes_the_results_of_a_demo_as_baselines(build_report, workdirs, tmp_path):
    (tmp_path / "y.json").write_text(json.dumps({"runs": {}, "yardsticks": BASELINES}))
    out = tmp_path / "report.html"
    named = [str(workdirs["full"]), f"again={workdirs['full']}"]
    arguments = ["--workdir", *named, "--data_dir", str(tmp_path), "--baselines", str(tmp_path / "y.json")]
    assert __main__.main([*arguments, "--out", str(out)]) == 0
    assert "Bayes ceiling" in out.read_text() and "again" in out.read_text()
    with pytest.raises(ValueError, match="NAME=PATH"):
        runs.parse_workdirs(["a/full", "b/full"])


def test_log_lines_of_other_kinds_are_passed_over(tmp_path):
    lines = [
        {"hparams": {"seed": 0}},
        {"step": 1, "time": 0, "texts": {}},
        {"step": 2, "time": 0, "scalars": {"train/loss": 1.5}},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert runs.read_log(tmp_path / "metrics.jsonl") == [{"step": 2, "train/loss": 1.5}]


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"step": 1, "scalars": 3}', b"7"])
@pytest.mark.parametrize("read", [runs.read_log, runs.read_baselines, runs.read_checklist])
def test_a_file_of_something_else_is_named(tmp_path, read, content):
    file = tmp_path / "given.json"
    file.write_bytes(content)
    try:
        read(file)
    except runs.ReportError as error:
        assert str(file) in str(error)
    else:
        assert content.startswith(b'{"step"') and read is runs.read_baselines  # JSON of any names will do


def test_figures_are_well_formed_and_take_the_page_s_colours():
    steps = [0, 1, 2]
    drawn = [
        figures.curves(
            [(steps, [0.5, 0.7, 0.9]), ([], [])],
            dashed=[(steps, [0.5, 0.6, 0.7])],
            percent=True,
            best=[2, None],
            name="A b",
        ),
        figures.histogram([np.zeros(5), np.arange(50.0)], "Scores"),
        figures.account_curves([np.array([0.2, 0.9])], "Accounts"),
    ]
    for svg in drawn:
        ElementTree.fromstring(svg.replace("<svg", '<svg xmlns:xlink="x"', 1))
        assert "#0102" not in svg and "var(--run-0)" in svg and "var(--soft)" in svg and "font-family" not in svg
        assert 'role="img"' in svg and "width=" not in svg.split(">")[0]


def test_photos_are_upright_and_small_and_a_broken_one_is_named():
    picture = Image.new("RGB", (900, 600))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    uri = examples.data_uri(buffer.getvalue())
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as shown:
        assert shown.size == (213, 320)
    with pytest.raises(ValueError, match="GIF is not supported"):
        examples.data_uri(b"GIF89a")
    with pytest.raises(ValueError, match="not a readable"):
        examples.data_uri(buffer.getvalue()[:100])
