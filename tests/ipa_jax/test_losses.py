"""Eq. 7: hand-worked values, float64 closed forms over the whole range, gradients, symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa_jax.models.registry import LOSSES
from third_party_ports.checkpoints.checkpoint import attribute

LIMIT = np.log(100.0)
LOGIT, LIKES = st.floats(-50, 50, width=32), st.floats(1, 1e9)
PAIR = {"z_a": LOGIT, "z_b": LOGIT, "l_a": LIKES, "l_b": LIKES}

PAIR_LOSSES = {name: attribute(row.function) for name, row in LOSSES.items() if row.of == "pairs"}
# Compiled once each, or hypothesis dispatches a dozen small operations per example.
VALUE = {name: jax.jit(loss) for name, loss in PAIR_LOSSES.items()}
SLOPE = {name: jax.jit(jax.grad(loss, argnums=(0, 1))) for name, loss in PAIR_LOSSES.items()}


def sigmoid(x):
    """Float64, without overflow."""
    return np.exp(-np.logaddexp(0, -np.float64(x)))


def exact(name, z_a, z_b, log_a, log_b):
    """The loss and its slopes in z_a and z_b, float64, from the formulas as printed in s and l."""
    d, t = np.float64(z_a) - np.float64(z_b), np.float64(log_a) - np.float64(log_b)
    if name == "ratio_share":
        share = sigmoid(d) - sigmoid(t) if d + t < 0 else sigmoid(-t) - sigmoid(-d)
        slope = 4 * share * sigmoid(d) * sigmoid(-d)
        return share**2 + share**2, slope, -slope
    if name == "ratio_raw":
        d, t = np.clip(d, -LIMIT, LIMIT), np.clip(t, -LIMIT, LIMIT)
        up, down = np.exp(d) - np.exp(t), np.exp(-d) - np.exp(-t)
        slope = 2 * up * np.exp(d) - 2 * down * np.exp(-d)
        return up**2 + down**2, slope, -slope
    if name == "ratio_log":
        gap = (d - t) / np.log(2)
        return gap**2, 2 * gap / np.log(2), -2 * gap / np.log(2)
    if name == "bce":
        side = np.sign(t)
        return np.logaddexp(0, -side * d), -side * sigmoid(-side * d), side * sigmoid(-side * d)
    a, b = np.float64(z_a) - np.float64(log_a), np.float64(z_b) - np.float64(log_b)
    return (a**2 + b**2) / 2, a, b


# Likes 300 and 100: t = log 3, shares 3/4 and 1/4, ratios 3 and 1/3.
@pytest.mark.parametrize(
    ("name", "z_a", "z_b", "expected"),
    [
        ("ratio_share", 0.0, 0.0, (0.5 - 0.75) ** 2 + (0.5 - 0.25) ** 2),
        ("ratio_share", np.log(4.0), 0.0, (0.8 - 0.75) ** 2 + (0.2 - 0.25) ** 2),
        ("ratio_raw", 0.0, 0.0, (1 - 3) ** 2 + (1 - 1 / 3) ** 2),
        ("ratio_raw", 0.0, np.log(2.0), (0.5 - 3) ** 2 + (2 - 1 / 3) ** 2),
        ("ratio_raw", 40.0, 0.0, (100 - 3) ** 2 + (0.01 - 1 / 3) ** 2),
        ("ratio_log", 0.0, 0.0, np.log2(3) ** 2),
        ("ratio_log", np.log(12.0), 0.0, 4.0),  # 12 : 1 is two doublings above 3 : 1
        ("bce", np.log(4.0), 0.0, np.log(5 / 4)),  # a is the more liked one: -log of its share of 4 : 1
        ("log_likes", np.log(300.0) + 1, np.log(100.0) - 2, (1 + 4) / 2),
    ],
)
def test_hand_worked_pairs(name, z_a, z_b, expected):
    loss = VALUE[name](z_a, z_b, np.log(300.0), np.log(100.0))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_a_perfect_prediction_costs_nothing(name):
    likes = np.log(np.array([1.0, 7.0, 1e5, 1e9], np.float32))
    # ratio_raw sees ratios beyond 1 : 100 as 1 : 100, on both sides alike
    loss = VALUE[name](likes, likes[::-1], likes, likes[::-1])
    if name == "bce":  # which only asks for the order: never 0, below that of no preference
        assert (loss < np.log(2)).all()
    else:
        np.testing.assert_allclose(loss, np.zeros(4), atol=1e-6)


@pytest.mark.parametrize("name", PAIR_LOSSES)
@settings(deadline=None)  # the first call compiles
@given(**PAIR)
def test_value_and_gradient_equal_float64(name, z_a, z_b, l_a, l_b):
    args = [np.float32(x) for x in (z_a, z_b, np.log(l_a), np.log(l_b))]
    value, slope_a, slope_b = exact(name, *args)
    got = np.array([VALUE[name](*args), *SLOPE[name](*args)])
    assert np.isfinite(got).all()
    assert got[0] >= 0
    # float32 takes differences of numbers up to 100 (4e-6 apart), then of ratios up to 100
    floor = 0.05 if name == "ratio_raw" else 1e-3 if name == "ratio_log" else 2e-5
    np.testing.assert_allclose(got, [value, slope_a, slope_b], rtol=2e-4, atol=floor)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_gradient_equals_finite_differences(name):
    """Inside the clip of ratio_raw the straight-through gradient is the true one."""
    rng = np.random.default_rng(0)
    args = np.stack([*rng.uniform(-2, 2, (2, 64)), *rng.uniform(0, 4, (2, 64))]).astype(np.float32)
    step = np.zeros((4, 1))
    step[0] = 1e-6
    slope = [exact(name, *(args + step)[:, i])[0] - exact(name, *(args - step)[:, i])[0] for i in range(64)]
    got = jax.vmap(SLOPE[name])(*args)[0]
    np.testing.assert_allclose(got, np.array(slope) / 2e-6, rtol=1e-3, atol=1e-3)


def test_share_keeps_small_errors_of_confident_pairs():
    """Both shares near 1: their difference is lost in float32 unless the small share is compared."""
    args = [np.float32(x) for x in (20.0, 0.0, np.log(1e9), 0.0)]
    value, slope, _ = exact("ratio_share", *args)
    np.testing.assert_allclose(VALUE["ratio_share"](*args), value, rtol=1e-3)
    np.testing.assert_allclose(SLOPE["ratio_share"](*args)[0], slope, rtol=1e-3)


def test_a_badly_wrong_pair_has_its_slope():
    """Float32 rounds the share of d = 76 to 1, whose slope s (1 - s) would be 0 and not 1e-33."""
    d, t = (grid.ravel().astype(np.float32) for grid in np.meshgrid(np.linspace(-80, 80, 321), [-21, -7.3, 0, 1.1, 14]))
    zero = np.zeros_like(d)
    _, expected, _ = np.vectorize(lambda d, t: exact("ratio_share", d, 0.0, t, 0.0))(d, t)
    slopes = np.stack(jax.vmap(SLOPE["ratio_share"])(d, zero, t, zero))
    np.testing.assert_allclose(slopes, [expected, -expected], rtol=1e-5, atol=1e-37)
    assert (slopes[0][d + t < -40] != 0).mean() > 0.7
    plain = jax.jit(lambda d, t: 2 * jnp.square(jax.nn.sigmoid(jnp.where(t > 0, -d, d)) - jax.nn.sigmoid(-jnp.abs(t))))
    np.testing.assert_array_equal(VALUE["ratio_share"](d, zero, t, zero), plain(d, t))  # the value is as it was


def test_raw_clip_is_straight_through():
    """Beyond the limit the value stays, and the slope is that at the limit, not 0."""
    here = 2 * (100 - 3) * 100 - 2 * (0.01 - 1 / 3) * 0.01
    for z_a in (10.0, 20.0, 50.0):
        slope_a, slope_b = SLOPE["ratio_raw"](z_a, 0.0, np.log(3.0), 0.0)
        np.testing.assert_allclose([slope_a, slope_b], [here, -here], rtol=1e-4)
    np.testing.assert_allclose(VALUE["ratio_raw"](50.0, 0.0, np.log(1e9), 0.0), 0, atol=1e-4)
    slope_a, _ = SLOPE["ratio_raw"](-50.0, 0.0, np.log(3.0), 0.0)
    np.testing.assert_allclose(slope_a, 2 * (0.01 - 3) * 0.01 - 2 * (100 - 1 / 3) * 100, rtol=1e-4)


@pytest.mark.parametrize("name", ["ratio_share", "ratio_raw", "ratio_log"])
@settings(deadline=None)
@given(**PAIR, shift=LOGIT)
def test_only_the_ratio_of_scores_counts(name, z_a, z_b, l_a, l_b, shift):
    """Eq. 7 speaks of s_a / s_b: scaling both scores changes nothing."""
    log_a, log_b = np.log(l_a), np.log(l_b)
    tolerance = {"rtol": 1e-3, "atol": 0.05} if name == "ratio_raw" else {"rtol": 1e-4, "atol": 1e-3}
    here = VALUE[name](z_a, z_b, log_a, log_b)
    np.testing.assert_allclose(VALUE[name](z_a + shift, z_b + shift, log_a, log_b), here, **tolerance)


@pytest.mark.parametrize("name", PAIR_LOSSES)
@settings(deadline=None)
@given(**PAIR)
def test_swapping_the_sides_changes_nothing(name, z_a, z_b, l_a, l_b):
    log_a, log_b = np.log(l_a), np.log(l_b)
    here, there = VALUE[name](z_a, z_b, log_a, log_b), VALUE[name](z_b, z_a, log_b, log_a)
    # Equal likes, which no valid pair has, leave float32 the difference of two shares near 1/2.
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=2e-7 if log_a == log_b else 1e-12)


@settings(deadline=None)
@given(**PAIR)
def test_share_is_bounded(z_a, z_b, l_a, l_b):
    assert VALUE["ratio_share"](z_a, z_b, np.log(l_a), np.log(l_b)) <= 2


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_elementwise_under_jit_and_broadcast(name):
    """A [slots, 1] against [1, slots] call gives the slots x slots matrix that the packed step masks."""
    z, log = jnp.array([0.0, 1.0, -3.0]), jnp.log(jnp.array([1.0, 50.0, 1e9]))
    matrix = VALUE[name](z[:, None], z[None, :], log[:, None], log[None, :])
    assert matrix.shape == (3, 3)
    for i in range(3):
        for j in range(3):
            np.testing.assert_allclose(matrix[i, j], VALUE[name](z[i], z[j], log[i], log[j]), rtol=1e-6)
