"""ipa_jax.input.packing: nothing dropped, no group cut, all repeatable, one expected gradient for both batchings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from ipa_jax.input import packing


def index_of(sizes, seed=0, weights=None):
    rng = np.random.default_rng(seed)
    records = np.repeat(np.arange(len(sizes)), sizes)
    likes = rng.integers(10, 1000, len(records))
    likes[np.cumsum(sizes) - 1] = 10_000  # each group has a valid pair
    weights = np.ones(len(records)) if weights is None else weights
    return packing.group_index(records, likes, weights, 2)


def batch(by="groups", *, pairs=3, slots=32, packs=2):
    return ConfigDict({"by": by, "pairs": pairs, "slots": slots, "packs": packs, "accumulate": 1})


SIZES = st.lists(st.integers(2, 30), min_size=1, max_size=80)


def test_valid_pairs_by_hand():
    index = packing.group_index(
        records=np.array([0, 0, 0, 1, 1]),
        likes=np.array([10, 20, 21, 5, 11]),
        weights=np.array([0.5, 0.5, 1.0, 1.0, 1.0]),
        min_ratio=2,
    )
    assert index.first.tolist() == [0, 3, 5]
    assert index.pairs.tolist() == [[0, 2], [3, 4]]  # 20 / 10 is exactly 2: not above
    assert index.pair_weights.tolist() == [0.5, 1.0]


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, ratio=st.sampled_from([1, 2, 2.5]), seed=st.integers(0, 99))
def test_valid_pairs_equal_a_loop(sizes, ratio, seed):
    rng = np.random.default_rng(seed)
    records = np.repeat(np.arange(len(sizes)), sizes)
    likes = rng.integers(1, 12, len(records))
    weights = rng.random(len(records))
    index = packing.group_index(records, likes, weights, ratio)
    slow = [
        (i, j)
        for i in range(len(likes))
        for j in range(i + 1, min(i + 30, len(likes)))
        if records[i] == records[j] and max(likes[i], likes[j]) > ratio * min(likes[i], likes[j])
    ]
    assert [tuple(pair) for pair in index.pairs.tolist()] == slow
    np.testing.assert_allclose(index.pair_weights, [weights[i] * weights[j] for i, j in slow])


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, slots=st.integers(30, 64), seed=st.integers(0, 2**32), epoch=st.integers(0, 50))
def test_every_group_once_and_whole(sizes, slots, seed, epoch):
    plan = packing.train_plan(index_of(sizes), batch(slots=slots), seed)
    rows = packing.epoch_rows(plan, epoch)
    assert rows.shape == (plan.packs_per_epoch, slots)
    assert sorted(rows[rows >= 0].tolist()) == list(range(sum(sizes)))
    pack_of = {row: pack for pack, packed in enumerate(rows.tolist()) for row in packed if row >= 0}
    for group in range(len(sizes)):
        members = range(plan.index.first[group], plan.index.first[group + 1])
        assert len({pack_of[row] for row in members}) == 1
    assert (rows >= 0).any(axis=1).all()  # no pack is empty


@pytest.mark.parametrize("slots", [32, 48])
@pytest.mark.parametrize("shape", ["demo", "uniform", "poisson"])
def test_packs_are_95_percent_full(slots, shape):
    rng = np.random.default_rng(slots)
    sizes = {
        "demo": np.clip(1 + rng.geometric(1 / 3.9, 2000), 2, 30),
        "uniform": rng.integers(2, 31, 2000),
        "poisson": np.clip(rng.poisson(5, 2000), 2, 30),
    }[shape]
    plan = packing.train_plan(index_of(sizes), batch(slots=slots), 0)
    rows = packing.epoch_rows(plan, 0)
    assert packing.efficiency(plan) == (rows >= 0).mean() > 0.95


def test_packs_mix_large_and_small_groups():
    """No tail of packs with small groups only: in each tenth of an unshuffled layout the mean size is alike."""
    sizes = np.clip(1 + np.random.default_rng(0).geometric(1 / 3.9, 2000), 2, 30)
    plan = packing.train_plan(index_of(sizes), batch(slots=48), 0)
    groups_a_pack = np.bincount(plan.layout[:, 1])
    assert groups_a_pack.max() < 20  # 24 groups of two would fill a pack


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_epochs_are_drawn_afresh_and_repeatably(by):
    sizes = np.random.default_rng(1).integers(2, 9, 60)
    one, same, other = (packing.train_plan(index_of(sizes), batch(by), seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(packing.epoch_rows(one, 3), packing.epoch_rows(same, 3))
    assert (packing.epoch_rows(one, 3) != packing.epoch_rows(one, 4)).any()
    assert (packing.epoch_rows(one, 3) != packing.epoch_rows(other, 3)[: one.packs_per_epoch]).any()
    assert len(packing.epoch_rows(one, 3)) == len(packing.epoch_rows(one, 4)) == one.packs_per_epoch


def test_groups_of_a_size_change_company():
    plan = packing.train_plan(index_of([10] * 30), batch(slots=32), 0)
    company = [{frozenset(pack[pack >= 0].tolist()) for pack in packing.epoch_rows(plan, e)} for e in (0, 1)]
    assert len(company[0] & company[1]) < len(company[0])


def test_every_pair_once_an_epoch():
    plan = packing.train_plan(index_of([5, 8, 2, 30]), batch("pairs"), 0)
    for epoch in (0, 1):
        rows = packing.epoch_rows(plan, epoch)
        assert rows.shape == (len(plan.index.pairs), 2)
        assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, plan.index.pairs.tolist()))
    assert packing.efficiency(plan) == 1


def test_total_steps_by_hand():
    plan = packing.train_plan(index_of([30] * 30), batch(slots=32, packs=4), 0)
    assert plan.packs_per_epoch == 30
    assert [packing.total_packs(plan, e) for e in (1.0, 0.1, 2.5)] == [30, 3, 75]
    assert [packing.total_steps(plan, e) for e in (1.0, 0.1, 2.5)] == [8, 1, 19]  # 30/4, 3/4, 75/4


def test_too_few_slots_names_the_field_and_the_remedy():
    with pytest.raises(ValueError, match=r"batch\.slots is 10.*group 1 .*12 images.*--config\.batch\.slots=12"):
        packing.train_plan(index_of([3, 12, 5]), batch(slots=10), 0)


def test_a_split_without_pairs_and_an_unknown_batching_are_errors():
    none = packing.group_index(np.array([0, 0]), np.array([5, 6]), np.ones(2), 2)
    with pytest.raises(ValueError, match="no valid pair"):
        packing.train_plan(none, batch(), 0)
    with pytest.raises(ValueError, match=r"batch\.by is 'images'"):
        packing.train_plan(index_of([2]), batch("images"), 0)


def test_loss_scale_by_hand():
    """Two groups of one pair each, weights 1 and 1/2: 1.5 a whole epoch."""
    records, likes = np.array([0, 0, 1, 1]), np.array([1, 9, 1, 9])
    index = packing.group_index(records, likes, np.array([1.0, 1.0, 0.5, 1.0]), 2)
    assert packing.loss_scale(packing.train_plan(index, batch("pairs", pairs=3), 0)) == 3 * 0.75
    assert packing.loss_scale(packing.train_plan(index, batch("groups", slots=2, packs=1), 0)) == 0.75
    assert packing.loss_scale(packing.train_plan(index, batch("groups", slots=4, packs=2), 0)) == 3.0


def gradient(plan, packs, x, log_likes, w):
    """Of a step's loss under a linear score z = x w and the share loss 2 (sigmoid d - sigmoid t)^2, by hand."""
    total = np.zeros_like(w)
    for pack in packs.tolist():
        for (i, j), weight in zip(plan.index.pairs.tolist(), plan.index.pair_weights, strict=True):
            if i in pack and j in pack:
                a, b = 1 / (1 + np.exp(-(x[i] - x[j]) @ w)), 1 / (1 + np.exp(-(log_likes[i] - log_likes[j])))
                total += weight * 4 * (a - b) * a * (1 - a) * (x[i] - x[j])
    return total / packing.loss_scale(plan)


