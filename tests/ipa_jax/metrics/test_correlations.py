"""Weighted correlations equal scipy's on repeated pairs, and their intervals are those of a plain bootstrap."""

import numpy as np
import pytest
from scipy import stats

from ipa_jax.metrics import bootstrap
from ipa_jax.metrics.correlations import pearson, spearman, with_intervals


@pytest.fixture
def drawn():
    """x and y with ties, and how often each pair counts."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=80), 1)
    return x, np.round(x + rng.normal(size=80), 1), rng.integers(0, 4, 80)


def test_a_count_is_a_repetition(drawn):
    x, y, times = drawn
    rows = np.repeat(np.arange(80), times)
    assert pearson(x, y, times) == pytest.approx(stats.pearsonr(x[rows], y[rows])[0], abs=1e-12)
    assert spearman(x, y, times) == pytest.approx(stats.spearmanr(x[rows], y[rows])[0], abs=1e-12)
    willing = (y > 0).astype(float)
    assert pearson(x, willing, np.ones(80)) == pytest.approx(stats.pointbiserialr(willing, x)[0], abs=1e-12)


def test_without_variation_there_is_no_correlation(drawn):
    x, y, times = drawn
    assert np.isnan(pearson(np.full(80, 0.1), y, times)) and np.isnan(spearman(x, np.zeros(80), times))
    assert np.isnan(pearson(x, y, np.eye(80)[3]))  # one pair alone


def test_intervals_against_a_loop(drawn):
    x, y, _ = drawn
    sessions = np.arange(80) // 5
    scores = {"bank": x, "empty": x**3}
    found = with_intervals(spearman, scores, y, {"images": np.arange(80), "sessions": sessions}, draws=50, seed=3)
    values = {way: [] for way in (*scores, "bank - empty")}
    for row in bootstrap.draw(16, 50, 3):
        rows = np.repeat(np.arange(80), row[sessions].astype(int))
        for way, z in scores.items():
            values[way].append(stats.spearmanr(z[rows], y[rows])[0])
        values["bank - empty"].append(values["bank"][-1] - values["empty"][-1])
    for way, expected in values.items():
        assert found[way]["sessions_interval"] == pytest.approx(np.percentile(expected, [2.5, 97.5]), abs=1e-12)
    assert found["bank"]["value"] == pytest.approx(stats.spearmanr(x, y)[0])
    assert found["bank - empty"]["value"] == found["bank"]["value"] - found["empty"]["value"]
    low, high = found["bank"]["images_interval"]
    assert low < found["bank"]["value"] < high


def test_few_sessions_give_no_interval(drawn):
    x, y, _ = drawn
    found = with_intervals(pearson, {"bank": x}, y, {"sessions": np.arange(80) // 10}, draws=20)
    assert found["bank"]["sessions_interval"] is None and found["bank"]["value"] is not None
    constant = with_intervals(pearson, {"bank": np.zeros(80)}, y, {"images": np.arange(80)}, draws=20)
    assert constant["bank"] == {"value": None, "images_interval": None}
