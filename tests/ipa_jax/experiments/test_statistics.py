"""Figures of rows over seeds, and what a difference decides."""

import numpy as np
import pytest

from ipa_jax.experiments import statistics
from ipa_jax.metrics import bootstrap
from tests.helpers.made_records import record, runs


def test_figures_are_those_of_all_seeds_pooled_with_their_std():
    ours = runs(0.5, 3)
    found = statistics.figures(ours, 2.0, draws=200)
    each = [r.figures["accuracy"] for _, r in ours.values()]
    counts = [r.figures["pairs"] for _, r in ours.values()]
    assert found["seeds"] == 3 and found["pairs"] == sum(counts) and found["accounts"] == 90
    assert found["accuracy"] == pytest.approx(np.average(each, weights=counts), abs=1e-4)
    assert found["mean"]["accuracy"] == pytest.approx(np.mean(each))
    assert found["std"]["accuracy"] == pytest.approx(np.std(each, ddof=1))
    assert found["accuracy_interval"][0] < found["accuracy"] < found["accuracy_interval"][1]
    assert found["ratio_mse_rescaled"] != found["ratio_mse"] and found["seconds"] == 11
    one = statistics.figures(runs(0.5, 1), 2.0, draws=50)
    assert one["std"] == dict.fromkeys(statistics.TABLE_METRICS)


def test_rescaled_ratio_mse_takes_the_factor_of_each_run():
    right = {"a": ("a", record(1.0, factor=1.0)), "b": ("b", record(1.0, factor=1.0, world=1))}
    assert statistics.figures(right, 2.0, draws=10)["ratio_mse_rescaled"] == pytest.approx(0, abs=1e-6)
    wrong = right | {"b": ("b", record(1.0, factor=0.0, world=1))}
    assert statistics.figures(wrong, 2.0, draws=10)["ratio_mse_rescaled"] > 1
    unknown = {"a": ("a", record(0.5, factor=None))}
    found = statistics.figures(unknown, 2.0, draws=10)
    assert found["ratio_mse_rescaled"] == found["ratio_mse"] and "ratio_mse_rescaled" not in found["mean"]


def test_seeds_of_one_data_set_do_not_narrow_an_interval():
    """Three runs with the same scores know no more than one."""
    one = {"data/0": ("data", record(0.3))}
    three = {f"data/{s}": ("data", record(0.3)) for s in range(3)}
    widths = [np.ptp(statistics.figures(r, 2.0, draws=400)["accuracy_interval"]) for r in (one, three)]
    assert widths[1] == pytest.approx(widths[0])
    worlds = {f"w{s}": (f"w{s}", record(0.3)) for s in range(3)}
    assert np.ptp(statistics.figures(worlds, 2.0, draws=400)["accuracy_interval"]) < 0.8 * widths[0]


def test_nor_where_groups_are_drawn_in_place_of_few_accounts():
    few = record(0.3, accounts=4, groups=12)
    one, three = ({f"data/{s}": ("data", few) for s in range(n)} for n in (1, 3))
    found = [statistics.figures(r, 2.0, draws=400) for r in (one, three)]
    assert found[0]["interval_over"] == "groups"
    assert found[1]["accuracy_interval"] == pytest.approx(found[0]["accuracy_interval"])


def test_a_claim_needs_every_run():
    """However sure the accounts are, one training of three that says otherwise leaves it open."""
    sure = {"accuracy": {"difference": 0.05, "interval": [0.04, 0.06], "verdict": "higher"}, "seeds": 3}
    assert [statistics.claim("x", sure | {"ahead": n}, None)["verdict"] for n in (3, 2)] == ["holds", "undecided"]
    behind = {"accuracy": {"difference": -0.05, "interval": [-0.06, -0.04], "verdict": "lower"}, "seeds": 3}
    verdicts = [statistics.claim("x", behind | {"ahead": n}, None)["verdict"] for n in (0, 1)]
    assert "opposite" in verdicts[0] and verdicts[1] == "undecided"


def test_a_difference_is_decided_by_its_interval():
    good, poor, same = runs(0.6), runs(0.1), runs(0.6, noise_seed=7)
    up = statistics.difference(good, poor, 2.0, draws=200)
    down = statistics.difference(poor, good, 2.0, draws=200)
    assert (up["accuracy"]["verdict"], down["accuracy"]["verdict"]) == ("higher", "lower")
    assert up["accuracy"]["difference"] == pytest.approx(-down["accuracy"]["difference"])
    unclear = statistics.difference(good, same, 2.0, draws=200)
    level = unclear["accuracy"]
    assert level["verdict"] == "undecided" and level["interval"][0] < 0 < level["interval"][1]
    assert statistics.claim("x", up, 0.1)["verdict"] == "holds"
    assert "opposite" in statistics.claim("x", down, 0.1)["verdict"]
    assert statistics.claim("x", unclear, None)["verdict"] == "undecided"
    claims = [statistics.claim("x", found, None) for found in (up, down)]
    assert [(claim["ahead"], claim["seeds"]) for claim in claims] == [(2, 2), (0, 2)]


def test_only_seeds_in_common_are_compared():
    found = statistics.difference(runs(0.6, 3), runs(0.2, 2), 2.0, draws=10)
    assert found["seeds"] == 2
    with pytest.raises(ValueError, match="no seed in common"):
        statistics.difference(runs(0.6), {"other": ("o", record(0.5))}, 2.0)
    with pytest.raises(ValueError, match="same images"):
        statistics.difference(runs(0.6, 1), {"seed0/0": ("seed0", record(0.5, world=5))}, 2.0)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.1, 0.2), "higher"), ((-0.2, -0.1), "lower"), ((-0.1, 0.1), "undecided"), ((0.0, 0.1), "undecided"),
     (None, "undecided")],
)  # fmt: skip
def test_verdicts(interval, verdict):
    assert statistics.verdict(interval) == verdict


def test_the_interval_over_runs_by_hand():
    """Mean 0.5, standard deviation 0.02, n = 3: t(0.975, 2) = 4.3027."""
    low, high = bootstrap.over_runs([0.48, 0.5, 0.52])
    assert (low, high) == pytest.approx((0.5 - 4.3027 * 0.02 / 3**0.5, 0.5 + 4.3027 * 0.02 / 3**0.5), abs=1e-5)
    assert bootstrap.over_runs([0.6, 0.6]) is None
