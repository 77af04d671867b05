"""`ipa-jax tables`: from a data set to the pages, and again from the records alone."""

import csv
import json

import pytest

from tests.helpers.commands import fail, succeed_here

WORLD = ("--accounts=20", "--posts=40", "--size=tiny", "--seeds=0")


def read(out):
    with (out / "tables.csv").open() as file:
        return {(line["table"], line["row"]): line for line in csv.DictReader(file)}


def test_tables_are_made_once_and_again_from_their_records_alone(study, tmp_path):
    human = tmp_path / "human.json"
    human.write_text(json.dumps({"participants": [1], "answers": 30, "mean": 0.6, "mean_interval": None,
                                 "trimmed_mean": None, "trimmed_mean_interval": None, "split": "test",
                                 "data": "met/top3000/1.1.0", "digest": "0"}))  # fmt: skip
    records, copy = tmp_path / "records", tmp_path / "docs/results_demo.md"
    flags = (*WORLD, "--configs=basic", f"--records={records}", f"--page={copy}", f"--human={human}")
    first = succeed_here("tables", f"--out={study}", *flags)
    assert "2 runs: 0 done, 2 to do" in first.stdout and "2 of 2 runs done" in first.stdout
    assert first.stdout.count("$ python -m ipa_jax train") == 1  # the folder has the full model
    assert "left out: zero_shot_nima (weights not given" in first.stdout
    assert sorted(file.name for file in records.iterdir()) == sorted(
        f"{name}-seed0.json"
        for name in ("full", "basic", "bayes", "universal_only", "retrieval_only", "backbone_knn", "pixel_knn",
                     "caption_only", "content_type", "newer", "older", "account_constant", "chance")
    )  # fmt: skip
    lines = read(study)
    for name in ("full", "basic"):
        stored = json.loads((records / f"{name}-seed0.json").read_text())
        assert float(lines["2", name]["accuracy"]) == pytest.approx(stored["figures"]["accuracy"])
        for metric in ("plcc", "ratio_mse_rescaled"):
            assert float(lines["2", name][metric]) == pytest.approx(stored["figures"][metric], rel=1e-3, abs=1e-5)
    assert lines["baselines", "account_constant"]["accuracy"] == "0.5"
    assert lines["1", "zero_shot_musiq"]["missing"] == "weights not given"
    assert float(lines["1", "human"]["accuracy"]) == 0.6
    page = copy.read_text()
    assert f"python -m ipa_jax tables --out={study}" in page and "| Basic | 78.6 |" in page

    fewer = [flag for flag in flags if not flag.startswith("--configs")]  # what was not asked for keeps its records
    again = succeed_here("tables", f"--out={tmp_path}/b", *fewer, "--configs=full")
    assert "1 runs: 1 done, 0 to do" in again.stdout and "$ python -m" not in again.stdout
    assert read(tmp_path / "b") == lines
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == ["tables.csv", "tables.html", "tables.md"]

    other = fail("tables", f"--out={tmp_path}/b", *flags, "--set", "loss.name=ratio_log")
    assert (
        "full-seed0.json" in other.stderr and "run.fields.loss.name" in other.stderr and "--overwrite" in other.stderr
    )
