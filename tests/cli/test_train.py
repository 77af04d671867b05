"""`ipa-jax train`: what a run leaves behind, what it refuses, and the other ways to batch and to see depth."""

import json
import math
import re
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from benchmarks.kill_resume import logged
from data_builders.dataset import GroupDataset
from ipa_jax import train
from ipa_jax.training import scorer
from ipa_jax.training.export import load_export
from tests.helpers.commands import fail, run, succeed, succeed_here, train_flags

FIGURES = {"accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "ratio_mse_rescaled", "group_accuracy",
           "pairs", "groups", "images", "accounts", "by_ratio", "by_group_size", "interval_over"}  # fmt: skip


def test_a_run_leaves_metrics_scores_and_an_export(trained, demo_world):
    results = json.loads((trained / "results.json").read_text())
    assert results["steps"] == 11 and results["best_step"] in (5, 10, 11) and results["init"] == "random"
    for split in ("validation", "test"):
        assert results[split].keys() >= FIGURES
        dataset = GroupDataset(demo_world / "data", split)
        scores = pl.read_parquet(trained / f"scores-{split}.parquet")
        assert scores.select("account", "record", "image_id", "likes").equals(
            dataset.images.select("account", "record", "image_id", "likes")
        )
        assert results[split]["images"] == len(scores) and results[split]["pairs"] == dataset.groups["pairs"].sum()
    log = (trained.with_suffix(".txt")).read_text()
    assert f"test pairwise accuracy {results['test']['accuracy']:.4f}" in log and "evaluate" in log
    assert {file.name for file in (trained / "export").iterdir()} == {
        "params", "model.safetensors", "config.json", "data.json", "trained_on.json", "README.md", "rescale.json",
        "checksums.json",
    }  # fmt: skip
    assert "trained from a random start" in (trained / "export/README.md").read_text()
    variables, config, _ = load_export(trained / "export")
    assert config.size == "tiny" and config.data_dir == str(demo_world / "data")
    assert sum(leaf.size for leaf in _leaves(variables["params"])) == results["parameters"]
    assert not list(trained.rglob("*tmp*"))
    accuracy = {step: row["validation/accuracy"] for step, row in logged(trained) if "validation/accuracy" in row}
    assert accuracy.keys() == {5, 10, 11} and accuracy[results["best_step"]] == max(accuracy.values())
    kept = {int(folder.name) for folder in (trained / "checkpoints").iterdir()}
    assert kept == {10, 11, results["best_step"]}  # the latest two and the best


@pytest.mark.skipif(not find_spec("tensorflow"), reason="TensorFlow, which clu's writers need, is not installed")
def test_clus_own_writers_write_what_ours_do(trained, demo_world, tmp_path):
    succeed("train", *train_flags("full", demo_world / "data", tmp_path, "--config.train.writers=clu"))
    everything = {"scalars": 0, "tensors": 0}
    ours, clus = (EventAccumulator(str(folder), everything).Reload() for folder in (trained, tmp_path))
    tags = {name for name in ours.Tags()["scalars"] if not name.endswith("per_second")}
    found = {name: {event.step: event.tensor_proto for event in clus.Tensors(name)} for name in clus.Tags()["tensors"]}
    assert tags and tags <= found.keys()
    for name in tags - {"train/seconds"}:
        wanted = {event.step: event.value for event in ours.Scalars(name)}
        values = {step: float(make_ndarray(value)) for step, value in found[name].items()}
        assert values.keys() == wanted.keys()
        if name == "train/loss":
            np.testing.assert_allclose(list(values.values()), list(wanted.values()), rtol=1e-4)
    assert logged(tmp_path)[-1][0] == logged(trained)[-1][0]  # the CSV and the JSONL are written either way


def _leaves(tree):
    return [x for leaf in tree.values() for x in (_leaves(leaf) if isinstance(leaf, dict) else [leaf])]


