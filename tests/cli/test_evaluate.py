"""`python -m ipa_jax evaluate`: the run's metrics again from its export, whatever the batch and the devices."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from tests.helpers.commands import fail, succeed, succeed_here
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
    from safetensors.numpy import load_file, save_file

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
