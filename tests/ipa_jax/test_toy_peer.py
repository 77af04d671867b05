"""Adding a peer and a loss: their own file and one registry row each, and the whole job runs."""

import json

import pytest

from configs import full
from data_builders.dataset import GroupDataset
from ipa_jax import train
from ipa_jax.evaluate import main as evaluate
from ipa_jax.models import registry
from ipa_jax.training import preflight
from tests.helpers import built, tiny_world


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The config of a toy peer under a toy loss, and its data set."""
    monkeypatch.setitem(
        registry.NETWORKS,
        "brightness",
        registry.Network(build="tests.helpers.toy_peer:build", bias="out/bias", reads=lambda config: ("photo",)),
    )
    row = registry.Loss("tests.helpers.toy_peer:absolute", "images", log_likes=True)
    monkeypatch.setitem(registry.LOSSES, "absolute", row)
    tiny_world.write(tmp_path / "world", accounts=4)
    config = built.config()
    config.data_dir = str(built.build_quietly(tmp_path / "world", tmp_path / "data", config=config))
    config.model.network, config.loss.name = "brightness", "absolute"
    config.model.retrieval.enabled = config.model.depth.enabled = False
    config.allow_random_features = True
    full.parameter_groups(config, all=(".*", 1e-2, False))
    return config


def test_a_toy_peer_trains_exports_and_is_evaluated(toy, tmp_path, capsys):
    results = train.run(toy, tmp_path / "run")
    test = GroupDataset(toy.data_dir, "test")
    assert results["parameters"] == 4 and results["test"]["images"] == len(test.images)
    assert evaluate([f"--export={tmp_path}/run/export", f"--data_dir={toy.data_dir}", "--split=test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(results["test"]["accuracy"])


def test_its_row_is_checked_like_any_other(toy):
    preflight.check_model(toy)
    toy.loss.name = "emd"
    with pytest.raises(preflight.PreflightError, match=r"votes.*nima"):
        preflight.check_model(toy)
    toy.loss.name, toy.model.retrieval.enabled = "absolute", True
    with pytest.raises(preflight.PreflightError, match="brightness"):
        preflight.check_model(toy)
