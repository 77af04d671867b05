"""Groups, valid pairs (eq. 8), what is dropped, and the split by hash."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders import groups
from tests.helpers.random_accounts import plain_choices

DAY = 86400
POSTS = st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(1, 8)), max_size=40)


def walk(days, post_images=None, window_days=7, max_images=30):
    time = np.array([10**9 + round(day * DAY) for day in days], np.int64)
    return groups.assign_groups(time, np.array(post_images or [1] * len(days)), window_days, max_images).tolist()


def kept(days, likes, post_images=None, **changed):
    options = plain_choices()
    for name, value in changed.items():
        options[name.split("__")[0]][name.split("__")[1]] = value
    time = 10**9 + np.array([round(day * DAY) for day in days], np.int64)
    return groups.kept_groups(time, np.array(likes, np.int64), np.array(post_images or [1] * len(days)), options)


def test_window_is_counted_from_the_first_post_and_includes_its_end():
    assert walk([0, 3, 7, 7.1, 14, 14.2]) == [0, 0, 0, 1, 1, 2]
    assert walk([0, 7 + 1 / DAY]) == [0, 1]
    assert walk([0, 1.5, 3.1], window_days=1.5) == [0, 0, 1]


@pytest.mark.parametrize("days", [0.1, 0.7, 1.1, 2.3, 1 / 3])
def test_fractions_of_days_are_whole_seconds(days):
    """0.7 * 86,400 is 60,479.99 in floating point: the last second of the window counts, and no more."""
    last = round(days * DAY)
    assert walk([0, last / DAY], window_days=days) == [0, 0]
    assert walk([0, (last + 1) / DAY], window_days=days) == [0, 1]
    assert kept([0, 0, last / DAY], [1, 9, 1], posts__min_age_days=days).too_young == 1


def test_a_full_group_closes():
    assert walk([0] * 5, max_images=2) == [0, 0, 1, 1, 2]
    assert walk([0.1 * n for n in range(31)]) == [0] * 30 + [1]


def test_a_post_that_does_not_fit_whole_closes_the_group():
    """Two places are left and three are needed; the single image after that does not get in."""
    assert walk([0, 0, 0, 0], [3, 3, 1, 1], max_images=5) == [0, 1, 1, 1]


def test_a_post_too_large_for_any_group_is_passed_over():
    days, images = [0, 1, 2, 3], [1, 9, 1, 1]
    assert walk(days, images, max_images=8) == [0, -1, 0, 0]
    assert groups.too_many_images(np.array(images), 8).tolist() == [False, True, False, False]
    result = kept(days, [1, 100, 5, 1], images, groups__max_images=8)
    assert result.too_many.tolist() == [False, True, False, False]
    assert result.group.tolist() == [0, -1, 0, 0]


def test_no_posts():
    assert walk([]) == []
    result = kept([], [])
    assert len(result.group) == 0 and result.pairs == [] and set(result.dropped.values()) == {0}


def test_unsorted_posts_are_refused():
    with pytest.raises(ValueError, match="sort them by"):
        walk([1, 0])


@given(posts=POSTS, window=st.sampled_from([0.5, 1, 7]), room=st.integers(1, 10))
def test_groups_keep_their_limits_and_are_as_large_as_they_may(posts, window, room):
    posts = sorted(posts)
    time, images = np.array([t for t, _ in posts], np.int64), np.array([n for _, n in posts], np.int64)
    group = groups.assign_groups(time, images, window, room)
    assert ((group == -1) == (images > room)).all()
    usable = group >= 0
    numbers = group[usable]
    assert numbers.tolist() == sorted(numbers.tolist()) and len(set(numbers.tolist())) == numbers.max(initial=-1) + 1
    for number in set(numbers.tolist()):
        members = group == number
        assert np.ptp(time[members]) <= window * DAY and images[members].sum() <= room
        following = np.flatnonzero(usable & (group > number))[:1]
        for post in following:
            late = time[post] - time[members].min() > window * DAY
            assert late or images[members].sum() + images[post] > room


def test_eq_8_by_hand():
    """10 and 20: |d| / max = 0.5, not above it. 10 and 21 are valid; images of one post never are."""
    assert groups.valid_pairs([10, 20, 21], [0, 1, 2], 2).tolist() == [[0, 2]]
    assert groups.valid_pairs([21, 10, 21, 5], [0, 1, 0, 2], 2).tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    assert groups.valid_pairs([5, 5, 5], [0, 0, 1], 0.5).tolist() == [[0, 2], [1, 2]], "siblings, whatever the ratio"
    assert groups.valid_pairs([7], [0], 2).shape == (0, 2)
    assert groups.valid_pairs([10**18, 2 * 10**18 + 1], [0, 1], 2).tolist() == [[0, 1]], "whole numbers, no rounding"
    assert groups.valid_pairs([10**18, 2 * 10**18], [0, 1], 2).tolist() == []


@given(likes=st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_eq_8_is_the_papers_fraction(likes):
    expected = [
        [i, j]
        for i in range(len(likes))
        for j in range(i + 1, len(likes))
        if 2 * abs(likes[i] - likes[j]) > max(likes[i], likes[j])
    ]
    assert groups.valid_pairs(likes, list(range(len(likes))), 2).tolist() == expected


def test_image_weights_share_a_post_among_its_images():
    weights = groups.image_weights(np.array([4, 4, 7, 9, 9, 9]))
    np.testing.assert_allclose(weights, [1 / 2, 1 / 2, 1, 1 / 3, 1 / 3, 1 / 3])


def test_what_is_kept_and_why_the_rest_is_not():
    """A valid group, one without a valid pair, a singleton; posts in no valid pair stay in a kept group."""
    result = kept([0, 1, 2, 20, 21, 40], [10, 15, 30, 5, 6, 9])
    assert result.group.tolist() == [0, 0, 0, -1, -1, -1]
    assert [pairs.tolist() for pairs in result.pairs] == [[[0, 2]]]
    assert result.first_post.tolist() == [0] and result.images.tolist() == [3] and result.all_pairs.tolist() == [3]
    assert result.dropped == {"one post": 1, "too young": 0, "too few images": 0, "no valid pair": 1}


def test_a_lone_carousel_is_a_singleton_and_siblings_are_no_pairs():
    result = kept([0, 30, 31], [10, 10, 90], [3, 2, 2])
    assert result.group.tolist() == [-1, 0, 0]
    assert result.dropped["one post"] == 1
    assert result.pairs[0].tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert result.images.tolist() == [4] and result.all_pairs.tolist() == [4]


def test_min_images():
    result = kept([0, 1, 20, 21, 22], [1, 9, 1, 9, 9], groups__min_images=3)
    assert result.group.tolist() == [-1, -1, 0, 0, 0]
    assert result.dropped["too few images"] == 1


def test_min_age_counts_from_the_newest_post_and_keeps_groups_as_they_were():
    """The newest post (day 30, alone) makes days above 25 too young: group 2 loses its tail, not its first post."""
    days, likes = [0, 1, 20, 22, 26, 30], [1, 9, 1, 9, 50, 7]
    assert kept(days, likes).group.tolist() == [0, 0, 1, 1, 1, -1]
    result = kept(days, likes, posts__min_age_days=5.0)
    assert result.group.tolist() == [0, 0, 1, 1, -1, -1]
    assert result.too_young == 2 and result.first_post.tolist() == [0, 2]
    result = kept(days, likes, posts__min_age_days=4.0)
    assert result.group.tolist() == [0, 0, 1, 1, 1, -1], "4 days old is not less than 4"
    result = kept(days, likes, posts__min_age_days=11.0)
    assert result.group.tolist() == [0, 0, -1, -1, -1, -1]
    assert result.dropped == {"one post": 1, "too young": 1, "too few images": 0, "no valid pair": 0}


def test_split_by_hand():
    """sha256 begins 8b, df, ce, ee for these texts: / 256 is .54, .87, .80, .93; account alone 37, d2, f7."""
    assert [groups.split_of("ann", post, 0, "group") for post in ("p1", "p2", "p11", "p10")] == [0, 1, 1, 2]
    assert [groups.split_of("ann", "any", seed, "account") for seed in (0, 6, 11)] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"data\.split\.by is 'post'"):
        groups.split_of("ann", "p1", 0, "post")


def test_split_shares():
    draws = np.bincount([groups.split_of(f"user{n % 50}", str(n), 0, "group") for n in range(20000)]) / 20000
    np.testing.assert_allclose(draws, [0.8, 0.1, 0.1], atol=0.01)
