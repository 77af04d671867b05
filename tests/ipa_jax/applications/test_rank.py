"""The command rank, from a posts.csv and a folder of photos to the gallery."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from configs import basic
from data_builders.retrieval.top_k import nothing
from ipa_jax import rank
from ipa_jax.applications import xmp
from ipa_jax.applications.account import open_account
from ipa_jax.applications.export_model import ExportModel
from ipa_jax.applications.scorers import Asked
from ipa_jax.training.export import save_export
from ipa_jax.training.initial import initial_variables
from ipa_jax.training.trained_on import FILE, TrainedOn
from tests.helpers import red_and_blue
from third_party_ports import checksums


@pytest.fixture(scope="module")
def folder(tmp_path_factory, described_history):
    """history/ of 70 posts of ann, red ones with four times the likes of blue ones, and photos/ of 4 new ones."""
    folder, rng = tmp_path_factory.mktemp("rank"), np.random.default_rng(0)
    shutil.copytree(described_history, folder / "history")
    (folder / "photos/more").mkdir(parents=True)
    for name, hue in (("blue 1", 158), ("red", 4), ("more/red 10", 3), ("more/blue", 161)):
        (folder / f"photos/{name}.jpg").write_bytes(red_and_blue.photo(hue, rng))
    (folder / "photos/broken.jpg").write_bytes(b"no photo")
    (folder / "photos/raw.cr2").write_bytes(b"another format")
    return folder


@pytest.fixture(scope="module")
def ranked(folder):
    """OUT of one run over all photos, with picks and stars, and what it printed."""
    assert call(folder, folder / "photos", "--pick=50%", "--ratings", out="all") == 0
    return folder / "all"


def call(folder, photos, *flags, out):
    return rank.main([f"--history={folder}/history", f"--photos={photos}", f"--out={folder}/{out}", *flags])


def scores(out):
    return {row["photo"]: float(row["score"]) for row in rows_of(out)}


def rows_of(out):
    with (out / "ranking.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_resembles_liked_posts_comes_first(ranked):
    rows = rows_of(ranked)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert ["red" in row["photo"].rsplit("/", 1)[1] for row in rows] == [True, True, False, False]
    assert [row["picked"] for row in rows] == ["yes", "yes", "no", "no"]
    assert all(
        " times your average then" in row["reason"] or "about your average then" in row["reason"] for row in rows
    )


def test_the_record_says_how_often_it_was_right_before(ranked):
    record = json.loads((ranked / "ranking.json").read_text())
    assert record["account"] == "ann" and record["usable_posts"] + len(record["left_out"]["younger than 7 days"]) == 70
    assert record["track_record"]["scorers"]["auto"]["accuracy"] > 0.9
    similar = record["photos"][0]["similar"]
    assert len(similar) == 5 and [post["similarity"] for post in similar] == sorted(
        (post["similarity"] for post in similar), reverse=True
    )


def test_the_page_is_one_file_that_names_what_was_left_out(ranked):
    page = (ranked / "ranking.html").read_text()
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    assert "broken.jpg" in page and ".cr2" in page and "of the history: younger than 7 days" in page
    assert "(such as " in page.partition("younger than 7 days")[2][:120]  # one of the posts is named
    assert page.count("data:image/jpeg") >= 4 + 5


def test_stars_lie_beside_the_photos(folder, ranked):
    first = json.loads((ranked / "ranking.json").read_text())["photos"][0]["name"]
    assert xmp.rating(Path(f"{first}.xmp").read_bytes()) == 5
    assert not (folder / "photos/broken.jpg.xmp").exists()


def test_a_score_does_not_depend_on_the_other_photos(folder, ranked):
    assert call(folder, folder / "photos/red.jpg", out="one") == 0
    (name, score), *rest = scores(folder / "one").items()
    assert not rest and scores(ranked)[name] == pytest.approx(score, abs=1e-5)


def test_features_are_computed_once(folder, ranked, monkeypatch):
    monkeypatch.setattr("data_builders.features.job.run", lambda *_, **__: pytest.fail("features were computed again"))
    assert call(folder, folder / "photos/more", out="again") == 0
    assert set(scores(folder / "again")) <= set(scores(ranked))


def test_a_history_of_several_accounts_asks_for_one(folder, tmp_path, capsys):
    two = folder / "history/two.csv"
    two.write_text((folder / "history/posts.csv").read_text().replace("1.jpg,ann", "1.jpg,ben"))
    assert rank.main([f"--history={two}", f"--photos={folder}/photos", f"--out={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert all(part in error for part in ("error: ", "ann (63", "ben (7", "--account"))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--photos=nowhere"], "--history"),
        (["--history=h", "--photos=p", "--demo"], "--demo"),
        (["--history=.", "--photos=nowhere"], "nowhere does not exist"),
        (["--history=nowhere", "--photos=."], "--history: nowhere"),
        (["--history=h", "--photos=nowhere", "--scorer=model"], "--export"),
    ],
)
def test_wrong_use_ends_with_status_2(flags, named, tmp_path, capsys):
    try:
        status = rank.main([*flags, f"--out={tmp_path}"])
    except SystemExit as end:
        status = end.code
    assert status == 2 and named in capsys.readouterr().err


def test_a_model_is_judged_only_on_photos_that_it_cannot_know(folder, tmp_path, made_bank):
    config = basic.get_config("tiny")
    config.input.update({"resize": 24, "crop": 24})
    config.model.swin.update({"depths": (1,), "heads": (2,)})
    export = tmp_path / "export"
    data = {"statistics": {"train": {"images": 1, "groups": 1, "pairs": 1}}}
    times = made_bank.images.time
    newest, known = int(times[2]), (folder / "history" / made_bank.paths[4]).read_bytes()
    save_export(export, initial_variables(config), config, data, "card")
    asked = of_bank(made_bank)
    assert np.isnan(ExportModel(export, folder / "history")(asked)).all()  # it does not say what it was trained on
    hashed = TrainedOn("salt", newest, frozenset()).hash_of(known)
    trained = TrainedOn("salt", newest, frozenset({hashed}))
    (export / FILE).write_text(trained.to_json())
    checksums.write(export)
    z = ExportModel(export, folder / "history")(asked)
    assert np.isnan(z).tolist() == [True, True, True, False, True, *[False] * (len(z) - 5)]


@pytest.fixture
def made_bank(folder, ranked):
    """The bank of the history, from the features that `ranked` left behind."""
    return open_account(folder / "history").bank


def of_bank(bank):
    """All posts of a bank, to be scored."""
    count = len(bank)
    return Asked(
        bank=bank, options={}, paths=bank.paths, features=bank.features, retrieved=nothing(count, 5),
        seen=np.ones((1, count), bool), cut=np.zeros(count, np.int32), rows=np.arange(count),
    )  # fmt: skip
