"""The peers behind the train loop's interface: steps, losses of single images, starts, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

from ipa_jax import losses
from ipa_jax.input import batches, packing
from ipa_jax.models import registry
from ipa_jax.training import initial, preflight, steps
from tests.helpers.group_stand_in import StandIn
from tests.helpers.tiny_models import random_packs, random_variables, tiny_config, train

STEPS = {  # every peer's file of configs/, and the other ways to train it
    "nima": ("nima_tuned", {}),
    "nima_pairs": ("nima_tuned", {"loss__name": "ratio_share", "nima__padding": "same"}),
    "musiq": ("musiq_tuned", {}),
    "i2pa": ("i2pa_tuned", {"i2pa__pixels": "imagenet"}),
    "uhan": ("uhan", {}),
    "uhan_resnet": ("uhan", {"uhan__grid": "resnet", "uhan__image": "frozen", "uhan__gates": "hard_sigmoid"}),
    "xu": ("xu_comments", {"xu__image": "frozen"}),
    "xu_concat": ("xu", {"xu__attention": "concat", "loss__name": "image_huber"}),
}


def config_of(name):
    base, changes = STEPS[name]
    return tiny_config(base, texts__words=20, **changes)


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_every_peer_are_one_trace_and_move_what_is_trained(name):
    config = config_of(name)
    trained = train(config, [random_packs(config, 2, 3, seed=seed, filled=5) for seed in range(2)])
    assert trained.traces == 1
    assert np.isfinite(trained.losses).all() and min(trained.losses) > 0
    before, after = (traverse_util.flatten_dict(s.params, sep="/") for s in (trained.states[0], trained.states[-1]))
    still = {path for path in before if (before[path] == after[path]).all()}
    frozen = {path for path in before if path.startswith(registry.for_config(config).frozen(config) or "-")}
    assert frozen <= still
    constant = {registry.for_config(config).bias} if registry.loss_of(config).of == "pairs" else set()
    # Gradients of exactly 0 in these few images: rectifiers that are off, tokens without a mask
    assert len(still - frozen - constant) < 0.1 * len(before)
    old, new = (traverse_util.flatten_dict(s.batch_stats, sep="/") for s in (trained.states[0], trained.states[-1]))
    assert all((old[path] == new[path]).all() == bool(frozen) for path in old)


@pytest.mark.parametrize("name", STEPS)
def test_a_peer_is_the_function_of_its_image_alone(name):
    """Scored in another order: the same z, none of them alike."""
    config = config_of(name)
    model, variables = registry.build(config, dtype="float32"), random_variables(config)
    batch = steps.flatten_packs(random_packs(config, 1, 4))
    score = jax.jit(lambda variables, inputs: model.apply(variables, inputs, train=False)[0])
    z = score(variables, batch)
    assert z.shape == (4,) and z.dtype == jnp.float32
    np.testing.assert_allclose(score(variables, {k: v[::-1] for k, v in batch.items()}), z[::-1], rtol=1e-4, atol=1e-5)
    assert len(np.unique(np.round(np.asarray(z), 6))) == 4


def test_nima_votes_sum_to_one_and_z_is_the_log_of_their_mean():
    config = config_of("nima")
    model, variables = registry.build(config, dtype="float32"), random_variables(config)
    batch = steps.flatten_packs(random_packs(config, 1, 3))
    z, out = model.apply(variables, batch, train=False)
    np.testing.assert_allclose(out["votes"].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.exp(z), out["votes"] @ np.arange(1.0, 11), rtol=1e-5)


def test_votes_of_a_quantile_by_hand():
    votes = np.asarray(losses.quantile_votes(jnp.array([0.5, 0.0, 1.0])))
    mass = np.exp(-((np.arange(1, 11) - 5.5) ** 2) / 2)
    np.testing.assert_allclose(votes[0], mass / mass.sum(), rtol=1e-5)
    assert votes[1].argmax() == 0 and votes[2].argmax() == 9
    np.testing.assert_allclose(votes[1], votes[2][::-1], rtol=1e-5)


def test_image_losses_by_hand():
    z, batch = jnp.array([1.0, 4.0]), {"log_likes": jnp.array([1.5, 1.0]), "quantile": jnp.array([0.5, 0.9])}
    of = lambda name, out=None: getattr(losses, name)(z, out, batch)  # noqa: E731
    np.testing.assert_allclose(of("image_log_likes"), [0.25, 9])
    np.testing.assert_allclose(of("image_huber"), [0.25, 2 * 3 - 1])
    target = losses.quantile_votes(batch["quantile"])
    assert np.abs(of("emd_squared", {"votes": target})).max() < 1e-12
    sure = jnp.zeros((2, 10)).at[:, 4].set(1)
    gap = np.cumsum(np.asarray(target), 1) - (np.arange(10) >= 4)
    np.testing.assert_allclose(of("emd_squared", {"votes": sure}), (gap**2).mean(1), rtol=1e-4)
    np.testing.assert_allclose(of("emd", {"votes": sure}), np.sqrt((gap**2).mean(1)), rtol=1e-4)
    assert np.isfinite(jax.grad(lambda v: losses.emd(z, {"votes": v}, batch).sum())(target)).all()


def test_the_step_is_the_weighted_sum_over_images():
    """Plain descent on UHAN: the gradient of the weighted squared errors, one by one; empty slots have none."""
    config = config_of("uhan")
    config.optim.ema = 0.0
    batch = random_packs(config, 2, 3, filled=5)
    batch["log_likes"][1, 2] = 1e6  # of the empty slot
    trained = train(config, [batch], tx=optax.sgd(1.0))
    model, variables = registry.build(config), random_variables(config)
    flat = steps.flatten_packs(batch)

    def loss(params):
        z, _ = model.apply({"params": params}, flat, train=False)
        errors = (z - batch["log_likes"].ravel()) ** 2
        return sum(w * errors[i] for i, w in enumerate(batch["image_weight"].ravel()) if w) / 10

    gradient = jax.jit(jax.grad(loss))(variables["params"])
    compare = lambda g, a, b: np.testing.assert_allclose(a - b, g, rtol=2e-3, atol=2e-5)  # noqa: E731
    jax.tree.map(compare, gradient, trained.states[0].params, trained.states[1].params)


def test_the_scale_of_image_losses():
    dataset = StandIn([3, 2, 4], carousel=True)
    weights = dataset.images["weight"].to_numpy()
    assert weights.sum() == 3 - 1 + 2 + 4 - 1
    for by in ("groups", "pairs"):
        config = tiny_config("uhan", batch__by=by, batch__slots=9, batch__packs=1, batch__pairs=2, texts__min_count=1)
        plan = batches.train_plan(dataset, config)
        shown = weights.sum() if by == "groups" else sum(weights[i] + weights[j] for i, j in plan.index.pairs)
        per_epoch = packing.image_loss_scale(plan, weights) / plan.packs_per_step * plan.packs_per_epoch
        assert per_epoch == pytest.approx(shown)


@pytest.mark.parametrize(("name", "start", "fresh"), [("nima", "nima", ()), ("musiq", "musiq", ("head",))])
def test_a_published_file_starts_all_but_the_new_head(name, start, fresh, tmp_path):
    """Keras' and .npz' axis order: names are paths."""
    config = config_of(name)
    donor = random_variables(config, seed=5)
    statistics = {"mean": "running_mean", "var": "running_var"}
    tensors = {}
    for kind, *path in traverse_util.flatten_dict(donor):
        value = donor[kind]
        for part in path:
            value = value[part]
        tensors[".".join([*path[1:-1], statistics.get(path[-1], path[-1])])] = value
    if fresh:
        tensors["head.kernel"] = np.zeros((3, 10), np.float32)  # of another task
    save_file(tensors, tmp_path / "peer.safetensors")
    config.init.peer = str(tmp_path / "peer.safetensors")
    loaded = jax.jit(lambda: initial.initial_variables(config))()
    random = jax.jit(lambda: initial.initial_variables(config_of(name)))()
    for path, leaf in traverse_util.flatten_dict(loaded["params"]).items():
        source = random if path[1] in fresh else donor
        expected = source["params"]
        for part in path:
            expected = expected[part]
        np.testing.assert_array_equal(leaf, expected, err_msg="/".join(path))


def test_the_output_starts_at_the_likes_mean():
    config = config_of("uhan")
    params = jax.jit(lambda: initial.initial_variables(config, 6.5)["params"])()
    np.testing.assert_array_equal(params["uhan"]["out"]["bias"], [6.5])
    for name in STEPS:
        shapes = jax.eval_shape(lambda name=name: initial.initial_variables(config_of(name)))["params"]
        assert (registry.for_config(config_of(name)).bias or "nima/dense/bias") in traverse_util.flatten_dict(
            shapes, sep="/"
        )


def test_what_a_peer_cannot_do_is_refused():
    def refused(config, *parts):
        with pytest.raises(preflight.PreflightError) as error:
            preflight.check_model(config)
        assert all(part in str(error.value) for part in parts), error.value

    preflight.check_model(tiny_config("xu_comments"))
    refused(tiny_config("full", model__network="uhan"), "'uhan'", "--config.model.depth.enabled=False")
    refused(tiny_config("uhan", loss__name="emd"), "needs votes", "'uhan' does not give")
    refused(tiny_config("xu", xu__fields=("image", "title")), "config.xu.fields", "['title']", "hashtag")
    refused(tiny_config("full", model__network="vgg"), "config.model.network is 'vgg'", "popularity")
    refused(tiny_config("xu", xu__fields=("post", "hashtag=title")), "config.xu.fields", "['title']", "hashtag")
    for fields in (("post", "post=caption"), ("image", "image=post"), ("image=post",)):
        refused(tiny_config("xu", xu__fields=fields), "config.xu.fields", "a name of its own")
    refused(tiny_config("xu", xu__attention="sum"), "config.xu.attention", "modality, concat, mean")
    refused(tiny_config("i2pa_tuned", i2pa__caption_filter=True, loss__name="image_huber"), "caption_filter", "bce")
    refused(tiny_config("i2pa_tuned", i2pa__caption_tags=-1), "config.i2pa.caption_tags", "0 or more")
    config = tiny_config("i2pa_tuned")
    config.init.random = False
    for pixels, field in (("unit", "peer"), ("imagenet", "resnet")):
        config.i2pa.pixels = pixels
        with pytest.raises(preflight.PreflightError, match=rf"config\.init\.{field} is not set"):
            preflight.check_weights(config)
