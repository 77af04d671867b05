"""The whole model: branches by config, scores that are an image's own, precision, intermediate outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ipa_jax.models.popularity import PopularityModel, build_model
from ipa_jax.training import initial
from ipa_jax.training.steps import flatten_packs
from tests.helpers.tiny_models import random_packs, random_variables, tiny_config

IMAGES = 6


def scorer(config):
    """inputs -> (z, out), compiled once a config."""
    model, variables = build_model(config.model), random_variables(config)
    return jax.jit(lambda inputs: model.apply(variables, inputs, train=False))


def branches(config) -> set[str]:
    params = jax.eval_shape(lambda: initial.initial_variables(config))["params"]
    return set(params)


@pytest.fixture(scope="module")
def full():
    config = tiny_config(model__retrieval__tokens="per_image")
    return scorer(config), flatten_packs(random_packs(config, 1, IMAGES))


BASIC = {"swin", "image_project", "image_type", "head", "aggregation"}
RETRIEVAL = {"retrieval", "retrieval_type"}
DEPTH = {"depth_branch", "depth_project", "depth_type"}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("basic", BASIC),
        ("basic_retrieval", BASIC | RETRIEVAL),
        ("full", BASIC | RETRIEVAL | DEPTH),
        ("concat", BASIC - {"aggregation"} | RETRIEVAL | DEPTH | {"concatenation"}),
    ],
)
def test_branches_switch_on_and_off(name, expected):
    assert branches(tiny_config(name)) == expected


def test_depth_without_retrieval():
    assert branches(tiny_config(model__retrieval__enabled=False)) == BASIC | DEPTH


def test_a_score_is_the_images_own(full):
    """In inference, neither order nor company matter: another image in another slot changes no other score."""
    score, inputs = full
    z, _ = score(inputs)
    assert z.shape == (IMAGES,) and z.dtype == jnp.float32 and len(np.unique(z)) == IMAGES
    order = np.random.default_rng(0).permutation(IMAGES)
    np.testing.assert_allclose(score({k: v[order] for k, v in inputs.items()})[0], z[order], atol=1e-5)
    company = {k: np.concatenate([v[:3], np.zeros_like(v[3:])]) for k, v in inputs.items()}
    np.testing.assert_allclose(score(company)[0][:3], z[:3], atol=1e-5)
    assert np.isfinite(score(company)[0]).all()  # empty slots too


@pytest.mark.parametrize("key", ["image", "similarity", "local", "depth", "flip", "window"])
def test_every_input_is_read(full, key):
    score, inputs = full
    fresh = {"flip": ~inputs["flip"], "window": np.float32(np.tile([0, 0, 1], (IMAGES, 1)))}
    changed = fresh.get(key, inputs[key][::-1])
    assert (np.asarray(score(inputs | {key: changed})[0]) != score(inputs)[0]).any()


def test_missing_retrieved_images_are_never_read(full):
    score, inputs = full
    missing = ~inputs["retrieved_mask"]
    assert missing.any()
    garbage = {k: np.where(missing, np.float32(np.nan), inputs[k]) for k in ("similarity", "local", "count")}
    np.testing.assert_array_equal(score(inputs | garbage)[0], score(inputs)[0])


def test_intermediates_have_names_and_shapes(full):
    score, inputs = full
    _, out = score(inputs)
    assert set(out) == {"swin", "depth", "depth_vectors", "tokens", "mask", "embedding"}
    tokens = 36 + 5 + 5  # Swin's 6 x 6 at 24 px, K retrieved, five layers
    assert out["tokens"].shape == (IMAGES, tokens, 16) and out["embedding"].shape == (IMAGES, 16)
    np.testing.assert_array_equal(out["mask"][:, 36:41], inputs["retrieved_mask"])
    assert out["mask"][:, :36].all() and out["mask"][:, 41:].all()
    assert out["depth"]["masks"].shape == (IMAGES, 5, 12, 12)
    assert {"patch_embed", "stage0", "tokens", "pooled"} <= set(out["swin"])
    assert {"resnet/stem", "resnet/layer1", "resnet/pooled"} <= set(out["depth"])


def test_the_type_tells_two_branches_apart():
    """Types are learned: one for the image, one for what was retrieved, one for each depth layer."""
    params = jax.eval_shape(lambda: initial.initial_variables(tiny_config()))["params"]
    shapes = {name: params[name].shape for name in ("image_type", "retrieval_type", "depth_type")}
    assert shapes == {"image_type": (1, 16), "retrieval_type": (1, 16), "depth_type": (5, 16)}


@pytest.mark.parametrize("views, count", [("tokens", 5), ("channels", 1)])
def test_cached_vectors_replace_the_network(views, count):
    """The vectors are all that is read of depth: the maps are not even there."""
    config = tiny_config(model__depth__resnet="cached", model__depth__views=views)
    inputs = flatten_packs(random_packs(config, 1, IMAGES))
    vectors = inputs["depth_vectors"][:, :count]
    inputs = {k: v for k, v in inputs.items() if k not in ("depth", "window", "flip")}
    frozen = build_model(initial.with_resnet(config).model)
    assert "depth_branch" in branches(config)  # scoring new photos needs it
    cached, variables = build_model(config.model), random_variables(config)
    whole = {"depth": np.zeros((IMAGES, 12, 12), np.uint16), "window": np.float32(np.tile([0, 0, 1], (IMAGES, 1))),
             "flip": np.zeros(IMAGES, bool)}  # fmt: skip

    @jax.jit
    def both(inputs):
        z, out = frozen.apply(variables, inputs | whole, train=False)
        same, _ = cached.apply(variables, inputs | {"depth_vectors": out["depth_vectors"]}, train=False)
        return z, same, cached.apply(variables, inputs, train=False)[0]

    z, same, other = both(inputs | {"depth_vectors": vectors})
    np.testing.assert_allclose(same, z, atol=1e-5)
    assert (np.abs(other - z) > 1e-3).all()


def test_bfloat16_computes_but_keeps_float32_parameters_and_scores():
    config = tiny_config(model__dtype="bfloat16")
    shapes = jax.eval_shape(lambda: initial.initial_variables(config))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(shapes)} == {"float32"}
    inputs = flatten_packs(random_packs(config, 1, 2))
    model = build_model(config.model)
    z, out = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), shapes, inputs)
    assert z.dtype == jnp.float32 and out["embedding"].dtype == jnp.float32
    inside = (out["tokens"], out["swin"]["tokens"], out["depth"]["resnet/layer1"])
    assert {str(tap.dtype) for tap in inside} == {"bfloat16"}
    assert build_model(config.model, dtype="float32").dtype == jnp.float32  # what evaluation asks for


def test_bfloat16_scores_are_near():
    config = tiny_config("basic_retrieval")
    inputs = flatten_packs(random_packs(config, 1, IMAGES))
    exact = scorer(config)(inputs)[0]
    config.model.dtype = "bfloat16"
    near = scorer(config)(inputs)[0]
    assert 0 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max() + 0.02


def test_the_head_starts_where_it_is_told():
    head = jax.jit(lambda: initial.initial_variables(tiny_config("basic"), head_bias=6.5)["params"]["head"])()
    assert head["bias"].tolist() == [6.5]


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ValueError, match=r"model\.fusion is 'sum': aggregation or concat"):
        jax.eval_shape(lambda: initial.initial_variables(tiny_config("basic", model__fusion="sum")))


def test_the_paper_size_fits_together():
    """Swin-B and ResNet50 by shapes alone: 49 tokens of 1024, five vectors of 2048, as the paper has them."""
    from configs import full

    config = full.get_config()
    model: PopularityModel = build_model(config.model)
    inputs = initial.example_inputs(config)
    (z, out), variables = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), inputs, train=False))
    assert z.shape == (1,)
    assert out["swin"]["tokens"].shape == (1, 49, 1024)
    assert out["depth_vectors"].shape == (1, 5, 2048)
    assert out["tokens"].shape == (1, 49 + 1 + 5, 512)
    assert set(variables["params"]["aggregation"]) == {"cls", "norm", *(f"block{i}" for i in range(4))}
