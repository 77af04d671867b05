import csv
import io
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ipa_jax.applications import reasons
from ipa_jax.applications.own_past import own_past
from ipa_jax.applications.ranking import NewPhotos, rank
from ipa_jax.applications.ranking_files import to_csv, to_json
from ipa_jax.applications.scorers import SCORERS, Scorer
from ipa_jax.applications.shots import Shot
from ipa_jax.applications.track_record import track_record
from tests.helpers.made_history import drawn_features, light_options, made_history
from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def history():
    bank = made_history(3, posts=150, per_day=1.0)
    return bank, own_past(bank, light_options())


def new_photos(count: int, shots: dict[int, Shot] | None = None, names: tuple[str, ...] | None = None) -> NewPhotos:
    rng = np.random.default_rng(8)
    features = drawn_features(rng, np.arange(count) % 6)
    moments = [Shot(int(bits)) for bits in rng.integers(0, 2**63, count)]
    for i, shot in (shots or {}).items():
        moments[i] = shot
    return NewPhotos(names or tuple(f"{i}.jpg" for i in range(count)), features, tuple(moments))


def test_photos_are_in_order_with_what_they_rest_on(history):
    bank, past = history
    ranking = rank(bank, new_photos(9), light_options(), past=past, pick="20%")
    scores = [photo.score for photo in ranking.photos]
    assert scores == sorted(scores, reverse=True) and [photo.rank for photo in ranking.photos] == list(range(1, 10))
    assert [photo.picked for photo in ranking.photos] == [True, True] + [False] * 7
    assert ranking.ranked_by == past.chosen[-1] and ranking.usable_posts == 150
    for photo in ranking.photos:
        assert photo.score == photo.scores[ranking.ranked_by] and photo.expected is not None
        assert photo.expected[0] < ranking.expected_likes.usual * math.exp(photo.score) < photo.expected[1]
        assert [post.similarity for post in photo.similar] == sorted(
            (p.similarity for p in photo.similar), reverse=True
        )
        for post in photo.similar:
            row = bank.images.post_id.tolist().index(post.post_id)
            assert (post.likes, post.path) == (bank.images.likes[row], bank.paths[row])
            assert post.similarity == pytest.approx((post.background + post.caption) / 2) and post.date.endswith(
                "+00:00"
            )


def test_a_score_does_not_depend_on_the_other_photos(history):
    bank, past = history
    photos = new_photos(12)
    together = {photo.name: photo for photo in rank(bank, photos, light_options(), past=past).photos}
    for i in range(12):
        alone = NewPhotos(photos.names[i : i + 1], photos.features.rows(slice(i, i + 1)), photos.shots[i : i + 1])
        (photo,) = rank(bank, alone, light_options(), past=None if i == 0 else past).photos
        assert photo.scores == pytest.approx(together[photo.name].scores, abs=1e-9)
        assert (photo.expected, photo.reason) == (together[photo.name].expected, together[photo.name].reason)


def test_a_burst_gives_one_photo_and_a_bracket_all(history):
    bank, past = history
    bracket = {i: Shot(2**i - 1, taken=i / 2, camera="A", exposure_mode=2) for i in (20, 40, 60)}
    shots = {0: Shot(5), 1: Shot(7), 2: Shot(4), **dict(zip((3, 4, 5), bracket.values(), strict=True))}
    shots = {i: replace(shot, taken=None if i < 3 else float(i)) for i, shot in shots.items()}
    ranking = rank(bank, new_photos(8, shots), light_options(), past=past, pick="100%")
    assert ranking.units == 4 and ranking.picked_units == 4
    of_unit = {
        kind: [photo for photo in ranking.photos if photo.unit == kind] for kind in ("burst", "bracket", "photo")
    }
    assert {kind: len(photos) for kind, photos in of_unit.items()} == {"burst": 3, "bracket": 3, "photo": 2}
    burst, bracketed = of_unit["burst"], of_unit["bracket"]
    assert [photo.picked for photo in burst] == [photo.leads for photo in burst] == [True, False, False]
    assert burst[0].score == max(photo.score for photo in burst) and len({photo.rank for photo in burst}) == 1
    assert all(photo.picked for photo in bracketed) and [photo.leads for photo in bracketed] == [True, False, False]


def test_what_cannot_be_ranked_is_refused(history):
    bank, past = history
    for photos, scorer, message in (
        (new_photos(0), "auto", "no photo"),
        (new_photos(2, names=("a", "a")), "auto", "a is given twice"),
        (replace(new_photos(2), shots=()), "auto", "0 shots"),
        (new_photos(2), "model", "needs an export"),
        (new_photos(2), "best", "auto, retrieval, probe, mean"),
    ):
        with pytest.raises(ValueError, match=message):
            rank(bank, photos, light_options(), scorer=scorer, past=past)
    with pytest.raises(FloatingPointError, match=r"0.jpg"):
        options = light_options()
        rank(bank, new_photos(1), options, scorer="model", model=lambda asked: np.full(len(asked.paths), np.nan))


