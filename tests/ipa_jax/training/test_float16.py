"""The scale of the loss in float16: exact, halved at an overflow, doubled later, and never in the way of NaN."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ipa_jax.training import float16

PARAMS = {"kernel": np.array([1.0, -2.0], np.float32)}


def take(tx, state, gradient):
    """A step with the gradient of the unscaled loss; the parameters it leads to, and the new state."""
    scaled = {"kernel": jnp.asarray(gradient, jnp.float32) * float16.scale_of(state)}
    updates, state = tx.update(scaled, state, PARAMS)
    return optax.apply_updates(PARAMS, updates), state


def test_the_scale_cancels():
    plain, scaled = optax.adam(0.1), float16.scaled(optax.adam(0.1))
    expected, _ = take(plain, plain.init(PARAMS), [1e-7, 3.0])
    found, state = take(scaled, scaled.init(PARAMS), [1e-7, 3.0])
    np.testing.assert_array_equal(found["kernel"], expected["kernel"])
    assert float16.scale_of(plain.init(PARAMS)) == 1 and int(state.steps) == 1


@pytest.mark.parametrize("lost", [np.inf, -np.inf, np.nan])
def test_an_overflow_halves_the_scale_and_moves_nothing(lost):
    tx = float16.scaled(optax.adam(0.1))
    _, before = take(tx, tx.init(PARAMS), [1.0, 1.0])
    found, after = take(tx, before, [1.0, lost])
    np.testing.assert_array_equal(found["kernel"], PARAMS["kernel"])
    assert float(after.scale) == float16.FIRST / 2 and int(after.steps) == 0
    np.testing.assert_array_equal(after.inner[0].mu["kernel"], before.inner[0].mu["kernel"])
    assert int(after.inner[0].count) == 1


def test_the_scale_grows_after_steps_without_an_overflow_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(float16, "STEPS", 2)
    tx = float16.scaled(optax.sgd(0.1))
    state, scales = tx.init(PARAMS), []
    for _ in range(22):
        _, state = take(tx, state, [1.0, 1.0])
        scales.append(float(state.scale))
    assert scales[:4] == [float16.FIRST, 2 * float16.FIRST, 2 * float16.FIRST, 4 * float16.FIRST]
    assert scales[-1] == float16.LARGEST


def test_at_scale_one_a_lost_gradient_reaches_the_parameters():
    tx = float16.scaled(optax.sgd(0.1))
    state = tx.init(PARAMS)
    for _ in range(15):
        found, state = take(tx, state, [np.nan, 1.0])
        assert np.isfinite(found["kernel"]).all()
    assert float(state.scale) == 1
    found, _ = take(tx, state, [np.nan, 1.0])
    assert np.isnan(found["kernel"][0])
