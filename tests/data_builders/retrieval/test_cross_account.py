"""Short histories: what fills free slots agrees with a slow search, and uses no likes that it must not use."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_builders.dataset import GroupDataset
from data_builders.groups import SPLITS, TRAIN
from data_builders.retrieval import cross_account
from data_builders.retrieval.accounts import Account
from data_builders.retrieval.memory_bank import newest
from data_builders.retrieval.similarity import similarity
from data_builders.retrieval.top_k import DECIMALS, retrieve
from tests.helpers.built import build_quietly, config
from tests.helpers.random_accounts import DAY, as_arrays, draw_account, draw_choices

NAMES = ("ann", "ben", "cho")
FIELDS = ("similarity", "local_score", "count", "mask")


class Store:
    """Stands in for a feature store, with accounts in memory."""

    def __init__(self, features):
        self.features = features

    def load(self, account, image_ids):
        images, features = self.features[account]
        return features.rows(np.array([images.image_id.tolist().index(image) for image in image_ids], int))


def draw(seed, past=None):
    """(account name -> (images, kept, features), choices) of three accounts."""
    rng = random.Random(seed)
    options = draw_choices(rng, "all", "group", "group", past, True)
    options["memory"].update(
        max_posts=rng.choice([0, 1, 3]), fallback="cross_account", fallback_below=rng.choice([1, 5])
    )
    options["retrieval"]["k"] = 3
    return {name: as_arrays(name, draw_account(rng, "all"), options) for name in NAMES}, options


def pool_of(world):
    accounts = [Account(name, None, images, kept) for name, (images, kept, _) in world.items()]
    return cross_account.make_pool(accounts, Store({name: (images, f) for name, (images, _, f) in world.items()}))


def filled(world, options, name):
    images, _, features = world[name]
    own = retrieve(images, features, options)
    return own, *cross_account.fill(own, name, images, features, pool_of(world), options)


def has_train(world):
    return any((images.split == TRAIN).any() for images, _, _ in world.values())


def slow(world, options, name, query, slots):
    """Foreign keys with their values for one query, by looking at every image."""
    memory, (images, _, features) = options["memory"], world[name]
    found = []
    for other, (theirs, _, their_features) in world.items():
        for image in np.flatnonzero(theirs.split == TRAIN) if other != name else ():
            lag = memory["min_lag_days"] * DAY
            if memory["past_only"] and not images.time[query] - theirs.time[image] > lag:
                continue
            s = similarity(features.rows([query]), their_features.rows([image]), options["similarity"],
                           options["pose"]["keypoint_threshold"])[:, 0, 0]  # fmt: skip
            near = np.abs(theirs.time - theirs.time[image]) < memory["window_days"] * DAY
            near &= theirs.split == TRAIN
            if memory["past_only"]:
                near &= images.time[query] - theirs.time > lag
            likes = dict(zip(theirs.post[near].tolist(), theirs.likes[near].tolist(), strict=True))
            if not memory["mean_includes_retrieved"]:
                likes.pop(int(theirs.post[image]))
            local = theirs.likes[image] / np.mean(list(likes.values())) if likes else 1.0
            order = (-np.round(s[0], DECIMALS), -theirs.time[image], other, theirs.image_id[image])
            found.append(
                (order, (other, theirs.post[image]), f"{other}/{theirs.image_id[image]}", *s, local, len(likes))
            )
    taken, rows = set(), []
    for _, post, *row in sorted(found, key=lambda row: row[0]):
        if post not in taken and len(rows) < slots:
            taken.add(post)
            rows.append(row)
    return rows


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), past=st.sampled_from([None, 0, 7]))
def test_free_slots_agree_with_a_slow_search(seed, past):
    world, options = draw(seed, past)
    if not has_train(world):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_account, "CANDIDATES", 1000)
        patch.setattr(cross_account, "BLOCK", 7)
        own, found, keys = filled(world, options, "ben")
    images = world["ben"][0]
    for query in range(len(images)):
        real = int(own.mask[query].sum())
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(found, name)[query, :real], getattr(own, name)[query, :real])
        short = images.group[query] >= 0 and own.bank[query] < options["memory"]["fallback_below"]
        expected = slow(world, options, "ben", query, 3 - real) if short else []
        assert keys[query, real : real + len(expected)].tolist() == [row[0] for row in expected]
        assert int(found.mask[query].sum()) == real + len(expected) and not (keys[query, :real] != "").any()
        for slot, row in enumerate(expected, real):
            values = [*found.similarity[query, slot], found.local_score[query, slot], found.count[query, slot]]
            np.testing.assert_allclose(values, row[1:], rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), past=st.sampled_from([None, 0, 7]))
def test_no_like_that_a_query_must_not_know_reaches_a_foreign_slot(seed, past):
    """Likes of its own account, of others' validation and test posts; with past_only, of any post that is not past."""
    world, options = draw(seed, past)
    if not has_train(world):
        return
    _, before, keys = filled(world, options, "ben")
    images = world["ben"][0]
    lag = options["memory"]["min_lag_days"] * DAY

    def foreign_of(query, hidden):
        """The slots of one query after the likes of `hidden` (a mask for each account) are changed."""
        rng, other = np.random.default_rng(seed), {}
        for name, (theirs, kept, features) in world.items():
            numbers = rng.integers(1, 10**9, len(theirs))[theirs.post]
            other[name] = (replace(theirs, likes=np.where(hidden(name, theirs), numbers, theirs.likes)), kept, features)
        _, after, others = filled(other, options, "ben")
        return after, others

    after, others = foreign_of(None, lambda name, theirs: np.full(len(theirs), name == "ben") | (theirs.split != TRAIN))
    np.testing.assert_array_equal(others, keys)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(after, name)[keys != ""], getattr(before, name)[keys != ""])
    if past is not None and len(images):
        query = len(images) // 2
        after, others = foreign_of(query, lambda _, theirs: ~(images.time[query] - theirs.time > lag))
        np.testing.assert_array_equal(others[query], keys[query])
        for name in FIELDS:
            slots = keys[query] != ""
            np.testing.assert_array_equal(getattr(after, name)[query, slots], getattr(before, name)[query, slots])


