"""Eq. 2 and 3: the window A_r and the local score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.retrieval.local_score import local_scores

DAY = 86400


def scores(days, likes, seen, window_days=30.0, includes=True):
    time = np.array([10**9 + round(day * DAY) for day in days], np.int64)
    memory = {"window_days": window_days, "mean_includes_retrieved": includes}
    return local_scores(time, np.array(likes, np.int64), np.array(seen, bool).reshape(-1, len(days)), memory)


def test_eq_3_by_hand():
    """Day 0: mean of 10, 20, 60; day 20 sees all four, mean 50; day 45 the last two; each in one window of 30 days."""
    local, count = scores([0, 10, 20, 45], [10, 20, 60, 110], [[1, 1, 1, 1]])
    np.testing.assert_allclose(local, [[10 / 30, 20 / 30, 60 / 50, 110 / 85]])
    assert count.tolist() == [[3, 3, 4, 2]]


def test_eq_2_is_strict():
    """Exactly X apart is outside, a second less is inside."""
    assert scores([0, 30], [1, 3], [[1, 1]])[1].tolist() == [[1, 1]]
    assert scores([0, 30 - 1 / DAY], [1, 3], [[1, 1]])[1].tolist() == [[2, 2]]
    assert scores([0, 1.5, 3], [1, 1, 1], [[1, 1, 1]], window_days=1.5)[1].tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("days", [0.7, 1.1, 2.3, 1 / 3])
def test_fractions_of_days_are_whole_seconds(days):
    """1.1 * 86,400 is 95,040.00000000001 in floating point, and a gap of 95,040 s is not below it."""
    last = round(days * DAY)
    assert scores([0, last / DAY], [1, 3], [[1, 1]], window_days=days)[1].tolist() == [[1, 1]]
    assert scores([0, (last - 1) / DAY], [1, 3], [[1, 1]], window_days=days)[1].tolist() == [[2, 2]]
    assert scores([0], [1], [[1]], window_days=1e-9)[1].tolist() == [[1]]


def test_what_a_query_may_not_see_is_in_no_mean():
    local, count = scores([0, 1, 2], [10, 30, 50], [[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(local, [[10 / 20, 30 / 20, 0], [0, 30 / 40, 50 / 40], [0, 0, 0]])
    assert count.tolist() == [[2, 2, 0], [0, 2, 2], [0, 0, 0]]


def test_the_mean_of_the_others_by_hand():
    """Without r itself: 10 over the mean of 30 and 50, and so on; a lone post has 1."""
    local, count = scores([0, 1, 2], [10, 30, 50], [[1, 1, 1]], includes=False)
    np.testing.assert_allclose(local, [[10 / 40, 30 / 30, 50 / 20]])
    assert count.tolist() == [[2, 2, 2]]
    local, count = scores([0, 100], [10, 30], [[1, 1]], includes=False)
    assert local.tolist() == [[1, 1]] and count.tolist() == [[0, 0]]


def test_a_lone_post_has_1():
    local, count = scores([0, 100], [10, 7], [[1, 1]])
    assert local.tolist() == [[1, 1]] and count.tolist() == [[1, 1]]


def test_likes_are_summed_as_integers():
    """A running sum in float64 would lose single likes above 2 ** 53."""
    local, _ = scores([0, 1, 2, 100, 101, 102], [2**53, 1, 1, 1, 3, 1], [[1] * 6])
    np.testing.assert_array_equal(local[0, 3:], [1 / (5 / 3), 3 / (5 / 3), 1 / (5 / 3)])


@given(
    posts=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10**9), st.booleans()), min_size=1, max_size=25),
    includes=st.booleans(),
)
def test_bounds_and_means(posts, includes):
    """0 < local <= |A_r|; if all posts share one window, the local scores average to 1."""
    days, likes, seen = zip(*sorted(posts), strict=True)
    local, count = scores(days, likes, [seen], includes=includes)
    shown = np.array([seen])
    assert np.all(local[shown] > 0) and np.all(local[~shown] == 0) and np.all(count[~shown] == 0)
    if includes:
        assert np.all(local[shown] <= count[shown] * (1 + 1e-12))
        if any(seen) and days[-1] - days[0] < 30:
            assert local[shown].mean() == pytest.approx(1)


def test_no_posts():
    local, count = local_scores(
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros((2, 0), bool),
        {"window_days": 30.0, "mean_includes_retrieved": True},
    )
    assert local.shape == count.shape == (2, 0)


def test_refusals():
    with pytest.raises(ValueError, match=r"window_days is 0: .*above 0"):
        scores([0], [1], [[1]], window_days=0)
    with pytest.raises(ValueError, match="ascending"):
        scores([1, 0], [1, 1], [[1, 1]])
