"""The training step's metrics add up over pairs, devices and steps, weights included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ipa_jax.training.step_metrics import TrainMetrics

LOSS = np.array([[1.0, 2.0, np.nan], [4.0, 8.0, 5.0]], np.float32)
D = np.array([[1.0, 0.0, 0.0], [-2.0, 3.0, -1.0]], np.float32)
T = np.array([[0.7, 0.7, 0.0], [2.0, 1.0, -4.0]], np.float32)
WEIGHT = np.array([[1.0, 0.5, 0.0], [1.0, 0.5, 1.0]], np.float32)  # the third pair of the first row is padding
EXPECTED = {"loss": (1 + 1 + 4 + 4 + 5) / 4, "accuracy": (1 + 0.25 + 0 + 0.5 + 1) / 4}


def outputs(rows):
    return {"pair_loss": LOSS[rows], "d": D[rows], "t": T[rows], "pair_weight": WEIGHT[rows]}


def test_weighted_means_of_valid_pairs():
    result = TrainMetrics.single_from_model_output(**outputs(slice(None))).compute()
    assert {k: float(v) for k, v in result.items()} == pytest.approx(EXPECTED)


@pytest.mark.parametrize("how", ["psum", "gather"])
def test_devices_add_up(how):
    def step(model_output):
        if how == "gather":
            return TrainMetrics.gather_from_model_output("devices", **model_output)
        return jax.lax.psum(TrainMetrics.single_from_model_output(**model_output), "devices")

    stacked = jax.vmap(step, axis_name="devices")(outputs(slice(None)))  # vmap's axis stands for pmap's
    result = stacked.unreplicate().compute()
    assert {k: float(v) for k, v in result.items()} == pytest.approx(EXPECTED)


def test_steps_merge_from_empty():
    merged = TrainMetrics.empty()
    for row in (0, 1):
        merged = merged.merge(TrainMetrics.single_from_model_output(**outputs(row)))
    assert {k: float(v) for k, v in merged.compute().items()} == pytest.approx(EXPECTED)


def test_nothing_seen_is_zero():
    assert {k: float(v) for k, v in TrainMetrics.empty().compute().items()} == {"loss": 0, "accuracy": 0}


def test_a_lost_loss_shows():
    """A NaN in a valid pair must reach the log, whatever is hidden in padding."""
    result = TrainMetrics.single_from_model_output(**outputs(0) | {"pair_weight": jnp.ones(3)}).compute()
    assert np.isnan(result["loss"]) and not np.isnan(result["accuracy"])
