"""Parameter groups, schedule, EMA and pretrained weights of the train state."""

import importlib

import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

from configs import full
from ipa_jax.training import initial, optimizer, state
from tests.helpers.tiny_models import tiny_config


def parameters(config):
    return jax.eval_shape(lambda: initial.initial_variables(config))["params"]


@pytest.fixture(scope="module")
def params():
    return parameters(tiny_config())


@pytest.fixture
def config():
    return tiny_config()


def test_every_leaf_has_the_group_of_its_path(params, config):
    labels = traverse_util.flatten_dict(optimizer.parameter_labels(params, config), sep="/")
    assert set(labels) == set(traverse_util.flatten_dict(params, sep="/"))
    for path, group in labels.items():
        kernel = path.rsplit("/", 1)[-1] == "kernel"
        assert group == f"{'swin' if path.startswith('swin/') else 'rest'}_{'decayed' if kernel else 'plain'}", path
    assert labels["swin/layers_0/blocks_0/attn/relative_position_bias_table"] == "swin_plain"  # never decayed


@pytest.mark.parametrize("name", ["full", "basic", "concat"])
def test_the_paper_size_has_no_leaf_without_a_group(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    optimizer.parameter_labels(parameters(config), config)


def test_a_leaf_without_a_pattern_is_an_error(params, config):
    config.optim.groups.rest_plain.pattern = "(?!swin/)(?!.*kernel)(?!head).*"
    with pytest.raises(ValueError, match=r"config.optim.groups: head/bias is matched by no pattern"):
        optimizer.parameter_labels(params, config)


def test_a_leaf_of_two_patterns_is_an_error(params, config):
    config.optim.groups.rest_plain.pattern = "(?!swin/)(?!.*kernel).*|head/kernel"
    with pytest.raises(ValueError, match=r"head/kernel is matched by \['rest_decayed', 'rest_plain'\]"):
        optimizer.parameter_labels(params, config)


def test_an_idle_pattern_is_an_error(params, config):
    with config.optim.groups.unlocked():
        config.optim.groups.old = {"pattern": "resnet/.*", "learning_rate": 1.0, "decay": True}
    with pytest.raises(ValueError, match=r"\['old'\] match no parameter"):
        optimizer.parameter_labels(params, config)


@pytest.mark.parametrize("resnet", ["frozen", "cached"])
def test_a_pattern_of_frozen_leaves_is_not_idle(params, config, resnet):
    """One config's groups serve all three kinds of ResNet."""
    config.model.depth.resnet = resnet
    with config.optim.groups.unlocked():
        config.optim.groups.resnet = {"pattern": "depth_branch/.*", "learning_rate": 1.0, "decay": True}
    for name, kernels in (("rest_decayed", ".*kernel"), ("rest_plain", "(?!.*kernel).*")):
        config.optim.groups[name].pattern = f"(?!swin/|depth_branch/){kernels}"
    labels = traverse_util.flatten_dict(optimizer.parameter_labels(params, config), sep="/")
    frozen = {path for path, group in labels.items() if group == optimizer.FROZEN}
    assert frozen == {path for path in labels if path.startswith("depth_branch/resnet/")}


def test_the_schedule_by_hand():
    rate = optimizer.schedule(2.0, 10, 110)
    assert [float(rate(step)) for step in (0, 5, 10)] == pytest.approx([0, 1, 2])
    assert float(rate(60)) == pytest.approx(1)  # half way down
    assert float(rate(85)) == pytest.approx(1 + np.cos(0.75 * np.pi))
    assert float(rate(110)) == pytest.approx(0, abs=1e-6) and float(rate(500)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("warmup, total", [(0, 5), (500, 3), (500, 1), (1, 1), (0, 0)])
def test_short_runs_have_a_schedule_too(warmup, total):
    rate = optimizer.schedule(1.0, warmup, total)
    values = [float(rate(step)) for step in range(max(total, 1))]
    assert np.isfinite(values).all() and max(values) > 0 and min(values) >= 0


LEAVES = {"swin": {"kernel": np.ones(2, np.float32), "bias": np.ones(2, np.float32)},
          "head": {"kernel": np.ones(2, np.float32), "bias": np.ones(2, np.float32)}}  # fmt: skip


def one_update(config, gradients) -> dict:
    tx = optimizer.optimizer(LEAVES, config, total_steps=100)
    updates, _ = tx.update(gradients, tx.init(LEAVES), LEAVES)
    return traverse_util.flatten_dict(jax.tree.map(np.asarray, updates), sep="/")


def test_a_first_update_of_adamw_by_hand(config):
    """Adam's first step is the learning rate times the gradient's sign; decay comes on top, where the group decays."""
    config.optim.groups.swin_decayed.learning_rate = config.optim.groups.swin_plain.learning_rate = 0.01
    config.optim.groups.rest_decayed.learning_rate = config.optim.groups.rest_plain.learning_rate = 0.1
    config.optim.weight_decay = 0.5
    updates = one_update(config, jax.tree.map(lambda leaf: -leaf, LEAVES))
    expected = {"swin/kernel": 0.01 * 0.5, "swin/bias": 0.01, "head/kernel": 0.1 * 0.5, "head/bias": 0.1}
    for path, value in expected.items():
        np.testing.assert_allclose(updates[path], [value] * 2, rtol=1e-4, err_msg=path)


def test_gradients_are_clipped_at_the_norm_of_all(config):
    """Adam forgets a constant scale, so the second moment is looked at: 8 ones of norm sqrt 8 become norm 1."""
    tx = optimizer.optimizer(LEAVES, config, total_steps=100)
    _, opt_state = tx.update(LEAVES, tx.init(LEAVES), LEAVES)
    moments = [leaf for leaf in jax.tree.leaves(optax.tree.get(opt_state, "nu", filtering=_first)) if leaf.ndim]
    np.testing.assert_allclose(np.concatenate(moments), 0.001 / 8, rtol=1e-4)


def _first(path, _) -> bool:
    return "swin_plain" in str(path)


def test_create_copies_for_the_average(config):
    tx = optax.identity()
    variables = {"params": LEAVES, "batch_stats": {}}
    assert state.create(variables, tx, 0.0).ema_params == {}
    assert state.create(variables, tx, 0.0).evaluated["params"] is LEAVES
    averaged = state.create(variables, tx, 0.9)
    assert averaged.evaluated["params"] is averaged.ema_params
    jax.tree.map(np.testing.assert_array_equal, averaged.ema_params, LEAVES)
    assert all(a is not b for a, b in zip(*map(jax.tree.leaves, (averaged.ema_params, LEAVES)), strict=True))


def test_the_start_is_the_seeds(config):
    make = jax.jit(lambda: initial.initial_variables(config)["params"]["head"]["kernel"])
    first = make()
    config.seed = 1
    assert (first != jax.jit(lambda: initial.initial_variables(config)["params"]["head"]["kernel"])()).any()


def test_the_paper_count_of_parameters():
    config = full.get_config("full")
    params = parameters(config)
    assert optimizer.parameter_count(params["swin"]) == pytest.approx(86.7e6, rel=0.01)  # Swin-B without its classifier
    assert optimizer.parameter_count(params["depth_branch"]) == pytest.approx(23.5e6, rel=0.01)  # ResNet50 likewise
