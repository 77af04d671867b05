"""Xu's network: attention over the fields that are present, texts through recurrent encoders (the five properties)."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from ipa_jax.models import registry
from ipa_jax.training import steps
from tests.helpers.tiny_models import random_packs, random_variables, tiny_config


@pytest.fixture(scope="module")
def made():
    config = tiny_config("xu_comments", texts__words=20)
    batch = steps.flatten_packs(random_packs(config, 1, 5, seed=3))
    for field in ("description", "hashtag", "comment", "caption"):
        batch[f"words/{field}"][0, -1] = 5  # the first post has every field
    return config, registry.build(config, dtype="float32"), random_variables(config), batch


def test_weights_are_over_the_present_fields(made):
    config, model, variables, batch = made
    _, out = model.apply(variables, batch, train=False)
    absent = np.stack([(batch[f"words/{f}"] == 0).all(1) for f in config.xu.fields[1:]], 1)
    np.testing.assert_array_equal(out["present"][:, 1:], ~absent)
    assert absent.any() and out["present"][:, 0].all() and out["present"][0].all()
    np.testing.assert_allclose(out["weights"].sum(1), 1, rtol=1e-6)
    assert (np.asarray(out["weights"])[~np.asarray(out["present"])] == 0).all()
    assert (np.asarray(out["weights"])[np.asarray(out["present"])] > 0).all()


def test_an_absent_field_gives_its_encoder_no_gradient(made):
    _, model, variables, batch = made
    batch = batch | {"words/caption": np.zeros_like(batch["words/caption"])}
    grad = jax.jit(jax.grad(lambda p: model.apply({"params": p}, batch, train=False)[0].sum()))(variables["params"])
    flat = traverse_util.flatten_dict(grad, sep="/")
    caption = [path for path in flat if "_caption" in path]
    assert len(caption) > 6 and all((flat[path] == 0).all() for path in caption)
    assert all((flat[path.replace("caption", "description")] != 0).any() for path in caption)


@pytest.mark.parametrize("attention", ["modality", "mean"])
def test_without_texts_the_image_is_all(made, attention):
    _, model, variables, batch = made
    model = model.clone(attention=attention)
    bare = {k: np.zeros_like(v) if k.startswith("words/") else v for k, v in batch.items()}
    _, out = model.apply(variables, bare, train=False)
    assert (np.asarray(out["weights"]) == [1, 0, 0, 0, 0]).all()
    alone = model.clone(fields=("image",))
    mine = {k: v for k, v in variables["params"].items() if not k.startswith(("gru_", "project_", "norm_"))}
    mine |= {k: variables["params"][k] for k in ("project_image", "norm_image")}
    np.testing.assert_allclose(
        alone.apply({"params": mine}, bare, train=False)[0], model.apply(variables, bare, train=False)[0], rtol=1e-5
    )


@pytest.mark.parametrize("attention", ["modality", "mean"])
def test_the_order_of_the_fields_means_nothing(made, attention):
    config, model, variables, batch = made
    model = model.clone(attention=attention)
    other = model.clone(fields=config.xu.fields[::-1])
    (z, out), (same, turned) = (m.apply(variables, batch, train=False) for m in (model, other))
    np.testing.assert_allclose(z, same, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out["weights"], turned["weights"][:, ::-1], rtol=1e-5, atol=1e-7)


def test_more_padding_changes_nothing_and_the_order_of_words_only_in_sentences(made):
    _, model, variables, batch = made
    z, _ = model.apply(variables, batch, train=False)
    padded = {k: np.pad(v, ((0, 0), (3, 0))) if k.startswith("words/") else v for k, v in batch.items()}
    np.testing.assert_allclose(model.apply(variables, padded, train=False)[0], z, rtol=1e-4, atol=1e-6)
    for field, same in (("hashtag", True), ("description", False)):
        turned = batch | {f"words/{field}": batch[f"words/{field}"][:, ::-1]}
        found = np.abs(np.asarray(model.apply(variables, turned, train=False)[0] - z)).max()
        assert (found < 1e-5) == same


def test_training_draws_by_the_images_keys_alone(made):
    config, model, variables, batch = made
    model = model.clone(field_dropout=0.5, dropout=0.5)
    keys = jax.random.split(jax.random.key(0), 5)
    run = lambda rows: model.apply(  # noqa: E731
        variables, {k: v[rows] for k, v in batch.items()}, train=True, keys=keys[rows]
    )
    (z, out), (two, _) = run(np.arange(5)), run(np.array([3, 0]))
    np.testing.assert_allclose(z[np.array([3, 0])], two, rtol=1e-4, atol=1e-6)
    still, _ = model.apply(variables, batch, train=False)
    assert not np.allclose(z, still)
    assert np.asarray(out["present"])[:, 0].all()  # the photo is never dropped
    there = np.stack([(batch[f"words/{f}"] > 0).any(1) for f in config.xu.fields[1:]], 1)
    assert 0 < np.asarray(out["present"])[:, 1:].sum() < there.sum()


def test_an_unknown_attention(made):
    _, model, variables, batch = made
    with pytest.raises(ValueError, match="'sum': modality, concat or mean"):
        model.clone(attention="sum").apply(variables, batch, train=False)
