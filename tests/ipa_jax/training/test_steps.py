"""The training and scoring steps: loss, gradients, devices, accumulation, averaging; one trace of each."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from ipa_jax.models import registry
from ipa_jax.models.popularity import build_model
from ipa_jax.training import devices, float16, steps
from ipa_jax.training.step_metrics import TrainMetrics
from tests.helpers.paths import ROOT
from tests.helpers.tiny_models import random_packs, random_variables, tiny_config, train

VARIANTS = {  # every file of configs/, and the kinds of ResNet
    "full": ("full", {}),
    "basic": ("basic", {}),
    "basic_retrieval": ("basic_retrieval", {}),
    "concat": ("concat", {"model__depth__resnet": "cached"}),
    "log_likes": ("log_likes", {"model__depth__enabled": False}),
    "frozen": ("full", {"model__depth__resnet": "frozen", "optim__ema": 0.0}),
    "float16": ("full", {"model__dtype": "float16"}),
    "cached": ("full", {"model__depth__resnet": "cached"}),
}
LEARNED = ("full", "frozen", "cached")  # the three that have a ResNet
RUNS = {}


def variant(name: str):
    base, changes = VARIANTS[name]
    return tiny_config(base, **changes)


def run(name: str):
    """Three steps of a variant, each on other packs; run once for all tests."""
    if name not in RUNS:
        config = variant(name)
        RUNS[name] = train(config, [random_packs(config, 2, 3, seed=seed, filled=5) for seed in range(3)])
    return RUNS[name]


def leaves(tree) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize("name", VARIANTS)
def test_three_steps_of_every_config_are_one_trace(name):
    trained = run(name)
    assert trained.traces == 1
    assert np.isfinite(trained.losses).all() and min(trained.losses) > 0
    assert int(trained.states[-1].step) == 3
    before, after = (leaves(s.params) for s in (trained.states[0], trained.states[-1]))
    still = {path for path in before if (before[path] == after[path]).all()}
    resnet = {path for path in before if path.startswith("depth_branch/resnet/")}
    assert still - resnet <= {"head/bias"}  # the same for both images of a pair: ratio losses never see it
    if VARIANTS[name][1].get("model__depth__resnet") in ("frozen", "cached"):
        assert resnet and resnet <= still


def test_float16_takes_nearly_the_same_steps():
    assert run("float16").losses == pytest.approx(run("full").losses, rel=0.02)
    assert float(run("float16").states[-1].opt_state.scale) == float16.FIRST  # no gradient overflowed


@pytest.mark.parametrize("name", LEARNED)
def test_only_a_trained_resnet_moves(name):
    before, *_, after = run(name).states
    moved = lambda a, b: [path for path in leaves(a) if (leaves(a)[path] != leaves(b)[path]).any()]  # noqa: E731
    resnet = [path for path in moved(before.params, after.params) if path.startswith("depth_branch/resnet")]
    assert bool(resnet) == bool(moved(before.batch_stats, after.batch_stats)) == (name == "full")
    assert leaves(before.batch_stats).keys() == leaves(after.batch_stats).keys() != set()


def test_the_average_by_hand():
    """Decay min(ema, (1 + t) / (10 + t)): 0.1 at step 0, 2/11 at step 1; ema 0.99 is far away."""
    states = run("cached").states
    average = states[0].params["head"]["kernel"]
    for step, decay in enumerate((1 / 10, 2 / 11, 3 / 12)):
        average = decay * average + (1 - decay) * states[step + 1].params["head"]["kernel"]
        np.testing.assert_allclose(states[step + 1].ema_params["head"]["kernel"], average, rtol=1e-5, atol=1e-7)
    assert run("frozen").states[-1].ema_params == {}  # ema 0: off


def test_loss_outputs_by_hand():
    """Two packs of two slots; the second pack's pair is not valid."""
    z = jnp.array([[1.0, 3.0], [5.0, 5.0]])
    batch = {"log_likes": jnp.array([[6.0, 5.0], [0.0, 0.0]]), "pair_weight": jnp.zeros((2, 2, 2)).at[0, 0, 1].set(0.5)}
    outputs = steps.loss_outputs(z, {}, batch, "ratio_log")
    assert outputs["d"][0].tolist() == [[0, -2], [2, 0]] and outputs["t"][0].tolist() == [[0, 1], [-1, 0]]
    assert float(outputs["pair_loss"][0, 0, 1]) == pytest.approx((3 / np.log(2)) ** 2)
    metrics = TrainMetrics.single_from_model_output(**outputs)
    assert float(metrics.loss.total) == pytest.approx(0.5 * (3 / np.log(2)) ** 2)
    assert float(metrics.loss.weight) == 0.5


@pytest.mark.parametrize("name", [name for name, row in registry.LOSSES.items() if row.of == "pairs"])
def test_empty_slots_have_finite_losses_and_no_gradient(name):
    """Their z may be anything; 0 x infinity would be NaN."""
    batch = {"log_likes": jnp.array([[6.0, 5.0, 0.0]]), "pair_weight": jnp.zeros((1, 3, 3)).at[0, 0, 1].set(1)}

    def loss(z):
        outputs = steps.loss_outputs(z, {}, batch, name)
        return (outputs["pair_weight"] * outputs["pair_loss"]).sum()

    value, gradient = jax.value_and_grad(loss)(jnp.array([[1.0, 2.0, 500.0]]))
    assert np.isfinite(value) and np.isfinite(gradient).all() and gradient[0, 2] == 0


