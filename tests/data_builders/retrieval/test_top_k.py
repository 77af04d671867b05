"""The whole of Top-K: compared with the slow reference for every choice, and with numbers worked out by hand."""

import dataclasses
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.features.features import Features
from data_builders.retrieval import top_k
from data_builders.retrieval.memory_bank import account_images
from tests.helpers import slow_reference
from tests.helpers.random_accounts import as_arrays, as_features, draw_account, draw_choices, draw_image, plain_choices

DAY = 86400
CHOICES = {
    "carousel": st.sampled_from(["all", "first"]),
    "exclude": st.sampled_from(["group", "post", "none"]),
    "by": st.sampled_from(["group", "account"]),
    "past": st.sampled_from([None, 0, 3, 7]),
    "includes": st.booleans(),
}


def rows_of(found, ids, query):
    """A query's real slots as the slow reference writes them."""
    slots = np.flatnonzero(found.mask[query])
    values = np.column_stack([found.similarity[query], found.local_score[query], found.count[query]])
    return [(str(ids[found.index[query, k]]), *values[k]) for k in slots]


def assert_same(fast, slow):
    assert [row[0] for row in fast] == [row[0] for row in slow]
    if slow:
        np.testing.assert_allclose([row[1:] for row in fast], [row[1:] for row in slow], rtol=1e-6, atol=1e-6)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32), **CHOICES)
def test_agrees_with_the_slow_reference(seed, carousel, exclude, by, past, includes):
    rng = random.Random(seed)
    options = draw_choices(rng, carousel, exclude, by, past, includes)
    posts = draw_account(rng, carousel)
    images, kept, features = as_arrays("ann", posts, options)
    expected_groups, singletons = slow_reference.groups(posts, options)

    assert kept.dropped["one post"] == singletons
    assert [pairs.tolist() for pairs in kept.pairs] == [[list(p) for p in g["pairs"]] for g in expected_groups]
    for number, group in enumerate(expected_groups):
        members = np.flatnonzero(images.group == number)
        assert images.image_id[members].tolist() == [image["id"] for _, image in group["images"]]
        name = slow_reference.split("ann", group, options)
        assert set(images.split[members].tolist()) == {["train", "validation", "test"].index(name)}

    found = top_k.retrieve(images, features, options)
    expected = slow_reference.retrieve("ann", posts, options)
    for query, image_id in enumerate(images.image_id.tolist()):
        assert_same(rows_of(found, images.image_id, query), expected.get(image_id, []))

    photos = [draw_image(rng) for _ in range(3)]
    times = [posts[-1]["time"] - 3 * DAY, posts[-1]["time"], posts[0]["time"]]
    new = top_k.retrieve_new(np.array(times), as_features(photos), images, features, options)
    for query, (photo, time) in enumerate(zip(photos, times, strict=True)):
        slow = slow_reference.retrieve_new("ann", posts, options, photo, time)
        assert_same(rows_of(new, images.image_id, query), slow)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), **CHOICES)
def test_what_always_holds(seed, carousel, exclude, by, past, includes):
    rng = random.Random(seed)
    options = draw_choices(rng, carousel, exclude, by, past, includes)
    images, _, features = as_arrays("ben", draw_account(rng, carousel), options)
    found = top_k.retrieve(images, features, options)

    assert not found.mask[images.group < 0].any()
    for values in (found.similarity, found.local_score, found.count):
        assert not values[~found.mask].any()
    assert np.all(found.index[~found.mask] == -1)
    assert np.all(np.diff(found.mask.astype(int), axis=1) <= 0), "real slots come first"
    total = found.similarity[..., 0]
    assert np.all((found.similarity >= 0) & (found.similarity <= 1 + 1e-12))
    falls = np.round(total[:, 1:], 6) <= np.round(total[:, :-1], 6)
    assert np.all(falls | ~found.mask[:, 1:])
    local, count = found.local_score[found.mask], found.count[found.mask]
    assert np.all(local > 0)
    if includes:
        assert np.all(count >= 1) and np.all(local <= count + 1e-9)
        assert np.all(local[count == 1] == 1)
    for query in np.flatnonzero(images.group >= 0):
        posts = images.post[found.index[query][found.mask[query]]]
        assert len(set(posts.tolist())) == len(posts), "a post is retrieved at most once"
        if exclude == "group" or images.split[query] != 0:
            assert images.group[query] not in images.group[found.index[query][found.mask[query]]]
        elif exclude == "post":
            assert images.post[query] not in posts


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), carousel=CHOICES["carousel"], by=CHOICES["by"], past=CHOICES["past"])
def test_own_group_likes_leave_no_trace(seed, carousel, by, past):
    """The likes of a query's own group change no bit of its features (exclude = group)."""
    rng = random.Random(seed)
    options = draw_choices(rng, carousel, "group", by, past, True)
    images, _, features = as_arrays("cid", draw_account(rng, carousel), options)
    before = top_k.retrieve(images, features, options)
    for group in set(images.group.tolist()) - {-1}:
        own = images.group == group
        others = dataclasses.replace(images, likes=np.where(own, images.likes * 7 + 13, images.likes))
        changed = top_k.retrieve(others, features, options)
        for name, values in vars(before).items():
            np.testing.assert_array_equal(getattr(changed, name)[own], values[own])


