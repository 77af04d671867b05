"""The peers behind the train loop's interface: steps, Xu's attention, losses of single images, what batches bring."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from group_stand_in import StandIn
from safetensors.numpy import save_file
from tiny_models import random_packs, random_variables, tiny_config, train

from ipa_jax import batches, lookups, losses, networks, packing, photos, preflight, state, steps
from ipa_jax.peers import inputs as peer_inputs
from ipa_jax.peers import zero_shot
from third_party_ports import imagenet, musiq_patches

pytestmark = pytest.mark.xdist_group("peers")

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


@pytest.fixture(scope="module", autouse=True)
def quick_to_compile():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


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
    frozen = {path for path in before if path.startswith(networks.of(config).frozen(config) or "-")}
    assert frozen <= still
    constant = {networks.of(config).bias} if config.loss.name in losses.PAIR_LOSSES else set()
    # Gradients of exactly 0 in these few images: rectifiers that are off, tokens without a mask
    assert len(still - frozen - constant) < 0.1 * len(before)
    old, new = (traverse_util.flatten_dict(s.batch_stats, sep="/") for s in (trained.states[0], trained.states[-1]))
    assert all((old[path] == new[path]).all() == bool(frozen) for path in old)


@pytest.mark.parametrize("name", STEPS)
def test_a_peer_is_the_function_of_its_image_alone(name):
    """Scored in another order: the same z, none of them alike."""
    config = config_of(name)
    model, variables = networks.build(config, dtype="float32"), random_variables(config)
    batch = steps.flatten_packs(random_packs(config, 1, 4))
    score = jax.jit(lambda variables, inputs: model.apply(variables, inputs, train=False)[0])
    z = score(variables, batch)
    assert z.shape == (4,) and z.dtype == jnp.float32
    np.testing.assert_allclose(score(variables, {k: v[::-1] for k, v in batch.items()}), z[::-1], rtol=1e-4, atol=1e-5)
    assert len(np.unique(np.round(np.asarray(z), 6))) == 4


def test_nima_votes_sum_to_one_and_z_is_the_log_of_their_mean():
    config = config_of("nima")
    model, variables = networks.build(config, dtype="float32"), random_variables(config)
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
    of = lambda name, out=None: losses.IMAGE_LOSSES[name](z, out, batch)  # noqa: E731
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
    model, variables = networks.build(config), random_variables(config)
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


def test_quantiles_by_hand():
    accounts, likes = np.array(["b", "a", "b", "b", "a", "b"], object), np.array([5, 1, 9, 5, 2, 1])
    np.testing.assert_allclose(peer_inputs.quantiles(accounts, likes), [2 / 4, 1 / 4, 3.5 / 4, 2 / 4, 3 / 4, 0.5 / 4])


def read(config, dataset, tables=batches.NONE, start=0):
    config.input.update({"threads": 0, "workers": 0, "prefetch": 1})
    return list(
        batches.train_batches(dataset, config, start_step=start, process_index=0, process_count=1, lookups=tables)
    )


def test_a_batch_of_nima_holds_quantiles_of_its_accounts_images():
    dataset = StandIn([3, 2, 4])
    config = tiny_config("nima_tuned", input__resize=48, input__crop=24, batch__slots=5)
    expected = peer_inputs.quantiles(dataset.images["account"].to_numpy(), dataset.images["likes"].to_numpy())
    row = {key: i for i, key in enumerate(dataset.images.select("record", "position").iter_rows())}
    for batch in read(config, dataset):
        for at in np.argwhere(batch["slot_mask"]):
            key = tuple(int(batch[name][tuple(at)]) for name in ("record", "position"))
            assert batch["quantile"][tuple(at)] == expected[row[key]]
    scored = next(batches.score_batches(dataset, config, 9))
    assert "quantile" not in scored and "image_weight" not in scored  # labels


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_train_images_has_an_unknown_account(share):
    dataset = stand_in_with_texts([6] * 20)
    config = tiny_config("uhan", input__resize=48, texts__min_count=1, uhan__unknown=share, batch__slots=12)
    tables = lookups.make(dataset, config)
    steps_of = read(config, dataset, tables)
    hidden = total = 0
    for batch in steps_of:
        for at in map(tuple, np.argwhere(batch["slot_mask"])):
            own = tables.accounts.index(dataset.examples[batch["record"][at]]["account"]) + 1
            assert batch["account"][at] in (0, own)
            hidden, total = hidden + (batch["account"][at] == 0), total + 1
    assert abs(hidden / total - share) < 0.15
    again = read(config, dataset, tables, start=2)
    np.testing.assert_array_equal(again[0]["account"], steps_of[2]["account"])
    known = lookups.Lookups(tables.vocabulary, tables.accounts[1:])  # account0 was not in train
    scored = next(batches.score_batches(dataset, config, 120, lookups=known))
    rows = scored["account"][scored["slot_mask"]].reshape(20, 6)
    expected = [0 if e["account"] == "account0" else known.accounts.index(e["account"]) + 1 for e in dataset.examples]
    np.testing.assert_array_equal(rows, np.repeat(np.array(expected)[:, None], 6, 1))


def test_words_of_a_batch_are_those_of_the_post():
    dataset = stand_in_with_texts([3, 2])
    config = tiny_config("xu_comments", input__resize=48, texts__min_count=1, batch__slots=5)
    tables = lookups.make(dataset, config)
    batch = next(batches.score_batches(dataset, config, 5, lookups=tables))
    for slot in range(5):
        example = dataset.examples[batch["record"][0, slot]]
        texts = {"description": "look at this", "hashtag": "tag", "comment": "nice", "caption": "a picture"}
        for field, text in texts.items():
            assert " ".join(tables.vocabulary.words(batch[f"words/{field}"][0, slot])) == text, example["group_id"]
    with pytest.raises(ValueError, match="'xu', but no vocabulary was given"):
        read(config, dataset)


def test_a_field_holds_the_text_that_its_entry_names():
    """Description=post: the whole text under the name, in batch, parameters and vocabulary alike; UHAN's too."""
    dataset = stand_in_with_texts([3])
    fields = ("image", "description=post", "said=caption")
    config = tiny_config("xu", input__resize=48, texts__min_count=1, batch__slots=3, xu__fields=fields)
    preflight.check_model(config)
    tables = lookups.make(dataset, config)
    batch = next(batches.score_batches(dataset, config, 3, lookups=tables))
    texts = {"description": "look at this tag", "said": "a picture"}
    for field, text in texts.items():
        assert " ".join(tables.vocabulary.words(batch[f"words/{field}"][0, 0])) == text
    assert {key for key in batch if key.startswith("words/")} == {f"words/{field}" for field in texts}
    params = jax.eval_shape(lambda: state.initial_variables(config))["params"]
    assert {"project_image", "project_description", "project_said", "gru_said_forward"} <= params.keys()
    uhan = tiny_config("uhan", uhan__fields=("words=description",))
    assert networks.build(uhan).field == "words" and networks.texts(uhan)[0] == {"words": "description"}


