"""What a query may see: the bank, exclusions, the past."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.retrieval import memory_bank
from data_builders.retrieval.memory_bank import AccountImages, account_images
from tests.helpers.random_accounts import as_arrays, draw_account, draw_choices, plain_choices

DAY = 86400
MEMORY = {"exclude": "group", "past_only": False, "min_lag_days": 7.0}


def by_hand():
    """Six one-image posts, 4 days apart: two train groups, a test group, and one post in no group."""
    post = np.arange(7, dtype=np.int32)
    return AccountImages(
        post=post,
        time=post.astype(np.int64) * 4 * DAY,
        likes=np.ones(7, np.int64),
        group=np.array([0, 0, 1, 1, 2, 2, -1], np.int32),
        split=np.array([0, 0, 0, 0, 2, 2, -1], np.int8),
        image_id=np.array(list("abcdefg")),
        post_id=np.array(list("abcdefg")),
    )


def seen(query, split_by="group", **memory):
    images = by_hand()
    row = memory_bank.visible(images, images, {**MEMORY, **memory}, split_by)["abcdefg".index(query)]
    return "".join(images.image_id[row])


def test_the_bank_holds_kept_train_groups():
    assert "".join(by_hand().image_id[memory_bank.in_bank(by_hand(), "group")]) == "abcd"
    assert "".join(by_hand().image_id[memory_bank.in_bank(by_hand(), "account")]) == "abcdef"


@pytest.mark.parametrize(
    ("exclude", "train", "test", "test_by_account"),
    [("group", "cd", "abcd", "abcd"), ("post", "bcd", "abcd", "abcd"), ("none", "abcd", "abcd", "abcd")],
)
def test_exclusions(exclude, train, test, test_by_account):
    """Test queries never see their own group, whatever `exclude` is, even if their account is in the bank."""
    assert seen("a", exclude=exclude) == train
    assert seen("e", exclude=exclude) == test
    assert seen("e", "account", exclude=exclude) == test_by_account


def test_the_past():
    assert seen("c", past_only=True, min_lag_days=0) == "ab"
    assert seen("c", past_only=True, min_lag_days=3) == "ab"
    assert seen("c", past_only=True, min_lag_days=4) == "a", "a lag is exceeded, not met"
    assert seen("d", past_only=True, min_lag_days=0) == "ab", "on top of the exclusion: c is of d's group"
    assert seen("d", past_only=True, min_lag_days=0, exclude="post") == "abc"
    assert seen("d", past_only=True, min_lag_days=0, exclude="none") == "abc"
    assert seen("f", "account", past_only=True, min_lag_days=0, exclude="none") == "abcd"


def test_unknown_choices_are_named():
    with pytest.raises(ValueError, match=r"data\.memory\.exclude is 'self': .*group, post, none"):
        seen("a", exclude="self")
    with pytest.raises(ValueError, match=r"data\.split\.by is 'time'"):
        seen("a", "time")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    exclude=st.sampled_from(["group", "post", "none"]),
    by=st.sampled_from(["group", "account"]),
    past=st.sampled_from([None, 0, 7]),
)
def test_viewers_stand_for_their_kind(seed, exclude, by, past):
    rng = random.Random(seed)
    options = draw_choices(rng, "all", exclude, by, past, True)
    images = as_arrays("ann", draw_account(rng, "all"), options)[0]
    query = images.rows(images.group >= 0)
    rows, viewer = memory_bank.viewers(query, options["memory"])
    whole = memory_bank.visible(query, images, options["memory"], by)
    part = memory_bank.visible(query.rows(rows), images, options["memory"], by)
    np.testing.assert_array_equal(part[viewer], whole)


def test_a_lag_of_a_window_removes_the_own_group():
    """With `min_lag_days` of the group's 7 days or more, `past_only` sees nothing of it even under "none"."""
    for seed in range(20):
        rng = random.Random(seed)
        options = draw_choices(rng, "all", "none", "account", 7, True)
        images = as_arrays("ann", draw_account(rng, "all"), options)[0]
        shown = memory_bank.visible(images, images, options["memory"], "account")
        assert not np.any(shown & (images.group[:, None] == images.group) & (images.group >= 0))


def test_account_images_flattens_posts_in_order():
    times, likes = [0, DAY, 30 * DAY], [4, 9, 5]
    images, kept = account_images("ann", ["x", "y", "z"], times, likes, [["x2", "x1"], ["y"], ["z"]], plain_choices())
    assert images.image_id.tolist() == ["x2", "x1", "y", "z"]
    assert images.post_id.tolist() == ["x", "x", "y", "z"]
    assert images.post.tolist() == [0, 0, 1, 2]
    assert images.likes.tolist() == [4, 4, 9, 5]
    assert images.time.tolist() == [0, 0, DAY, 30 * DAY]
    assert images.group.tolist() == [0, 0, 0, -1]
    assert images.split[3] == -1 and len(set(images.split[:3].tolist())) == 1
    assert kept.pairs[0].tolist() == [[0, 2], [1, 2]]


def test_ids_stay_strings():
    images, _ = account_images("ann", ["007", "7"], [0, 1], [1, 9], [["010"], ["10"]], plain_choices())
    assert images.image_id.tolist() == ["010", "10"] and images.post_id.tolist() == ["007", "7"]


@pytest.mark.parametrize(
    ("times", "ids", "message"),
    [
        ([1, 0], [["x"], ["y"]], r"account ann: posts must be sorted by \(time, post id\)"),
        ([0, 1], [["x"], []], "account ann: post q has no image"),
        ([0, 1], [["x"], ["x"]], "account ann: image id x occurs twice"),
    ],
)
def test_bad_accounts_are_named(times, ids, message):
    with pytest.raises(ValueError, match=message):
        account_images("ann", ["p", "q"], times, [1, 9], ids, plain_choices())
