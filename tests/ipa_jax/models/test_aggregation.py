"""The aggregation encoder and its concatenation ablation (section 3.4)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ipa_jax.models.aggregation import AggregationEncoder, Concatenation

TOKENS = np.random.default_rng(0).normal(size=(3, 6, 8)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]], bool)


@pytest.fixture(scope="module")
def encoder():
    """(variables, tokens, mask) -> embedding, compiled once; the variables."""
    module = AggregationEncoder(blocks=2, heads=2, mlp_ratio=2)
    variables = jax.jit(module.init)(jax.random.key(0), TOKENS, MASK)
    # flax starts biases at 0 and cls near it: random ones, so that no term can hide
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)
    variables = tree.unflatten([x + 0.3 * rng.normal(size=x.shape).astype(np.float32) for x in leaves])
    return jax.jit(module.apply), variables


def test_masked_tokens_have_no_influence(encoder):
    apply, variables = encoder
    garbage = np.where(MASK[..., None], TOKENS, 1e3).astype(np.float32)
    np.testing.assert_array_equal(apply(variables, TOKENS, MASK), apply(variables, garbage, MASK))


def test_masking_is_leaving_out(encoder):
    apply, variables = encoder
    some = apply(variables, TOKENS[1:2][:, MASK[1]], np.ones((1, 4), bool))
    np.testing.assert_allclose(apply(variables, TOKENS, MASK)[1:2], some, rtol=1e-5, atol=1e-5)


def test_unmasked_tokens_have(encoder):
    apply, variables = encoder
    moved = TOKENS.copy()
    moved[:, 2] *= 2 * np.arange(8)  # an added constant would vanish in the pre-norm
    change = np.abs(np.asarray(apply(variables, moved, MASK) - apply(variables, TOKENS, MASK))).max(1)
    assert (change[:2] > 1e-3).all() and change[2] == 0


def test_the_order_of_tokens_does_not_matter(encoder):
    """Position comes with the tokens (Swin's, and the type embeddings), not from the encoder."""
    apply, variables = encoder
    order = np.random.default_rng(2).permutation(6)
    shuffled = apply(variables, TOKENS[:, order], MASK[:, order])
    np.testing.assert_allclose(shuffled, apply(variables, TOKENS, MASK), rtol=1e-5, atol=1e-5)


def test_without_tokens_the_cls_token_speaks_alone(encoder):
    apply, variables = encoder
    lone = apply(variables, TOKENS, MASK)[2]
    assert np.isfinite(lone).all()
    np.testing.assert_allclose(lone, apply(variables, TOKENS * 2, MASK)[2])


def test_an_encoder_by_plain_numpy():
    """One block, one head, written out again: pre-norm, residuals, scaled dot products, exact GELU, final norm."""
    module = AggregationEncoder(blocks=1, heads=1, mlp_ratio=2)
    variables = jax.jit(module.init)(jax.random.key(3), TOKENS[:1], MASK[:1])
    p = jax.tree.map(np.asarray, variables["params"])

    def norm(x, p):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]

    def dense(x, p):
        return x @ p["kernel"] + p["bias"]

    x = np.concatenate([p["cls"][0], TOKENS[0]])
    q, k, v = np.split(dense(norm(x, p["block0"]["norm1"]), p["block0"]["attn"]["qkv"]), 3, -1)
    weights = np.exp(q @ k.T / np.sqrt(8))
    x = x + dense(weights / weights.sum(-1, keepdims=True) @ v, p["block0"]["attn"]["proj"])
    hidden = dense(norm(x, p["block0"]["norm2"]), p["block0"]["fc1"])
    erf = np.vectorize(math.erf)
    x = x + dense(hidden * (1 + erf(hidden / np.sqrt(2))) / 2, p["block0"]["fc2"])
    expected = norm(x, p["norm"])[0]
    found = jax.jit(module.apply)(variables, TOKENS[:1], MASK[:1])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_ends_in_a_float32_norm():
    """Close scores would be rounded together otherwise."""
    module = AggregationEncoder(1, 2, 2, jnp.bfloat16)
    tokens = TOKENS.astype(jnp.bfloat16)
    embedding, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), tokens, MASK)
    assert embedding.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_concatenation_keeps_the_width():
    pooled = TOKENS.reshape(3, -1)
    embedding, variables = jax.eval_shape(Concatenation(2).init_with_output, jax.random.key(0), pooled)
    assert embedding.shape == pooled.shape
    assert variables["params"]["fc1"]["kernel"].shape == (48, 96)