def test_chunks_change_nothing(monkeypatch):
    rng = random.Random(5)
    options = draw_choices(rng, "all", "group", "account", None, True)
    images, _, features = as_arrays("dan", draw_account(rng, "all"), options)
    whole = top_k.retrieve(images, features, options)
    monkeypatch.setattr(top_k, "CHUNK", 1)
    for name, values in vars(top_k.retrieve(images, features, options)).items():
        np.testing.assert_allclose(values, getattr(whole, name), rtol=0, atol=1e-12)


def captions(*vectors):
    """Features with only captions."""
    count = len(vectors)
    size = np.full(count, 10, np.int32)
    return Features(None, None, None, size, size, None, np.array(vectors, np.float32))


def hand_account(monkeypatch, posts, **memory):
    """Train groups by hand: (id, day, likes, group) per post, one image each; only captions count."""
    monkeypatch.setattr("data_builders.retrieval.memory_bank.split_of", lambda account, first, seed, by: 0)
    options = plain_choices()
    options["similarity"] = {"pose": 0.0, "background": 0.0, "caption": 1.0}
    options["memory"].update(memory)
    plain = [{"id": i, "time": 10**9 + int(d * DAY), "likes": n, "images": [{"id": f"im-{i}"}]} for i, d, n in posts]
    images, _ = account_images(
        "eve",
        [p["id"] for p in plain],
        [p["time"] for p in plain],
        [p["likes"] for p in plain],
        [[image["id"] for image in p["images"]] for p in plain],
        options,
    )
    return images, options


POSTS = [("a", 0, 10), ("b", 1, 30), ("c", 10, 20), ("d", 11, 60), ("e", 50, 40), ("f", 51, 100)]
CAPTIONS = [(1, 0), (0, 1), (3, 4), (4, 3), (1, 0), (0, 0)]