def stand_in_with_texts(sizes):
    dataset = StandIn(sizes)
    for example in dataset.examples:
        n = len(example["likes"])
        example |= {"captions": ["look at this #tag"] * n, "hashtags": ["tag"] * n, "comments": ["nice"] * n}
        example["machine_captions"] = ["a picture"] * n
    return dataset


def test_patches_are_drawn_and_flipped_in_training_and_whole_in_scoring():
    dataset = StandIn([3, 2], side=48)  # 48 px: nine patches of 16
    config = tiny_config("musiq_tuned", batch__slots=5, musiq__train_tokens=4)
    layout = peer_inputs.layout(config, train=False)
    scored = next(batches.score_batches(dataset, config, 5))
    assert scored["patches"].shape == (1, 5, 4 + 16 + 9, 768) and "image" not in scored
    whole = [
        musiq_patches.sequence(photos.decode_whole(photo), layout) for e in dataset.examples for photo in e["images"]
    ]
    for slot, tokens in enumerate(whole):
        np.testing.assert_array_equal(scored["patches"][0, slot], tokens.patches)
        np.testing.assert_array_equal(scored["spatial"][0, slot], tokens.spatial)
        assert scored["patch_mask"][0, slot].all() and scored["scale"][0, slot].tolist() == tokens.scale.tolist()
    row = {key: i for i, key in enumerate(dataset.images.select("record", "position").iter_rows())}
    config.train.epochs, seen = 8.0, set()
    first = read(config, dataset)
    for batch in first:
        assert batch["patches"].shape[2] == 4 + 16 + 4
        for at in map(tuple, np.argwhere(batch["slot_mask"])):
            number = row[int(batch["record"][at]), int(batch["position"][at])]
            own, places = batch["patches"][at][-4:], batch["spatial"][at][-4:]
            straight = {s: p for s, p in zip(whole[number].spatial[-9:], whole[number].patches[-9:], strict=True)}
            flipped = all(not np.allclose(straight[s], p) for s, p in zip(places, own, strict=True))
            assert flipped or all(np.allclose(straight[s], p) for s, p in zip(places, own, strict=True))
            seen.add((flipped, *places.tolist()))
    assert {flipped for flipped, *_ in seen} == {True, False} and len(seen) > 10
    np.testing.assert_array_equal(read(config, dataset, start=3)[0]["patches"], first[3]["patches"])


