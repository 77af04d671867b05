"""The plug-in under a stand-in of Scenic's interface: its trainer's calls give our own step's parameters."""

import sys
import textwrap
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from ipa_jax.applications import scenic_plugin
from ipa_jax.applications.scenic_plugin import ScenicError
from ipa_jax.models import registry
from ipa_jax.training import devices, state, steps
from tests.helpers.tiny_models import random_packs, random_variables, tiny_config

BASE_MODEL = """
    class BaseModel:
        def __init__(self, config, dataset_meta_data):
            self.config = self.default_flax_model_config() if config is None else config
            self.dataset_meta_data = dataset_meta_data
            self.flax_model = self.build_flax_model()

        def get_metrics_fn(self, split=None):
            raise NotImplementedError

        def get_metrics_fn_jit(self, split=None):
            raise NotImplementedError

        def loss_function(self, logits, batch, model_params=None):
            raise NotImplementedError

        def build_flax_model(self):
            raise NotImplementedError

        def default_flax_model_config(self):
            raise NotImplementedError
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs files as the package scenic: {path below scenic/: content}."""

    def install(files):
        for name in [name for name in sys.modules if name.split(".")[0] == "scenic"]:
            monkeypatch.delitem(sys.modules, name)
        for path, content in files.items():
            file = tmp_path / "scenic" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(content))
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    for name in [name for name in sys.modules if name.split(".")[0] == "scenic"]:
        del sys.modules[name]


@pytest.fixture
def model_class(installed):
    folders = ("", "model_lib/", "model_lib/base_models/")
    installed({f"{folder}__init__.py": "" for folder in folders} | {"model_lib/base_models/base_model.py": BASE_MODEL})
    return scenic_plugin.model_class()


def initialised(model, spec, seed):
    """Parameters and state as Scenic's initialize_model_with_pytree makes them."""
    inputs = jax.tree.map(lambda leaf: jnp.zeros(*leaf), spec, is_leaf=lambda leaf: isinstance(leaf, tuple))
    variables = dict(model.flax_model.init({"params": jax.random.key(seed)}, *inputs, train=False, debug=False))
    return variables.pop("params"), variables


def scenic_step(params, model_state, batch, *, model, tx):
    """One step as Scenic's classification_trainer takes it, under pmap over "batch"."""

    def cost(params):
        logits, new_state = model.flax_model.apply(
            {"params": params, **model_state}, batch["inputs"], mutable=["batch_stats"], train=True,
            rngs={"dropout": jax.random.key(0)}, debug=False,
        )  # fmt: skip
        return model.loss_function(logits, batch, params), (new_state, logits)

    (_, (new_state, logits)), gradient = jax.value_and_grad(cost, has_aux=True)(params)
    gradient = jax.lax.pmean(gradient, axis_name="batch")
    updates, _ = tx.update(gradient, tx.init(params), params)
    return optax.apply_updates(params, updates), new_state, model.get_metrics_fn("train")(logits, batch)


def flat(tree):
    return traverse_util.flatten_dict(dict(tree), sep="/")


def test_a_step_of_scenics_trainer_gives_the_parameters_of_our_own(model_class):
    ours, scale = tiny_config("full", optim__ema=0.0), 7.0
    packs, variables, tx = random_packs(ours, 2, 3, filled=5), random_variables(ours), optax.sgd(0.1)
    place = jax.devices()[:1]
    own_step = steps.make_train_step(registry.build(ours), tx, ours, scale, place)
    before = devices.to_devices(state.create(variables, tx, 0.0), place)
    batch = {name: value[None] for name, value in packs.items()}
    after, measured = own_step(before, batch)

    model = model_class(ConfigDict({"ipa": ours, "batch_size": 6}), {"loss_scale": scale})
    params, model_state = initialised(model, scenic_plugin.input_spec(model.config), ours.seed)
    assert flat(params).keys() == flat(variables["params"]).keys()  # an export's parameters fit as they are
    step = jax.pmap(partial(scenic_step, model=model, tx=tx), axis_name="batch", in_axes=(None, None, 0), devices=place)
    new_params, new_state, metrics = step(
        variables["params"], {"batch_stats": variables["batch_stats"]}, scenic_plugin.batch_for_scenic(batch)
    )
    for wanted, found in ((after.params, new_params), (after.batch_stats, new_state["batch_stats"])):
        wanted, found = flat(wanted), flat(found)
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for name in ("loss", "accuracy"):
        total, weight = (float(part[0]) for part in metrics[name])
        assert total / weight == pytest.approx(float(getattr(measured, name).compute()[0]), rel=1e-5)
    assert model_state.keys() == {"batch_stats"}


def test_the_loss_without_a_scale_is_the_mean_over_valid_pairs(model_class):
    ours = tiny_config("basic")
    model = model_class(ours, {})  # a config without the field ipa is ours itself
    packs = random_packs(ours, 1, 4)
    z = jnp.arange(4.0)
    model.loss_function = partial(scenic_plugin.loss, name="ratio_log")  # outside of pmap: no axis
    d = z[:, None] - z[None, :]
    t = packs["log_likes"][0][:, None] - packs["log_likes"][0][None, :]
    weight = packs["pair_weight"][0]
    wanted = (weight * ((d - t) / np.log(2)) ** 2).sum() / weight.sum()
    assert float(model.loss_function(z, packs)) == pytest.approx(float(wanted), rel=1e-5)
    total, count = model.get_metrics_fn_jit("validation")(z, packs)["accuracy"]
    assert 0 <= float(total) <= float(count) == pytest.approx(weight.sum())


def test_the_default_config_is_the_papers(model_class):
    assert model_class.default_flax_model_config(None).model.swin.width == 128


def test_a_config_without_ours_and_a_loss_of_single_images_are_refused(model_class):
    with pytest.raises(ValueError, match=r"config\.ipa"):
        model_class(ConfigDict({"batch_size": 8}), {})
    with pytest.raises(ValueError, match=r"loss\.name.*ratio_share"):
        model_class(ConfigDict({"ipa": tiny_config("uhan")}), {})


def test_without_scenic_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scenic", None)
    with pytest.raises(ScenicError, match=r"not installed.*google-research/scenic"):
        scenic_plugin.model_class()


def test_the_other_package_of_that_name_is_named(installed):
    installed({"__init__.py": "version = 1", "models.py": ""})
    with pytest.raises(ScenicError, match=r"scenic is another project.*pip uninstall scenic"):
        scenic_plugin.model_class()


def test_a_package_that_scenic_lacks_is_named(installed):
    folders = ("", "model_lib/", "model_lib/base_models/")
    installed(
        {f"{folder}__init__.py": "" for folder in folders} | {"model_lib/base_models/base_model.py": "import absent"}
    )
    with pytest.raises(ScenicError, match="absent is not: pip install absent"):
        scenic_plugin.model_class()
