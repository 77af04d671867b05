"""`python -m ipa_jax evaluate`: the run's metrics again from its export, whatever the batch and the devices."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from ipa_jax.training.scorer import Scorer
from tests.helpers.commands import fail, succeed, succeed_here, train_flags
from third_party_ports import checksums


@pytest.mark.parametrize(("images", "devices"), [(7, 1), (96, 4)])
def test_scores_depend_on_neither_batch_nor_devices(trained, tmp_path, images, devices):
    file = tmp_path / "scores.parquet"
    done = succeed("evaluate", f"--export={trained}/export", "--split=test", "--json", f"--images={images}",
                   f"--scores={file}", devices=devices)  # fmt: skip
    fresh, stored = json.loads(done.stdout), json.loads((trained / "results.json").read_text())["test"]
    assert fresh.keys() == stored.keys()
    for name in ("accuracy", "accuracy_interval", "plcc", "srcc", "ratio_mse", "ratio_mse_rescaled", "group_accuracy"):
        np.testing.assert_allclose(fresh[name], stored[name], atol=1e-5)
    assert all(fresh[name] == stored[name] for name in ("pairs", "groups", "images", "accounts", "interval_over"))
    scores, trained_scores = pl.read_parquet(file), pl.read_parquet(trained / "scores-test.parquet")
    assert scores.drop("z").equals(trained_scores.drop("z"))
    np.testing.assert_allclose(scores["z"], trained_scores["z"], rtol=0, atol=1e-5)


def test_bfloat16_tells_what_it_costs(trained):
    done = succeed("evaluate", f"--export={trained}/export", "--split=validation", "--json", "--dtype=bfloat16",
                   "--posts=mean")  # fmt: skip
    found = json.loads(done.stdout)
    cost, posts = found["bfloat16_minus_float32"], found["posts"]
    assert 0 < cost["largest_z"] < 0.2 and abs(cost["accuracy"]) < 0.2
    assert posts["pooled"] == "mean"  # they have one image each here, so their figures are those of the images
    assert all(posts[name] == found[name] for name in ("accuracy", "accuracy_interval", "srcc", "ratio_mse_rescaled"))


def test_several_exports_are_one_ensemble(trained, tmp_path):
    """The mean of z: of an export and itself it is the export's; of two that differ it is between them."""
    other = tmp_path / "other"
    shutil.copytree(trained / "export", other)
    arrays = load_file(other / "model.safetensors")
    arrays["params/head/kernel"] = -3 * arrays["params/head/kernel"]
    save_file(arrays, other / "model.safetensors")
    assert "model.safetensors is damaged" in fail("evaluate", "--export", other).stderr
    checksums.write(other)  # it is meant
    z = {"one": pl.read_parquet(trained / "scores-test.parquet")}
    figures = {"one": json.loads((trained / "results.json").read_text())["test"]}
    for name, exports in (("other", [other]), ("both", [trained / "export", other])):
        done = succeed_here("evaluate", "--export", *exports, f"--scores={tmp_path}/{name}.parquet", "--json")
        figures[name] = json.loads(done.stdout)
        z[name] = pl.read_parquet(tmp_path / f"{name}.parquet")
    assert z["both"].drop("z").equals(z["one"].drop("z"))
    np.testing.assert_allclose(z["both"]["z"], (z["one"]["z"] + z["other"]["z"]) / 2, atol=1e-5)
    assert figures["both"].keys() - figures["one"].keys() == {"exports"} and len(figures["both"]["exports"]) == 2
    assert figures["both"]["accuracy"] == pytest.approx(figures["other"]["accuracy"])  # -3 z + z is -2 z
    message = fail("evaluate", "--export", trained / "export", tmp_path / "none").stderr
    assert f"{tmp_path}/none/config.json" in message


def test_an_export_or_data_set_that_does_not_exist_is_named(trained, tmp_path):
    for flags, word in [
        ([f"--export={tmp_path}"], "config.json"),
        ([f"--export={trained}/export", f"--data_dir={tmp_path}/none"], str(tmp_path / "none")),
    ]:
        assert word in fail("evaluate", *flags).stderr


def test_validation_is_scored_only_where_the_export_lacks_its_factor(trained, tmp_path, monkeypatch):
    """An export of an earlier version, posts, another dtype and another data set need it."""
    scored, scores = [], Scorer.scores
    monkeypatch.setattr(
        Scorer, "scores", lambda self, variables, data: scored.append(data.split) or scores(self, variables, data)
    )

    def evaluate(export, *flags):
        scored.clear()
        printed = succeed_here("evaluate", f"--export={export}", "--json", *flags).stdout
        return json.loads(printed), sorted(scored)

    found, splits = evaluate(trained / "export")
    assert splits == ["test"]
    old = shutil.copytree(trained / "export", tmp_path / "old")
    (old / "rescale.json").unlink()
    checksums.write(old)
    fitted, splits = evaluate(old)
    assert splits == ["test", "validation"]
    assert found.keys() == fitted.keys() and found["accuracy"] == fitted["accuracy"]
    np.testing.assert_allclose(
        [found[name] for name in ("rescale_factor", "ratio_mse_rescaled")],
        [fitted[name] for name in ("rescale_factor", "ratio_mse_rescaled")],
        rtol=1e-4,
    )
    (old / "rescale.json").write_text(json.dumps({"factor": 9.0, "validation": "of another data set"}))
    checksums.write(old)
    assert evaluate(old, "--posts=mean") == evaluate(trained / "export", "--posts=mean")


def test_scores_that_are_not_finite_are_an_error_line(trained, tmp_path):
    other = shutil.copytree(trained / "export", tmp_path / "other")
    arrays = load_file(other / "model.safetensors")
    save_file(arrays | {"params/head/kernel": np.inf * arrays["params/head/kernel"]}, other / "model.safetensors")
    checksums.write(other)
    assert "are not finite" in fail("evaluate", f"--export={other}").stderr


def test_scores_are_refused_in_another_format_before_any_work(tmp_path):
    done = fail("evaluate", f"--export={tmp_path}/none", f"--scores={tmp_path}/scores.csv")
    assert done.returncode == 2 and ".parquet" in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_damaged_shard_is_named_before_any_work(trained, demo_world, tmp_path, command):
    data = shutil.copytree(demo_world / "data", tmp_path / "data")
    (shard,) = data.rglob("top3000-test.array_record-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 4
    shard.write_bytes(content)
    flags = train_flags("full", data, tmp_path / "run") if command == "train" else [f"--export={trained}/export",
                                                                                      f"--data_dir={data}"]  # fmt: skip
    assert f"{shard} is damaged" in fail(command, *flags).stderr
    shard.unlink()
    assert "shards of test" in fail(command, *flags, "--verify=index").stderr