def test_files_hold_the_whole_ranking(history):
    bank, past = history
    names = ("=cmd|' /C calc'!A0.jpg", "-1.jpg", "a,b\n.jpg", "é.jpg", "bad\udcff.jpg")
    ranking = rank(bank, new_photos(5, names=names), light_options(), past=past, scorer="mean")
    rows = list(csv.DictReader(io.StringIO(to_csv(ranking))))
    assert {row["photo"] for row in rows} == {f"'{names[0]}", "'-1.jpg", *names[2:4], "bad\\udcff.jpg"}
    assert [row["rank"] for row in rows] == list("12345") and {row["picked"] for row in rows} == {"no"}
    assert [float(row["mean"]) for row in rows] == [float(row["score"]) for row in rows]
    record = json.loads(to_json(ranking))
    assert record["schema_version"] == 1 and record["scorer"] == record["ranked_by"] == "mean"
    assert record["track_record"]["scorers"]["mean"]["for_choosing"] is True
    assert record["photos"][0]["similar"][0]["likes"] >= 1 and len(record["photos"]) == 5
    to_csv(ranking).encode(), to_json(ranking).encode()


@pytest.mark.parametrize("posts", [0, 1, 20])
def test_a_tiny_history_gives_an_order_and_says_so(posts):
    bank = made_history(3, posts=posts, per_day=1.0)
    ranking = rank(bank, new_photos(3), light_options())
    assert "fewer than 30" in ranking.verdict and len(ranking.photos) == 3
    assert {photo.expected for photo in ranking.photos} == {None}
    if posts == 0:
        assert ranking.photos[0].reason == "No post of yours can be compared with it."
    json.loads(to_json(ranking))


def test_sentences_by_hand():
    assert (
        reasons.photo_reason([1.8, 1.8, 1.8, 0.1], True) == "The 3 most similar posts did 1.8 times your average then."
    )
    assert reasons.photo_reason([4.0, 1.0], True) == "The 2 most similar posts did 2.0 times your average then."
    assert reasons.photo_reason([1.02], True) == "The most similar post did about your average then."
    assert reasons.photo_reason([0.5] * 5, False).startswith("Little of what you posted looks like it; the 3 most")
    assert reasons.times(0.5) == "0.50 times your average then"


def test_verdicts_in_words(history):
    bank, past = history
    options, record = light_options(), track_record(*history, 2.0)
    assert record.verdict == "better than chance"
    assert reasons.verdict(record).startswith("Of ") and "95 % interval" in reasons.verdict(record)
    count = len(past.pairs.later)
    for share, opening in ((0.0, "A simple rule does better"), (0.5, "This history cannot tell")):
        right = np.random.default_rng(0).random(count) < share
        known = track_record(bank, replace(past, correct={"auto": right.astype(float)}), 2.0)
        assert reasons.verdict(known).startswith(opening)
    dense = made_history(3, posts=60, per_day=2.0)
    assert reasons.verdict(track_record(dense, own_past(dense, options), 2.0)).startswith("Too few weeks")
    equal = made_history(3, posts=60, per_day=1.0, effect=0, noise=0)
    assert reasons.verdict(track_record(equal, own_past(equal, options), 2.0)).startswith("No two of your posts")


def test_an_export_that_may_know_every_post_is_not_judged(history):
    bank, _ = history

    def model(asked):
        return np.where(asked.rows < 0, 1.0, np.nan)

    ranking = rank(bank, new_photos(2), light_options(), scorer="model", model=model)
    assert ranking.verdict.startswith("The export may have been trained on these posts")
    assert [photo.score for photo in ranking.photos] == [1, 1] and ranking.photos[0].expected is None
    record = json.loads(to_json(ranking))["track_record"]
    assert (
        record["scorers"]["model"]["accuracy"] is None and "model" not in own_past(bank, light_options(), model).chosen
    )


def test_a_new_scorer_is_one_function_and_one_row(history, monkeypatch):
    bank, _ = history
    monkeypatch.setitem(
        SCORERS, "brightness", Scorer("Brightness", lambda asked: asked.features.background[:, 0][None])
    )
    ranking = rank(bank, new_photos(3), light_options(), scorer="brightness")
    assert ranking.ranked_by == "brightness" and set(ranking.photos[0].scores) == {*SCORERS} - {"model"}
    assert ranking.track_record.scorers["brightness"].heading == "Brightness"


def test_nothing_loads_jax():
    program = (
        "import sys, ipa_jax.applications.ranking_files, ipa_jax.applications.ratings; print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
