"""A metric is one function and one row: results, differences, baselines and the report learn it from there."""

import json

import numpy as np
import polars as pl
import pytest

from ipa_jax.baselines import scores as baselines
from ipa_jax.metrics import display, split_metrics
from ipa_jax.metrics.registry import METRICS, Metric, Scored, Values
from ipa_jax.report import page
from ipa_jax.report.runs import read_run
from tests.helpers.gray_split import Split
from tests.helpers.stand_in_data import splits, write_workdir


def signed_error(scored: Scored) -> Values:
    """A toy metric: the mean of d - t over valid pairs."""
    return Values(scored.pairs.d - scored.pairs.t, scored.pairs.group)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(METRICS, "signed_error", Metric("Signed error", signed_error, digits=1, larger_is_better=False))


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    record = np.repeat(np.arange(24), 4)
    names = [f"{i:03}" for i in range(96)]
    return pl.DataFrame({"account": [f"a{r // 2:02}" for r in record], "record": record, "image_id": names,
                         "post_id": names, "likes": rng.integers(1, 999, 96), "z": rng.normal(size=96)})  # fmt: skip


def test_a_toy_metric_is_evaluated_compared_and_shown(toy, scores):
    found = split_metrics.evaluate(scores, 2.0, draws=50)
    low, high = found["signed_error_interval"]
    assert low < found["signed_error"] < high
    moved = scores.with_columns(z=2 * pl.col("z"))
    difference = split_metrics.paired_difference(moved, scores, 2.0, draws=50)["signed_error"]["difference"]
    there = split_metrics.evaluate(moved, 2.0, draws=0)["signed_error"]
    assert difference == pytest.approx(there - found["signed_error"])
    (line,) = (line for line in display.metric_lines(found) if line.startswith("Signed error"))
    assert f"{found['signed_error']:.1f} (95 %: " in line and "over accounts" in line


def test_a_toy_metric_stands_on_the_report_page(toy, tmp_path):
    world = splits(["ann", "bob"], groups=8)
    run = read_run("full", write_workdir(tmp_path / "run", world, 0.3, 0))
    text = page.render([run], world, None, {}, "data")
    assert "Signed error" in text and f"<td>{run.test['signed_error']:.1f}<small>" in text


def test_a_toy_metric_of_baselines(toy):
    options = {"pairs": {"min_ratio": 2.0}, "retrieval": {"k": 5}, "split": {"by": "group"},
               "memory": {"window_days": 30, "mean_includes_retrieved": True, "past_only": False, "exclude": "group",
                          "min_lag_days": 0, "max_posts": -1}}  # fmt: skip
    split = Split("t", [("ann", [(i, 1 + 9 * i, 0) for i in range(4)])], options)
    assert "signed_error" in baselines.baseline_figures(split, Split("r", [("ann", [(9, 5, 9)])], options))["chance"]


def test_metrics_that_exist_keep_their_keys(scores):
    found = split_metrics.evaluate(scores, 2.0, factor=0.5, draws=10)
    assert set(found) == {
        "accuracy", "plcc", "srcc", "ratio_mse", "accuracy_interval", "plcc_interval", "srcc_interval",
        "ratio_mse_interval", "interval_over", "ratio_mse_rescaled", "rescale_factor", "group_accuracy", "pairs",
        "groups", "images", "accounts", "constant_groups", "by_ratio", "by_group_size",
    }  # fmt: skip
    assert set(found["by_group_size"]["4"]) == {"accuracy", "ratio_mse", "pairs", "plcc", "srcc", "groups"}
    json.dumps(found)