def test_the_cap_keeps_the_newest_posts_that_are_seen():
    seen = np.array([[True, False, True, True], [False, False, False, True], [False] * 4])
    assert newest(seen, -1) is seen
    assert newest(seen, 2).astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert not newest(seen, 0).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), most=st.sampled_from([0, 1, 4]))
def test_a_capped_bank_is_a_short_bank(seed, most):
    rng = random.Random(seed)
    options = draw_choices(rng, "first", "group", "group", None, True)
    images, _, features = as_arrays("ann", draw_account(rng, "first"), options)
    whole = retrieve(images, features, options)
    options["memory"]["max_posts"] = most
    capped = retrieve(images, features, options)
    np.testing.assert_array_equal(capped.bank, np.minimum(whole.bank, most))
    assert (capped.count <= most).all() and (capped.mask.sum(1) <= most).all()


def test_a_built_data_set_flags_what_is_foreign(world, tmp_path):
    chosen = config(memory={"max_posts": 1, "fallback": "cross_account"})
    build_quietly(world, tmp_path / "filled", config=chosen)
    train = {(row["account"], row["image_id"]) for row in GroupDataset(tmp_path / "filled", "train").images.to_dicts()}
    for split in SPLITS:
        for group in GroupDataset(tmp_path / "filled", split):
            foreign, mask = group["foreign"], group["mask"]
            assert foreign.shape == mask.shape and mask.all() and (foreign.sum(1) >= foreign.shape[1] - 1).all()
            for image, flag in zip(group["retrieved_ids"], foreign.ravel().tolist(), strict=True):
                owner, name = image.split("/", 1) if flag else (group["account"], image)
                assert (owner, name) in train and flag == (owner != group["account"])
            assert (group["local_score"] > 0).all() and (group["count"] >= 1).all()
    with pytest.raises(ValueError, match="fallback searches all accounts at once"):
        build_quietly(world, tmp_path / "beam", config=chosen, beam_pipeline_options=["runner=DirectRunner"])


def test_without_a_fallback_nothing_is_flagged(world, tmp_path):
    build_quietly(world, tmp_path, config=config(memory={"max_posts": 0}))
    group = GroupDataset(tmp_path, "test")[0]
    assert "foreign" not in group and not group["mask"].any() and set(group["retrieved_ids"]) == {""}