@pytest.fixture(scope="module")
def accumulated():
    """Basic (no BatchNorm), plain gradient descent, with stochastic depth: one batch whole and in two micro-batches."""
    out = []
    for accumulate in (1, 2):
        config = tiny_config("basic", batch__accumulate=accumulate, optim__ema=0.0, model__swin__drop_path=0.5)
        batch = random_packs(config, 4, 3, filled=10)
        empty = random_packs(config, 4, 3, filled=0)
        lost = batch | {"log_likes": np.full_like(batch["log_likes"], np.nan)}
        out.append(train(config, [batch, empty, lost], tx=optax.sgd(0.1)))
    return out


def test_micro_batches_add_up(accumulated):
    whole, micro = accumulated
    assert whole.losses[0] == pytest.approx(micro.losses[0], rel=1e-5)
    compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # noqa: E731
    jax.tree.map(compare, whole.states[1].params, micro.states[1].params)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), whole.states[0].params, whole.states[1].params)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_recomputed_blocks_take_the_same_steps():
    """config.train.remat changes no parameter's name, and gradients by float32 rounding alone."""
    stored, again = (
        train(config, [random_packs(config, 2, 3, seed=seed, filled=5) for seed in range(2)], tx=optax.sgd(0.05))
        for config in (tiny_config(train__remat=remat, optim__ema=0.0) for remat in ("never", "always"))
    )
    np.testing.assert_allclose(stored.losses, again.losses, rtol=1e-5)
    compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # noqa: E731
    jax.tree.map(compare, stored.states[-1], again.states[-1])


def test_a_step_without_images_changes_nothing(accumulated):
    for trained in accumulated:
        assert trained.losses[1] == 0
        jax.tree.map(np.testing.assert_array_equal, trained.states[1].params, trained.states[2].params)


def test_a_lost_loss_shows(accumulated):
    for trained in accumulated:
        assert np.isnan(trained.losses[2])


def test_the_step_is_the_gradient_of_the_losses_sum():
    """An independent gradient: no stochastic depth, no packs; pairs one by one, over the constant scale."""
    config = tiny_config("basic", optim__ema=0.0, loss__name="ratio_share")
    batch = random_packs(config, 2, 3, filled=5)
    trained = train(config, [batch], tx=optax.sgd(1.0))
    model, variables = build_model(config.model), random_variables(config)
    inputs = steps.flatten_packs(batch)
    pairs = [(3 * p + i, 3 * p + j, w) for (p, i, j), w in np.ndenumerate(batch["pair_weight"]) if w]
    likes = np.exp(batch["log_likes"].ravel())

    def loss(params):
        z, _ = model.apply({"params": params}, inputs, train=False)
        share = lambda a, b: (jax.nn.sigmoid(z[a] - z[b]) - likes[a] / (likes[a] + likes[b])) ** 2  # noqa: E731
        return sum(w * (share(i, j) + share(j, i)) for i, j, w in pairs) / 10

    gradient = jax.jit(jax.grad(loss))(variables["params"])
    compare = lambda g, a, b: np.testing.assert_allclose(a - b, g, rtol=1e-3, atol=1e-6)  # noqa: E731
    jax.tree.map(compare, gradient, trained.states[0].params, trained.states[1].params)


def test_one_and_four_devices_take_the_same_steps():
    """BatchNorm, stochastic depth and a device whose pack is empty: three steps, losses and parameters to 1e-5."""
    program = """
        import jax, numpy as np, optax
        jax.config.update("jax_num_cpu_devices", 4)
        from tests.helpers.tiny_models import random_packs, tiny_config, train

        config = tiny_config(model__swin__drop_path=0.3, optim__ema=0.9)
        batches = [random_packs(config, 4, 2, seed=seed, filled=5) for seed in range(3)]  # 2, 2, 1 and 0 images
        one, four = (train(config, batches, count=count, tx=optax.sgd(0.05)) for count in (1, 4))
        assert one.traces == four.traces == 1, (one.traces, four.traces)
        np.testing.assert_allclose(one.losses, four.losses, rtol=1e-5, atol=1e-7)
        for a, b in zip(one.states, four.states, strict=True):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), a, b)
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PJRT_NPROC": "16"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_score_step_gives_each_image_its_score():
    config = tiny_config(model__depth__resnet="frozen", model__retrieval__enabled=False)
    model, variables = build_model(config.model), random_variables(config)
    batch = {k: v[0] for k, v in random_packs(config, 1, 4, filled=3).items()}
    step, traces = steps.make_score_step(model), []

    def counted(*arguments):
        traces.append(None)
        return step(*arguments)

    score = jax.pmap(counted, devices.AXIS, devices=jax.devices()[:1])
    at = devices.to_devices(variables, jax.devices()[:1])
    spread = {k: v[None] for k, v in batch.items()}
    out, again = score(at, spread), score(at, {k: v[:, ::-1] for k, v in spread.items()})
    assert len(traces) == 1
    assert out["z"].shape == (1, 4) and out["depth_vectors"].shape == (1, 4, 5, 16)
    np.testing.assert_allclose(out["z"], again["z"][:, ::-1], atol=1e-5)
