"""Baselines that look at no pixel, by hand, and what they must not read."""

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from configs import full
from ipa_jax.baselines import metadata as content
from tests.helpers.gray_split import Split


@pytest.fixture
def options():
    return full.get_config().data.to_dict()


def with_columns(split, **columns):
    split.images = split.images.with_columns(*(pl.Series(name, values) for name, values in columns.items()))
    return split


def with_captions(split, captions, tags=None):
    texts, tags = iter(captions), iter(tags or [""] * len(captions))
    for example in split.examples:
        n = len(example["images"])
        example |= {"captions": [next(texts) for _ in range(n)], "hashtags": [next(tags) for _ in range(n)]}
    return split


def test_the_later_post_is_newer(options):
    split = Split("t", [("ann", [(0, 9, 0), (365.25, 1, 0)])], options)
    np.testing.assert_allclose(content.newer(split)["z"], [0, 1])
    np.testing.assert_allclose(content.older(split)["z"], [0, -1])


def test_an_account_has_one_constant_and_a_new_one_0(options):
    train = Split("r", [("ann", [(0, 10, 0), (1, 1000, 0)]), ("bob", [(0, 7, 0)])], options)
    test = Split("t", [("ann", [(2, 1, 0), (3, 99, 0)]), ("new", [(2, 1, 0)])], options)
    np.testing.assert_allclose(content.account_constant(test, train)["z"], [np.log(100), np.log(100), 0])


def test_content_type_by_hand(options):
    """Local scores of ann's train posts: likes 10, 20, 30 over their mean 20; bob's post stands alone."""
    train = Split("r", [("ann", [(0, 10, 0), (1, 20, 0), (2, 30, 0)]), ("bob", [(100, 5, 0)])], options)
    with_columns(train, people=[1, 1, 7, 3], sponsored=[False, False, False, False], carousel_length=[1, 1, 1, 1])
    test = Split("t", [("new", [(0, 1, 0), (0, 1, 0), (0, 1, 0), (0, 1, 0)])], options)
    with_columns(test, people=[1, 4, 1, 1], sponsored=[False, False, True, False], carousel_length=[1, 1, 1, 2])
    expected = [np.log([0.5, 1]).mean(), np.log([1.5, 1]).mean(), 0, 0]
    np.testing.assert_allclose(content.content_type(test, train)["z"], expected)


def test_log_local_counts_a_post_once_and_follows_the_window(options):
    train = Split("r", [("ann", [(0, 10, 0), (0, 10, 0), (1, 30, 0), (200, 7, 0)])], options)
    with_columns(train, post_id=["p", "p", "q", "s"])
    np.testing.assert_allclose(content.log_local(train), np.log([0.5, 0.5, 1.5, 1]))


def test_a_word_that_goes_with_likes_is_found_in_new_captions(options):
    """Whatever the account's level: only what is above or below its mean is learned."""
    rng = np.random.default_rng(0)
    groups, captions = [], []
    for account, level in (("ann", 10), ("bob", 10_000)):
        for group in range(10):
            words = rng.permutation(["Dog", "car", "dog", "rain"])
            groups.append((account, [(group, level * (3 if w.lower() == "dog" else 1), 0) for w in words]))
            captions += [f"my {w}!" for w in words]
    train = with_captions(Split("r", groups, options), captions)
    test = Split("t", [("new", [(0, 1, 0)] * 3)], options)
    with_captions(test, ["a DOG", "car", "unheard"])
    z = content.caption_only(test, train)["z"].to_list()
    assert z[0] > 0.3 > 0 > z[1] and z[0] > z[2]
    only_tags = with_captions(Split("r", groups, options), [""] * 80, [c.split()[1].strip("!") for c in captions])
    asked = with_captions(Split("t", [("new", [(0, 1, 0)] * 2)], options), ["", ""], ["dog", "car"])
    z = content.caption_only(asked, only_tags)["z"].to_list()
    assert z[0] > 0 > z[1]


def test_no_content_baseline_reads_a_label_of_the_split(options):
    train = with_captions(Split("r", [("ann", [(i, 10 + i, 0) for i in range(9)])], options), ["a b"] * 5 + ["c"] * 4)
    for name in ("content_type", "caption_only", "account_constant"):
        one, two = (
            with_captions(Split("t", [("ann", [(3, likes, 0), (4, likes + 7, 0)])], options), ["a", "c"])
            for likes in (1, 10**6)
        )
        baseline = getattr(content, name)
        assert baseline(one, train)["z"].to_list() == baseline(two, train)["z"].to_list(), name


def test_bags_have_length_1_and_know_case_and_tags():
    bags = content.bag_of_words(["Sea sea sun", "#sea", "", "SEA Sun sea"]).toarray()
    np.testing.assert_allclose(np.linalg.norm(bags, axis=1), [1, 1, 0, 1])
    np.testing.assert_allclose(bags[0], bags[3])
    assert sorted(bags[0][bags[0] > 0]) == pytest.approx([1 / 5**0.5, 2 / 5**0.5])
    assert bags[0] @ bags[1] == 0  # a tag is no word


def test_ridge_is_the_closed_form():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 6)), rng.normal(size=30)
    expected = np.linalg.solve(x.T @ x + 3 * np.eye(6), x.T @ y)
    np.testing.assert_allclose(content.ridge(csr_array(x), y, 3.0), expected, atol=1e-8)