def test_more_native_tokens_than_are_scored_are_cut():
    config = tiny_config("musiq_tuned", musiq__score_tokens=5)
    scored = next(batches.score_batches(StandIn([2], side=48), config, 2))
    assert scored["patches"].shape[2] == 4 + 16 + 5 and scored["patch_mask"].all()


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
    loaded = jax.jit(lambda: state.initial_variables(config))()
    random = jax.jit(lambda: state.initial_variables(config_of(name)))()
    for path, leaf in traverse_util.flatten_dict(loaded["params"]).items():
        source = random if path[1] in fresh else donor
        expected = source["params"]
        for part in path:
            expected = expected[part]
        np.testing.assert_array_equal(leaf, expected, err_msg="/".join(path))


def test_the_output_starts_at_the_likes_mean():
    config = config_of("uhan")
    params = jax.jit(lambda: state.initial_variables(config, 6.5)["params"])()
    np.testing.assert_array_equal(params["uhan"]["out"]["bias"], [6.5])
    for name in STEPS:
        shapes = jax.eval_shape(lambda name=name: state.initial_variables(config_of(name)))["params"]
        assert (networks.of(config_of(name)).bias or "nima/dense/bias") in traverse_util.flatten_dict(shapes, sep="/")


def test_what_a_peer_cannot_do_is_refused():
    def refused(config, *parts):
        with pytest.raises(preflight.PreflightError) as error:
            preflight.check_model(config)
        assert all(part in str(error.value) for part in parts), error.value

    preflight.check_model(tiny_config("xu_comments"))
    refused(tiny_config("full", model__network="uhan"), "'uhan'", "--config.model.depth.enabled=False")
    refused(tiny_config("uhan", loss__name="emd"), "needs votes", "uhan does not")
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


TINY = {
    "nima": {"stem": 4, "blocks": ((8, 2),)},
    "i2pa": {"stage_sizes": (1,), "width": 4},
    "musiq": {"width": 8, "layers": 1, "heads": 2, "hidden": 8, "stem": 4, "groups": 2},
}


@pytest.mark.parametrize("name", TINY)
def test_zero_shot_scores_are_rows_of_the_index(name):
    dataset = StandIn([3, 2], side=30)
    table = zero_shot.scores(name, None, dataset, random_weights=True, fields=TINY[name])
    assert table.columns == ["account", "record", "image_id", "post_id", "likes", "z"]
    assert table["image_id"].to_list() == dataset.images["image_id"].to_list()
    z = table["z"].to_numpy()
    assert np.isfinite(z).all() and len(np.unique(z)) == 5
    other = StandIn([3, 2], side=30)
    other.examples[0]["images"][0] = other.examples[1]["images"][0]
    changed = zero_shot.scores(name, None, other, random_weights=True, fields=TINY[name])["z"].to_numpy()
    assert changed[0] == pytest.approx(changed[3], abs=1e-6)
    np.testing.assert_allclose(changed[1:], z[1:], atol=1e-6)  # an image's score is its own


def test_zero_shot_prepares_photos_as_published():
    """I2PA by hand: squeezed to 224, [0, 1], nothing else; the network's output is z."""
    from data_builders import frozen_network

    dataset = StandIn([2], side=30)
    z = zero_shot.scores("i2pa", None, dataset, random_weights=True, fields=TINY["i2pa"])["z"].to_numpy()
    network, variables = frozen_network.load("i2pa", TINY["i2pa"], "", (1, 224, 224, 3), "float32", True)
    photos_ = [imagenet.resize(photos.decode_whole(photo), (224, 224)) for photo in dataset.examples[0]["images"]]
    expected, _ = network.apply(variables, np.stack(photos_) / np.float32(255), train=False)
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)


def test_a_row_without_weights_says_how_to_get_them(tmp_path):
    assert zero_shot.missing("nima", None).startswith("weights not given; nima_aesthetic: python -m third_party_ports")
    with pytest.raises(zero_shot.MissingWeights, match=r"musiq_ava\.safetensors is not there; .*fetch musiq_ava --to"):
        zero_shot.scores("musiq", tmp_path, StandIn([2]))
    with pytest.raises(ValueError, match="'vgg' is no system with public weights"):
        zero_shot.scores("vgg", tmp_path, StandIn([2]))
    (tmp_path / "i2pa.safetensors").touch()
    assert zero_shot.missing("i2pa", tmp_path) is None
