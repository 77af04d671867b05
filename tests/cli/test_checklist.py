"""`python -m ipa_jax checklist` on a trained run: it passes as it is, and each thing that a run can get wrong fails."""

import json
import shutil

import polars as pl
import pytest

from configs import full, xu_comments
from data_builders.dataset import GroupDataset
from ipa_jax.input.texts import train
from ipa_jax.leakage import run_checks
from ipa_jax.leakage.checks import FEATURE_SELECTION, ILLEGITIMATE, NO_TEST_SET
from ipa_jax.leakage.run_checks import check
from ipa_jax.training.workdir import SHA256, WorkdirError
from tests.helpers.commands import succeed_here
from third_party_ports import files, seals


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run, to be changed."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("checkpoints"))
    return folder


def rewrite(file, change):
    content = seals.read_json(file, WorkdirError, "")
    change(content)
    seals.write_json(file, content)


def faults(run, data):
    return {title: found for title, (found, _) in check(run, data).items() if found}


def test_the_command_passes_a_run(trained, demo_world, tmp_path):
    arguments = (f"--data_dir={demo_world}/data", f"--workdir={trained}")
    lines = json.loads(succeed_here("checklist", *arguments, "--json").stdout)
    verdicts = {line["title"]: line["verdict"] for line in lines}
    assert list(verdicts.values())[:8].count("pass") == 7 and "fail" not in verdicts.values()
    assert "the network's inputs stay the same" in next(x["found"] for x in lines if x["title"] == ILLEGITIMATE)
    (tmp_path / "lines.json").write_text(json.dumps(lines))
    succeed_here("report", f"--workdir={trained}", f"--data_dir={demo_world}/data", f"--out={tmp_path}/page.html",
            f"--checklist={tmp_path}/lines.json")  # fmt: skip
    assert "illegitimate features" in (tmp_path / "page.html").read_text()


def test_a_run_as_it_is_has_no_faults(run, demo_world):
    assert faults(run, demo_world / "data") == {}


def test_figures_that_its_scores_do_not_give(run, demo_world):
    rewrite(run / "results.json", lambda content: content["test"].update(accuracy=0.99))
    assert list(faults(run, demo_world / "data")) == [NO_TEST_SET]


def test_scores_of_other_images(run, demo_world):
    shutil.copy(run / "scores-validation.parquet", run / "scores-test.parquet")
    named = {name: files.sha256(run / name) for name in ("scores-validation.parquet", "scores-test.parquet")}
    rewrite(run / "results.json", lambda content: content.update({SHA256: named}))
    assert "other images" in faults(run, demo_world / "data")[NO_TEST_SET][0]


def test_a_step_that_validation_does_not_choose(run, demo_world):
    curve = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    worst = min((x["scalars"]["validation/accuracy"], x["step"]) for x in curve
                if "validation/accuracy" in x.get("scalars", {}))[1]  # fmt: skip
    best = json.loads((run / "results.json").read_text())["best_step"]
    if worst != best:
        rewrite(run / "results.json", lambda content: content.update(best_step=worst))
        assert "not the best on validation" in faults(run, demo_world / "data")[FEATURE_SELECTION][0]
    rewrite(run / "results.json", lambda content: content.update(best_step=4))
    assert "not the best on validation" in faults(run, demo_world / "data")[FEATURE_SELECTION][0]


def test_a_factor_that_validation_does_not_give(run, demo_world):
    rewrite(run / "results.json", lambda content: content["test"].update(rescale_factor=2.5))
    assert "rescaled by 2.5" in faults(run, demo_world / "data")[FEATURE_SELECTION][0]


def test_test_figures_during_training(run, demo_world):
    with open(run / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 5, "scalars": {"test/accuracy": 0.9}}) + "\n")
    assert "at step 5" in faults(run, demo_world / "data")[FEATURE_SELECTION][0]


def test_a_network_that_reads_what_comes_later(demo_world, monkeypatch):
    """A field of the batch that holds comments."""

    class Leak:
        def __init__(self, *_, **__):
            pass

        def empty(self, slots):
            import numpy as np

            return {"comments": np.zeros(slots, np.int32)}

        def fill(self, batch, slots, example, positions, step):
            batch["comments"][slots] = [len(example["comments"][p]) for p in positions]

    from ipa_jax.input import fields

    made = fields.make
    monkeypatch.setattr(fields, "make", lambda *args, **more: [*made(*args, **more), Leak()])
    config = full.get_config("tiny")
    test = GroupDataset(demo_world / "data", "test")
    assert run_checks.reads_the_future(test, config, demo_world) == [
        "the network reads what is only known after posting: comments"
    ]


@pytest.mark.parametrize("read", [1, 20])
def test_comments_beyond_what_is_read_hide_nothing(demo_world, tmp_path, read):
    """Posts with more comments than the network reads, none of whose words it knows."""
    config = xu_comments.get_config("tiny")
    config.texts.update({"comments": read, "min_count": 1})
    test = GroupDataset(demo_world / "data", "test", depth=False)
    train(["dog", "beach"], 10, 1).save(tmp_path / "vocabulary.json")

    class Busy:
        def __getattr__(self, name):
            return getattr(test, name)

        def get(self, records):
            return [group | {"comments": ["\n".join(["lovely"] * 30)] * len(group["comments"])}
                    for group in test.get(records)]  # fmt: skip

    assert run_checks.reads_the_future(Busy(), config, tmp_path) == [
        "the network reads what is only known after posting: words/comment"
    ]


def test_near_duplicates_of_a_run(trained, demo_world, tmp_path):
    """Every test image has a line; images of its own group do not count."""
    file = tmp_path / "near.json"
    done = succeed_here(
        "near-duplicates", f"--export={trained}/export", f"--data_dir={demo_world}/data", f"--out={file}"
    )
    found = json.loads(file.read_text())
    test = pl.read_parquet(next((demo_world / "data").rglob("images-test.parquet")))
    assert f"of {len(test)} test images 0 have a near-duplicate by hash" in done.stdout
    sizes = {(account, record): len(bits) for account, groups in found.items() for record, (bits, *_) in groups.items()}
    assert sizes == {(a, str(r)): n for a, r, n in test.group_by("account", "record").len().iter_rows()}
    images = [image for groups in found.values() for lists in groups.values() for image in zip(*lists, strict=True)]
    assert all(4 < bits <= 64 and -1 <= own <= anywhere <= 1.0001 for bits, own, anywhere in images)
    assert any(own < anywhere for _, own, anywhere in images)
