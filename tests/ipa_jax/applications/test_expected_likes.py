import math
from dataclasses import replace

import numpy as np
import pytest

from ipa_jax.applications.expected_likes import expected_likes
from ipa_jax.applications.own_past import own_past
from tests.helpers.made_history import DAY, light_options, made_history


def test_range_and_coverage_are_those_of_the_slow_reference():
    bank, options = made_history(5, posts=120, per_day=1.0), light_options()
    past = own_past(bank, options)
    time, likes, first = bank.images.time, bank.images.likes, past.pairs.first
    residuals = []
    for row in range(first, 120):
        sees = [m for m in range(120) if time[row] - time[m] > 7 * DAY]
        usual = np.median(likes[sees[-20:]])
        residuals.append(math.log(likes[row] / usual) - past.scores["auto"][row - first])
    held = []
    for row in range(first, 120):
        known = [residuals[p - first] for p in range(first, row) if time[row] - time[p] > 7 * DAY]
        if len(known) >= 30:
            low, high = np.percentile(known, [10, 90])
            held.append(low <= residuals[row - first] <= high)

    found = expected_likes(bank, past, "auto")
    assert found.residuals == len(residuals) and found.covered_of == len(held) > 30
    assert found.coverage == pytest.approx(np.mean(held)) and 0.5 < found.coverage < 1
    low, high = np.percentile(residuals, [10, 90])
    usual = np.median(likes[-20:])
    assert found.usual == usual
    assert found.range(0.3) == (round(usual * math.exp(0.3 + low)), round(usual * math.exp(0.3 + high)))
    assert found.range(math.nan) is None


def test_no_range_without_thirty_residuals():
    bank = made_history(5, posts=45, per_day=1.0)
    past = own_past(bank, light_options())
    assert 0 < len(past.cut) < 30
    found = expected_likes(bank, past, "retrieval")
    assert found.range(0.0) is None and found.coverage is None and found.usual > 0
    empty = made_history(5, posts=0, per_day=1.0)
    assert expected_likes(empty, own_past(empty, light_options()), "auto").usual == 0


def test_posts_that_were_not_scored_are_left_out():
    bank = made_history(5, posts=120, per_day=1.0)
    past = own_past(bank, light_options())
    z = past.scores["probe"].copy()
    z[:50] = np.nan
    found = expected_likes(bank, replace(past, scores={"model": z}), "model")
    assert found.residuals == len(z) - 50 and found.covered_of < len(z) - 50
