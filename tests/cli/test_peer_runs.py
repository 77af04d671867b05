"""The peers through the commands: trained, exported, evaluated; and scored without training."""

import json

import pytest

from ipa_jax.training.export import load_export
from tests.helpers.commands import fail, succeed, succeed_here, train_flags


@pytest.mark.parametrize(
    ("config", "files"), [("uhan", {"vocabulary.json", "accounts.json"}), ("xu_comments", {"vocabulary.json"})]
)
def test_a_peer_trains_and_its_export_gives_the_same_figures(config, files, demo_world, tmp_path):
    data, workdir, flags = demo_world / "data", tmp_path / config, ["--config.texts.min_count=2"]
    if config == "xu_comments":
        (tmp_path / "glove.txt").write_text("beach 1 2 3 4\nunheard 0 0 0 0\n")
        flags.append(f"--config.init.words={tmp_path}/glove.txt")
    told = succeed("train", *train_flags(config, data, workdir, *flags)).stderr
    assert ("glove.txt holds 1 of the vocabulary's" in told) == (config == "xu_comments")
    results = json.loads((workdir / "results.json").read_text())
    export = (workdir / "export").rename(tmp_path / "moved")  # it needs nothing else of its run
    assert files <= {file.name for file in export.iterdir()}
    card = (export / "README.md").read_text()
    assert f"| network | {config.split('_')[0]} |" in card
    assert ("written after posting" in card) == (config == "xu_comments")
    assert ("word vectors of glove.txt" in card) == (config == "xu_comments")
    variables, stored, _ = load_export(export)
    assert stored.model.network == config.split("_")[0] and variables["params"].keys() >= {"swin"}
    done = succeed_here("evaluate", f"--export={export}", "--split=test", "--json")
    fresh = json.loads(done.stdout)
    for figure in ("accuracy", "plcc", "srcc", "ratio_mse"):
        assert fresh[figure] == pytest.approx(results["test"][figure], abs=1e-5)
    succeed_here("report", f"--workdir={workdir}", f"--data_dir={data}", f"--out={tmp_path}/report.html")
    (export / "vocabulary.json").unlink()
    assert "vocabulary.json is missing" in fail("evaluate", f"--export={export}", "--split=test").stderr


def test_zero_shot_scores_or_how_to_get_the_weights(demo_world, tmp_path):
    flags = ("--network=nima_technical", f"--data_dir={demo_world}/data")
    done = succeed_here("zero-shot", *flags, "--random_weights", "--json")
    results = json.loads(done.stdout)
    assert results["random_weights"] and results["network"] == "nima_technical" and results["pairs"] > 0
    message = fail("zero-shot", *flags, f"--weights={tmp_path}").stderr
    assert f"ipa-jax fetch nima_technical --out {tmp_path}" in message
