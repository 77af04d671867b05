import statistics

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa_jax.applications.pairs import WARM_UP, medians, past_pairs
from tests.helpers.made_history import DAY


def test_pairs_by_hand():
    time = np.concatenate([np.arange(10), [20, 27, 27, 35]]) * DAY
    likes = np.array([1] * 10 + [10, 21, 30, 10])
    pairs = past_pairs(time, likes, 2.0, window_days=7)
    # Row 10 sees ten posts and is the first; 10 and 11 are 7 days apart, 11 and 13 are 8.
    assert pairs.first == 10 and not pairs.relative
    assert list(zip(pairs.earlier.tolist(), pairs.later.tolist(), strict=True)) == [(10, 11), (10, 12), (11, 12)]
    assert pairs.valid.tolist() == [True, True, False]


def test_the_medians_by_hand():
    time, likes = np.array([0, 1, 2, 3, 100]) * DAY, np.array([5, 7, 100, 9, 1])
    # Around row 0, without it: 7, 100, 9; without a partner two of them, or all with row 4, which is far away.
    post, partner = np.array([0, 0, 0, 0, 4]), np.array([1, 2, 3, 4, 0])
    assert (medians(time, likes, post, partner) / 2).tolist() == [54.5, 8, 53.5, 9, 0]


def slow_median(time, likes, post, partner) -> float | None:
    around = [i for i in range(len(time)) if i not in (post, partner) and abs(time[i] - time[post]) <= 30 * DAY]
    return statistics.median(int(likes[i]) for i in around) if around else None


@given(st.integers(0, 10**6), st.integers(12, 40), st.sampled_from([1, DAY]), st.sampled_from([7, 14, 28]))
@settings(max_examples=60, deadline=None)
def test_pairs_are_those_of_the_slow_reference(seed, posts, unit, window):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 100 * DAY // unit, posts)) * unit  # in whole days, gaps of exactly a window occur
    likes = rng.integers(1, 30, posts)
    found = past_pairs(time, likes, 2.0, window_days=window)
    sees = [sum(t - m > window * DAY for m in time) for t in time]
    expected = []
    for later in range(len(time)):
        for earlier in range(later):
            if min(sees[earlier], sees[later]) < WARM_UP or time[later] - time[earlier] > window * DAY:
                continue
            a, b = float(likes[earlier]), float(likes[later])
            if window > 7:
                usual = slow_median(time, likes, earlier, later), slow_median(time, likes, later, earlier)
                if usual[0] is None or usual[1] is None:
                    continue
                a, b = a * usual[1], b * usual[0]
            if a != b:
                expected.append((earlier, later, b > a, max(a, b) > 2 * min(a, b)))
    newer = found.later_likes > found.earlier_likes
    got = zip(found.earlier.tolist(), found.later.tolist(), newer.tolist(), found.valid.tolist(), strict=True)
    assert list(got) == expected


def test_the_window_grows_until_there_are_enough_pairs():
    rng = np.random.default_rng(0)
    likes = np.exp(5 + rng.normal(size=200)).astype(np.int64)
    daily = past_pairs(np.arange(200) * DAY, likes, 2.0)
    assert daily.window_days == 7 and not daily.relative and daily.valid.sum() >= 50
    seldom = past_pairs(np.arange(200) * 9 * DAY, likes, 2.0)
    assert seldom.window_days == 14 and seldom.relative and seldom.valid.sum() >= 50
    few = past_pairs(np.arange(20) * 9 * DAY, likes[:20], 2.0)
    assert few.valid.sum() < 50  # and it has ended
    assert len(past_pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), 2.0).later) == 0