def test_by_hand(monkeypatch):
    """Groups {a b} {c d} {e f}. Query a sees c d e f: cosines .6 .8 1 0; means of the month 40 (c d) and 70 (e f)."""
    images, options = hand_account(monkeypatch, POSTS)
    assert images.group.tolist() == [0, 0, 1, 1, 2, 2]
    found = top_k.retrieve(images, captions(*CAPTIONS), options)
    assert images.image_id[found.index[0, :4]].tolist() == ["im-e", "im-d", "im-c", "im-f"]
    assert found.mask[0].tolist() == [True] * 4 + [False]
    np.testing.assert_allclose(found.similarity[0, :, 0], [1, 0.8, 0.6, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.local_score[0], [40 / 70, 60 / 40, 20 / 40, 100 / 70, 0], atol=1e-12)
    assert found.count[0].tolist() == [2, 2, 2, 2, 0]
    # Eq. 4: the K pairs (S, local) in rank order.
    pairs = np.stack([found.similarity[0, :, 0], found.local_score[0]], axis=1).ravel()
    np.testing.assert_allclose(pairs, [1, 4 / 7, 0.8, 1.5, 0.6, 0.5, 0, 10 / 7, 0, 0], atol=1e-12)


def test_by_hand_without_own_post_only(monkeypatch):
    """Query a sees its neighbour b as well: A_r of c and d holds b, c, d with mean 110 / 3."""
    images, options = hand_account(monkeypatch, POSTS, exclude="post")
    found = top_k.retrieve(images, captions(*CAPTIONS), options)
    assert images.image_id[found.index[0]].tolist() == ["im-e", "im-d", "im-c", "im-f", "im-b"]
    np.testing.assert_allclose(found.local_score[0], [4 / 7, 180 / 110, 60 / 110, 10 / 7, 90 / 110], atol=1e-12)
    assert found.count[0].tolist() == [2, 3, 3, 2, 3]


def test_by_hand_with_the_leak(monkeypatch):
    """exclude = none: a is retrieved for itself, over a mean (10 + 30 + 20 + 60) / 4 that holds its own likes."""
    images, options = hand_account(monkeypatch, POSTS, exclude="none")
    found = top_k.retrieve(images, captions(*CAPTIONS), options)
    assert images.image_id[found.index[0, :2]].tolist() == ["im-e", "im-a"], "both S = 1: the newer post first"
    np.testing.assert_allclose(found.local_score[0, 1], 10 / 30)
    assert found.count[0, 1] == 4


def test_by_hand_past_only(monkeypatch):
    """Query d (day 11) sees a and b; with a lag of 10 days a alone, for b's is not *more* than 10 days back."""
    images, options = hand_account(monkeypatch, POSTS, past_only=True, min_lag_days=7.0)
    found = top_k.retrieve(images, captions(*CAPTIONS), options)
    assert images.image_id[found.index[3, :2]].tolist() == ["im-a", "im-b"]
    np.testing.assert_allclose(found.local_score[3], [10 / 20, 30 / 20, 0, 0, 0])
    assert not found.mask[:2].any(), "the first posts have no past"
    options["memory"]["min_lag_days"] = 10.0
    found = top_k.retrieve(images, captions(*CAPTIONS), options)
    assert found.index[3].tolist() == [0, -1, -1, -1, -1]
    assert found.local_score[3, 0] == 1


def test_ties_newer_post_then_image_id_as_string(monkeypatch):
    posts = [("a", 0, 10), ("b", 1, 30), ("10", 20, 1), ("9", 20, 3), ("z", 30, 1), ("zz", 31, 3)]
    images, options = hand_account(monkeypatch, posts)
    near = (1.0, 1e-4)  # cosine 1 - 5e-9: the same to 6 decimals
    found = top_k.retrieve(images, captions((1, 0), (1, 0), near, (1, 0), near, (1, 0)), options)
    assert images.image_id[found.index[0, :4]].tolist() == ["im-zz", "im-z", "im-10", "im-9"]
    assert found.similarity[0, 1, 0] < 1, "the network gets S unrounded"


def test_a_post_comes_by_its_best_image_and_counts_once(monkeypatch):
    monkeypatch.setattr("data_builders.retrieval.memory_bank.split_of", lambda account, first, seed, by: 0)
    options = plain_choices()
    options["similarity"] = {"pose": 0.0, "background": 0.0, "caption": 1.0}
    days = [10**9, 10**9 + DAY, 10**9 + 20 * DAY, 10**9 + 21 * DAY]
    ids = [["q"], ["q2"], ["r1", "r2", "r3"], ["s"]]
    images, _ = account_images("fay", ["1", "2", "3", "4"], days, [1, 9, 10, 40], ids, options)
    found = top_k.retrieve(images, captions((1, 0), (0, 1), (0, 1), (4, 3), (3, 4), (3, 4)), options)
    assert images.image_id[found.index[0, :2]].tolist() == ["r2", "s"]
    np.testing.assert_allclose(found.local_score[0, :2], [10 / 25, 40 / 25])
    assert found.count[0, :2].tolist() == [2, 2] and found.mask[0].sum() == 2


def test_new_photos_see_the_whole_bank(monkeypatch):
    images, options = hand_account(monkeypatch, POSTS)
    found = top_k.retrieve_new(np.array([10**9]), captions((1, 0)), images, captions(*CAPTIONS), options)
    assert images.image_id[found.index[0]].tolist() == ["im-e", "im-a", "im-d", "im-c", "im-f"]
    np.testing.assert_allclose(found.local_score[0], [4 / 7, 10 / 30, 60 / 30, 20 / 30, 10 / 7])


def test_an_empty_history_gives_empty_slots(monkeypatch):
    images, options = hand_account(monkeypatch, [])
    none = captions((1, 0)).rows(np.zeros(0, int))
    found = top_k.retrieve_new(np.array([10**9]), captions((1, 0)), images, none, options)
    assert found.index.tolist() == [[-1] * 5] and not found.mask.any()
    assert top_k.retrieve(images, none, options).index.shape == (0, 5)


def test_rows_must_match(monkeypatch):
    images, options = hand_account(monkeypatch, POSTS)
    with pytest.raises(ValueError, match="6 images, but features of 1"):
        top_k.retrieve_new(np.array([0]), captions((1, 0)), images, captions((1, 0)), options)
