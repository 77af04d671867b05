"""The retrieval token(s) of eq. 4."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ipa_jax.models.retrieval_tokens import RetrievalTokens

# Two queries, K = 3: the first has two retrieved images, the second none.
SIMILARITY = np.float32([[0.9, 0.5, 0], [0, 0, 0]])
LOCAL = np.float32([[2.0, 0.25, 0], [0, 0, 0]])
COUNT = np.float32([[4, 1, 0], [0, 0, 0]])
MASK = np.array([[True, True, False], [False, False, False]])
LOG2, LOG4 = np.log(2), np.log(4)

VECTORS = {  # (log_local, feed_count): eq. 4 by hand, K tuples in rank order, then K mask bits
    (False, False): [0.9, 2, 0.5, 0.25, 0, 0, 1, 1, 0],
    (True, False): [0.9, LOG2, 0.5, -LOG4, 0, 0, 1, 1, 0],
    (False, True): [0.9, 2, LOG4, 0.5, 0.25, 0, 0, 0, 0, 1, 1, 0],
    (True, True): [0.9, LOG2, LOG4, 0.5, -LOG4, 0, 0, 0, 0, 1, 1, 0],
}


def apply(module: RetrievalTokens, similarity=SIMILARITY, local=LOCAL, count=COUNT, features: int | None = None):
    """Tokens under an identity projection: the token is the vector that is projected."""
    variables = {"params": {"project": {"kernel": jnp.eye(features), "bias": jnp.zeros(features)}}}
    tokens, mask = jax.jit(module.apply)(variables, similarity, local, count, MASK)
    return np.asarray(tokens), np.asarray(mask)


@pytest.mark.parametrize("log_local, feed_count", VECTORS)
def test_the_vector_by_hand(log_local, feed_count):
    expected = VECTORS[log_local, feed_count]
    module = RetrievalTokens(len(expected), log_local=log_local, feed_count=feed_count)
    tokens, mask = apply(module, features=len(expected))
    np.testing.assert_allclose(tokens, [[expected], [[0] * len(expected)]], rtol=1e-6)
    assert mask.tolist() == [[True], [True]]  # it says "nothing was retrieved" by zeros; it is seen all the same


@pytest.mark.parametrize("log_local, feed_count", VECTORS)
def test_a_token_an_image_keeps_the_mask(log_local, feed_count):
    n = 2 + feed_count
    expected = np.array(VECTORS[log_local, feed_count][: 3 * n]).reshape(3, n)
    module = RetrievalTokens(n, "per_image", log_local=log_local, feed_count=feed_count)
    tokens, mask = apply(module, features=n)
    np.testing.assert_allclose(tokens[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("tokens", ["vector", "per_image"])
def test_what_lies_in_a_missing_slot_is_never_read(tokens):
    """Not in the tokens, and not in the gradient of the projection (where NaN times 0 would be NaN)."""
    module = RetrievalTokens(4, tokens, log_local=True, feed_count=True)
    params = jax.jit(module.init)(jax.random.key(0), SIMILARITY, LOCAL, COUNT, MASK)

    def loss(params, *values):
        return jnp.square(module.apply(params, *values, MASK)[0]).sum()

    both = jax.jit(jax.value_and_grad(loss))
    clean = both(params, SIMILARITY, LOCAL, COUNT)
    for garbage in (7.0, -1.0, np.nan, np.inf):
        dirty = both(params, *(np.where(MASK, x, garbage) for x in (SIMILARITY, LOCAL, COUNT)))
        jax.tree.map(np.testing.assert_array_equal, clean, dirty)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match=r"model.retrieval.tokens is 'list': vector or per_image"):
        apply(RetrievalTokens(9, "list"), features=9)


@pytest.mark.parametrize("tokens", ["vector", "per_image"])
def test_an_image_of_another_account_is_flagged(tokens):
    """One more number behind each pair, 0 in a masked slot whatever stands there."""
    foreign = np.array([[False, True, True], [False, False, False]])
    module = RetrievalTokens(12 if tokens == "vector" else 3, tokens)
    variables = {"params": {"project": {"kernel": jnp.eye(module.width), "bias": jnp.zeros(module.width)}}}
    found, _ = module.apply(variables, SIMILARITY, LOCAL, COUNT, MASK, foreign)
    rows = [0.9, 2, 0, 0.5, 0.25, 1, 0, 0, 0]
    expected = [[*rows, 1, 1, 0]] if tokens == "vector" else np.reshape(rows, (3, 3))
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