def test_both_batchings_have_the_same_expected_gradient():
    """The mean over all steps of whole epochs is the gradient of the mean over all valid pairs, exactly."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 7, 24)
    n = int(sizes.sum())
    weights = rng.choice([1.0, 0.5, 1 / 3], n)
    index = index_of(sizes, weights=weights)
    x, w, log_likes = rng.normal(size=(n, 4)), rng.normal(size=4), rng.normal(size=n)
    means = []
    for choice in (batch("pairs", pairs=6), batch("groups", slots=12, packs=2), batch("groups", slots=30, packs=1)):
        plan = packing.train_plan(index, choice, 0)
        stream = np.concatenate([packing.epoch_rows(plan, e) for e in range(6)])
        steps = np.split(stream, len(stream) // plan.packs_per_step)  # 6 epochs: every choice divides them
        means.append(np.mean([gradient(plan, step, x, log_likes, w) for step in steps], axis=0))
    np.testing.assert_allclose(means[1], means[0], rtol=1e-9)
    np.testing.assert_allclose(means[2], means[0], rtol=1e-9)


@given(images=st.integers(0, 300), slots=st.integers(1, 40), packs=st.integers(1, 4))
def test_scoring_takes_every_image_once(images, slots, packs):
    rows = packing.score_rows(np.arange(images), slots, packs)
    assert rows[rows >= 0].tolist() == list(range(images))
    assert len(rows) % packs == 0 and rows.size < images + slots * packs
