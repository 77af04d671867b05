import math
import operator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import own_past, score_new
from ipa_jax.applications.scorers import STRENGTHS, columns
from tests.helpers.made_history import DAY, drawn_features, light_options, made_history


def with_likes(bank: HistoryBank, likes: np.ndarray) -> HistoryBank:
    return replace(bank, images=replace(bank.images, likes=likes))


def unit(vector):
    length = math.sqrt(sum(float(x) ** 2 for x in vector))
    return [float(x) / length for x in vector]


def slow_local(bank, visible) -> dict[int, float]:
    """Eq. 3 of each visible post among the visible posts."""
    time, likes = bank.images.time.tolist(), bank.images.likes.tolist()
    scores = {}
    for r in visible:
        around = [likes[m] for m in visible if abs(time[m] - time[r]) < 30 * DAY]
        scores[r] = likes[r] / (sum(around) / len(around))
    return scores


def slow_retrieval(bank, query_background, query_caption, visible) -> float:
    """The five most similar visible posts, the newer of equals first, weighted by S."""
    local = slow_local(bank, visible)
    similar = []
    for r in visible:
        parts = ((query_background, bank.features.background[r]), (query_caption, bank.features.caption[r]))
        s = sum(0.5 * min(1.0, max(0.0, sum(map(operator.mul, unit(q), unit(v))))) for q, v in parts)
        similar.append((-round(s, 6), -bank.images.time[r], s, r))
    top = sorted(similar)[:5]
    return sum(s * math.log(local[r]) for _, _, s, r in top) / sum(s for _, _, s, _ in top)


def slow_probe(bank, query: np.ndarray, visible, strength: float) -> float:
    """The same ridge in its primal form."""
    x = columns(bank.features)[visible].astype(np.float64)
    y = np.log([slow_local(bank, visible)[r] for r in visible])
    z, q = (x - x.mean(axis=0)) / x.std(axis=0), (query - x.mean(axis=0)) / x.std(axis=0)
    width = x.shape[1]
    w = np.linalg.solve(z.T @ z / width + strength * np.eye(width), z.T @ (y - y.mean()) / width)
    return float(y.mean() + q @ w)


def test_scores_of_the_past_are_those_of_the_slow_reference():
    bank, options = made_history(1, posts=55, per_day=0.8), light_options()
    past = own_past(bank, options, window_days=7)
    time = bank.images.time
    first, edges = past.pairs.first, np.flatnonzero(np.diff(past.cut, prepend=-1))
    assert len(past.cut) == 55 - first > 30
    predictions = np.zeros((len(STRENGTHS), len(past.cut)))
    for e, cut in enumerate(past.cut):
        visible = [m for m in range(55) if time[first + e] - time[m] > 7 * DAY]
        query = bank.features.rows(np.array([first + e]))
        want = slow_retrieval(bank, query.background[0], query.caption[0], visible)
        assert past.scores["retrieval"][e] == pytest.approx(want, abs=1e-9)

        at_cut = time[first + edges[cut]] - 7 * DAY
        visible = [m for m in range(55) if time[m] < at_cut]
        for v, strength in enumerate(STRENGTHS):
            predictions[v, e] = slow_probe(bank, columns(query)[0], visible, strength)
        local = slow_local(bank, visible)
        known = [p for p in range(e) if time[first + p] < at_cut]
        errors = [sum((predictions[v, p] - math.log(local[first + p])) ** 2 for p in known) for v in range(4)]
        best = int(np.argmin(errors)) if known else 2
        assert past.scores["probe"][e] == pytest.approx(predictions[best, e], abs=1e-5)

        spread = {name: past.scores[name][known].std() if len(known) >= 10 else 1.0 for name in ("retrieval", "probe")}
        scaled = [past.scores[name][e] / spread[name] for name in spread]
        want = np.mean(scaled) * np.mean(list(spread.values()))
        assert past.scores["mean"][e] == pytest.approx(want, abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 3.0]), st.sampled_from([7, 14]), st.booleans(), st.data())
@settings(max_examples=25, deadline=None)
def test_neither_the_partner_nor_anything_later_moves_a_score(seed, per_day, window, whole_days, data):
    bank, options = made_history(seed, posts=60, per_day=per_day, whole_days=whole_days), light_options()
    past = own_past(bank, options, window_days=window)
    if len(past.cut) == 0:
        return
    e = data.draw(st.integers(0, len(past.cut) - 1))
    time, row = bank.images.time, past.pairs.first + e
    hidden = time >= time[row] - window * DAY  # itself, every partner, what is later, and the window before it
    likes = np.where(hidden, np.random.default_rng(seed).integers(1, 10**6, 60), bank.images.likes)
    other = own_past(with_likes(bank, likes), options, window_days=window)
    for name, scores in past.scores.items():
        assert other.scores[name][e] == scores[e], name
    assert other.chosen[past.cut[e]] == past.chosen[past.cut[e]]


