from dataclasses import replace

import numpy as np
import pytest

from ipa_jax.applications.own_past import own_past
from ipa_jax.applications.track_record import block_interval, track_record
from tests.helpers.made_history import DAY, light_options, made_history


def recorded(bank, scorer: str = "auto", **replaced):
    past = own_past(bank, light_options())
    if replaced:
        past = replace(past, correct=past.correct | replaced)
    return past, track_record(bank, past, 2.0, scorer)


def test_figures_are_means_over_pairs():
    bank = made_history(3, posts=150, per_day=1.0)
    past, record = recorded(bank)
    assert list(record.scorers) == ["auto", "retrieval", "probe", "mean"] and record.usable_posts == 150
    pairs, time = past.pairs, bank.images.time
    for name, figure in record.scorers.items():
        assert figure.accuracy == pytest.approx(past.correct[name][pairs.valid].mean())
        assert figure.all_pairs_accuracy == pytest.approx(past.correct[name].mean())
        assert figure.pairs == pairs.valid.sum() < figure.all_pairs == len(pairs.valid)
        assert figure.for_choosing == (name == "auto")
    newer = (pairs.later_likes > pairs.earlier_likes)[pairs.valid].mean()
    assert record.newer_wins == pytest.approx(newer) and record.older_wins == pytest.approx(1 - newer)
    accuracy = record.scorers["auto"].accuracy
    assert accuracy is not None and record.difference == pytest.approx(accuracy - max(newer, 1 - newer))
    blocks = {(time[row] - time[pairs.first]) // (7 * DAY) for row in pairs.later[pairs.valid]}
    assert record.blocks == len(blocks)


def test_verdicts():
    bank = made_history(3, posts=150, per_day=1.0)
    count = len(own_past(bank, light_options()).pairs.later)
    coin = np.random.default_rng(0).integers(0, 2, count).astype(float)
    assert recorded(bank, auto=np.ones(count))[1].verdict == "better than chance"
    assert recorded(bank, auto=np.zeros(count))[1].verdict == "worse than a simple rule"
    assert recorded(bank, auto=coin)[1].verdict == "cannot tell"
    assert recorded(made_history(3, posts=60, per_day=2.0))[1].verdict == "too few weeks"
    assert recorded(made_history(3, posts=29, per_day=0.2))[1].verdict == "too few posts"
    assert recorded(made_history(3, posts=0, per_day=0.2))[1].verdict == "too few posts"


def test_what_only_follows_the_newer_rule_cannot_tell():
    """Right far above a coin, but no more often than "the newer one wins"."""
    bank = made_history(3, posts=150, per_day=1.0)
    bank = replace(bank, images=replace(bank.images, likes=(1.1 ** np.arange(150) * 10).astype(np.int64)))
    pairs = own_past(bank, light_options()).pairs
    _, record = recorded(bank, auto=(pairs.later_likes > pairs.earlier_likes).astype(float))
    assert record.scorers["auto"].accuracy == record.newer_wins == 1 and record.verdict == "cannot tell"


def test_blocks_are_drawn_whole():
    assert block_interval(np.ones(9), np.arange(9), 0) is None
    assert block_interval(np.ones(20), np.arange(20) // 2, 0) == (1, 1)
    values = np.repeat(np.arange(20) % 2, 50).astype(float)  # 20 blocks of 50 equal values: like 20 values
    low, high = block_interval(values, np.repeat(np.arange(20), 50), 0) or (0, 0)
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20**0.5, abs=0.04) and high == pytest.approx(1 - low, abs=0.06)