def test_metrics_are_logged_once_a_step(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["hparams"]["loss.name"] == "ratio_share"
    rows = logged(trained)
    losses = [(step, row["train/loss"]) for step, row in rows if "train/loss" in row]
    assert [step for step, _ in losses] == list(range(1, 12))
    assert all(0 < loss < 1 for _, loss in losses)
    assert rows[-1][0] == 11 and "test/accuracy" in rows[-1][1]


def test_each_step_is_traced_once_over_logs_evaluations_and_checkpoints(trained):
    log = trained.with_suffix(".txt").read_text()
    # jax calls whatever is pmapped _fun; there are three: gradients, their update, and the score step.
    assert len(re.findall(r"Finished tracing _fun ", log)) == len(re.findall(r"Compiling jit\(_fun\) ", log)) == 3


def test_a_finished_run_is_kept(trained, demo_world):
    def state():
        return {str(f): (f.stat().st_mtime_ns, f.stat().st_size) for f in trained.rglob("*") if f.is_file()}

    before = state()
    # Where it logs and how it reads may differ between two starts.
    again = succeed_here("train", *train_flags("full", demo_world / "data", trained, "--config.train.log_every=7"))
    assert "test pairwise accuracy" in again.stdout
    assert state() == before


def test_what_cannot_run_is_refused_by_name(trained, demo_world, tmp_path):
    data = demo_world / "data"
    cases = [
        (train_flags("full", data, trained, "--config.train.epochs=2"), ["config.train.epochs", "--workdir"]),
        (train_flags("full", tmp_path / "none", tmp_path / "a"), [str(tmp_path / "none"), "build"]),
        (train_flags("full", data, tmp_path / "b", "--config.data.memory.exclude=post"),
         ["config.data.memory.exclude", "'group'", "'post'"]),
        (["--config=configs/full.py:full", f"--config.data_dir={data}", f"--workdir={tmp_path}/c",
          "--config.data.depth.side=48"], ["config.init.swin", "config.init.random"]),
    ]  # fmt: skip
    for flags, words in cases:
        message = fail("train", *flags).stderr
        assert all(word in message for word in words), message
    assert not any(tmp_path.iterdir())  # nothing is left of a refused run


def test_looks_at_a_part_of_validation_neither_save_nor_pick_the_best(demo_world, tmp_path):
    """22 steps in two epochs: the whole split after each of them, eight groups of it every fourth step."""
    more = ("--config.train.epochs=2", "--config.train.eval_every=4", "--config.eval.part=16",
            "--config.train.checkpoint_every=0")  # fmt: skip
    succeed_here("train", *train_flags("basic", demo_world / "data", tmp_path / "w", *more))
    rows = logged(tmp_path / "w")
    assert [step for step, row in rows if "validation/accuracy" in row] == [11, 22]
    assert [step for step, row in rows if "validation_part/accuracy" in row] == [4, 8, 12, 16, 20]
    assert json.loads((tmp_path / "w/results.json").read_text())["best_step"] in (11, 22)
    assert {folder.name for folder in (tmp_path / "w/checkpoints").iterdir()} == {"11", "22"}


def test_a_misspelt_field_or_size_stops_at_once(demo_world, tmp_path):
    misspelt = fail("train", *train_flags("full", demo_world / "data", tmp_path / "w", "--config.loss.nmae=x"))
    assert "nmae" in misspelt.stderr
    size = fail("train", "--config=configs/full.py:huge", f"--workdir={tmp_path}/w")
    assert "huge" in size.stderr and "full, demo, tiny" in size.stderr
    assert not any(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_images(demo_world, tmp_path):
    rates = [f"--config.optim.groups.{group}.learning_rate=1000" for group in ("rest_decayed", "swin_decayed")]
    rates += ["--config.optim.weight_decay=1000"]  # the most of both: each step multiplies the weights by a million
    done = run("train", *train_flags("basic", demo_world / "data", tmp_path / "w", *rates))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    stop = json.loads((tmp_path / "w/non_finite_0.json").read_text())
    assert f"error: step {stop['step']}: the loss is" in done.stderr and "non_finite_0.json" in done.stderr
    known = set(GroupDataset(demo_world / "data", "train").images["image_id"])
    assert len(stop["image_ids"]) > 30 and set(stop["image_ids"]) <= known
    assert not (tmp_path / "w/results.json").exists()


def test_steps_that_wait_on_a_gpu_change_nothing(demo_world, tmp_path, monkeypatch):
    """As on GPUs, two steps and two batches of scores are under way at once; a lost loss is still named by its step."""
    log = ("--config.train.log_every=4", "--config.train.eval_every=100", "--config.eval.images=8")
    lost = [f"--config.optim.groups.{group}.learning_rate=1000" for group in ("rest_decayed", "swin_decayed")]
    lost += ["--config.optim.weight_decay=1000", "--config.train.log_every=100"]
    found = []
    for waiting in (0, 2):
        for module in (train, scorer):
            monkeypatch.setattr(module, "ahead", lambda: waiting)  # noqa: B023
        whole, stopped = tmp_path / f"whole{waiting}", tmp_path / f"stopped{waiting}"
        succeed_here("train", *train_flags("basic", demo_world / "data", whole, *log))
        said = fail("train", *train_flags("basic", demo_world / "data", stopped, *lost)).stderr
        stop = json.loads((stopped / "non_finite_0.json").read_text())
        assert f"error: step {stop['step']}: the loss is" in said
        found.append((logged(whole), pl.read_parquet(whole / "scores-test.parquet").rows(), stop))
    assert [step for step, row in found[0][0] if "train/loss" in row] == [4, 8, 11]
    assert found[0] == found[1]


def test_pairs_train_and_cached_depth_vectors_do_as_a_frozen_resnet(demo_world, tmp_path):
    """Without flip the cached vectors (float16) are those of the augmented image: nearly the same run."""
    data, runs = demo_world / "data", {}
    for kind in ("frozen", "cached"):
        more = (f"--config.model.depth.resnet={kind}", "--config.input.flip=False", "--config.batch.by=pairs",
                "--config.train.epochs=0.2")  # fmt: skip
        succeed_here("train", *train_flags("full", data, tmp_path / kind, *more))
        runs[kind] = load_export(tmp_path / kind / "export")[0]
    pairs = int(GroupDataset(data, "train").groups["pairs"].sum())
    steps = math.ceil(math.ceil(pairs * 0.2) / 12)
    assert {step for step, _ in logged(tmp_path / "frozen")} == set(range(1, steps + 1))
    frozen, cached = runs["frozen"], runs["cached"]
    for resnet in ("params", "batch_stats"):  # neither moved: both are the initial one
        pairs = zip(*(_leaves(tree[resnet]["depth_branch"]["resnet"]) for tree in (frozen, cached)), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    (vectors,) = (tmp_path / "cached/depth_vectors").glob("*.npy")
    assert np.load(vectors, mmap_mode="r").shape[1] == 5
    losses = [[row["train/loss"] for _, row in logged(tmp_path / k) if "train/loss" in row] for k in runs]
    np.testing.assert_allclose(*losses, rtol=0.01)
    # The export of a cached run scores images that no cache holds.
    done = succeed_here("evaluate", f"--export={tmp_path}/cached/export", "--split=test", "--json")
    stored = json.loads((tmp_path / "cached/results.json").read_text())["test"]
    assert json.loads(done.stdout)["accuracy"] == stored["accuracy"]