def test_auto_waits_until_the_likes_around_a_pair_are_known():
    """With a wide window the likes of a pair are over those of 30 days around, which may lie in a post's future."""
    bank, options = made_history(165, posts=60, per_day=1.0), light_options()
    past = own_past(bank, options, window_days=14)
    row = past.pairs.first + 24
    hidden = bank.images.time >= bank.images.time[row] - 14 * DAY
    for draw in range(3):
        likes = np.where(hidden, np.random.default_rng(draw).integers(1, 10**6, 60), bank.images.likes)
        other = own_past(with_likes(bank, likes), options, window_days=14)
        assert other.chosen[past.cut[24]] == past.chosen[past.cut[24]]


def test_earlier_likes_do_move_it():
    bank, options = made_history(0, posts=60, per_day=1.0), light_options()
    past = own_past(bank, options, window_days=7)
    likes = bank.images.likes.copy()
    likes[: past.pairs.first] = likes[: past.pairs.first][::-1]
    assert (own_past(with_likes(bank, likes), options, window_days=7).scores["probe"] != past.scores["probe"]).all()


def test_auto_takes_what_was_best_on_earlier_pairs():
    bank, options = made_history(3, posts=150, per_day=1.0), light_options()
    past = own_past(bank, options)
    pairs, time = past.pairs, bank.images.time
    for cut, name in enumerate(past.chosen):
        known = np.ones(len(pairs.later), bool)
        if cut < len(past.chosen) - 1:
            at = time[pairs.first + np.flatnonzero(past.cut == cut)[0]]
            known = time[pairs.later] < at - pairs.window_days * DAY
        known &= pairs.valid
        totals = {scorer: past.correct[scorer][known].sum() for scorer in ("retrieval", "probe", "mean")}
        assert name == ("retrieval" if known.sum() < 10 else max(totals, key=lambda scorer: totals[scorer]))
    assert len(set(past.chosen)) > 1  # otherwise the test says little
    later_cut = past.cut[pairs.later - pairs.first]
    for n in range(len(pairs.later)):
        assert past.correct["auto"][n] == past.correct[past.chosen[later_cut[n]]][n]


def test_a_model_that_was_trained_on_some_posts_is_judged_on_the_others():
    bank, options = made_history(4, posts=120, per_day=1.0), light_options()
    truth = np.log(bank.images.likes)

    def model(asked):
        assert len(asked.paths) == len(asked.retrieved.bank) == len(asked.rows)
        known = np.where(asked.rows < 60, np.nan, truth[asked.rows])
        return np.where(asked.rows < 0, 3.0, known)

    past = own_past(bank, options, model)
    judged = np.isfinite(past.correct["model"])
    np.testing.assert_array_equal(judged, past.pairs.earlier >= 60)
    assert (past.correct["model"][judged] == 1).all() and past.chosen[-1] == "model" and past.chosen[0] == "retrieval"
    assert np.isfinite(past.scores["auto"]).all() and "model" not in past.spread
    photos = drawn_features(np.random.default_rng(0), np.arange(3))
    z, _ = score_new(bank, past, ("a", "b", "c"), photos, options, model)
    assert z["model"].tolist() == z["auto"].tolist() == [3, 3, 3]


def test_new_photos_are_scored_one_by_one_from_the_whole_bank():
    bank, options = made_history(2, posts=80, per_day=0.7), light_options()
    past = own_past(bank, options)
    photos = drawn_features(np.random.default_rng(5), np.array([0, 1, 2, 3, 4, 5] * 3))
    names = tuple(f"{i}.jpg" for i in range(18))
    together, found = score_new(bank, past, names, photos, options)
    assert (found.bank == 80).all()
    for i in range(18):
        alone, _ = score_new(bank, past, names[i : i + 1], photos.rows(slice(i, i + 1)), options)
        for name, z in together.items():
            assert alone[name][0] == pytest.approx(z[i], abs=1e-9)
    want = slow_retrieval(bank, photos.background[0], photos.caption[0], range(80))
    assert together["retrieval"][0] == pytest.approx(want, abs=1e-9)
    want = slow_probe(bank, columns(photos)[0], range(80), STRENGTHS[past.variant["probe"]])
    assert together["probe"][0] == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("posts", [0, 1, 5, 12])
def test_a_tiny_history_still_gives_an_order(posts):
    bank, options = made_history(2, posts=posts, per_day=0.7), light_options()
    past = own_past(bank, options)
    photos = drawn_features(np.random.default_rng(5), np.arange(3))
    scores, _ = score_new(bank, past, ("a", "b", "c"), photos, options)
    assert past.chosen[-1] == "retrieval" and all(np.isfinite(z).all() for z in scores.values())
