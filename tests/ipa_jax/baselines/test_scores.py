"""Baselines on a hand-made account: what each reads, and what it must not read."""

import io
import itertools
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from configs import full
from ipa_jax.baselines import __main__, backbone_features, bounds, neighbours
from ipa_jax.baselines import scores as baselines
from ipa_jax.baselines.names import BASELINES, Baseline
from ipa_jax.metrics.scored_pairs import score_table
from ipa_jax.report import tables
from ipa_jax.training import export, initial
from tests.helpers.gray_split import DAY, Split
from tests.helpers.tiny_models import tiny_config

OTHERS = ["retrieval_only", "pixel_knn", "caption_only", "content_type", "newer", "older", "account_constant", "chance"]


@pytest.fixture
def options():
    return full.get_config().data.to_dict()


def test_similarity_weighted_by_hand():
    """(0.6 log 2 + 0.2 log 0.5) / 0.8; an empty slot counts nothing; S = 0 everywhere, or nothing at all, gives 0."""
    similarity = np.array([[0.6, 0.2, 0.9], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    local = np.array([[2.0, 0.5, 0.0], [3.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    mask = np.array([[True, True, False], [True, True, False], [False, False, False]])
    z = neighbours.similarity_weighted(similarity, local, mask)
    np.testing.assert_allclose(z, [(0.6 - 0.2) * np.log(2) / 0.8, 0, 0])


def test_retrieval_only_follows_the_index(options):
    def found(*locals_):
        local, mask, similarity = np.zeros((len(locals_), 5)), np.zeros((len(locals_), 5), bool), None
        local[:, 0], mask[:, 0] = locals_, True
        similarity = np.zeros((len(locals_), 5, 4))
        similarity[:, 0, 0] = 0.7
        return {"local_score": local, "mask": mask, "similarity": similarity}

    groups = [("ann", [(0, 1, 0), (1, 9, 0)]), ("bob", [(0, 1, 0), (1, 9, 0)])]
    dataset = Split("t", groups, options, [found(0.5, 2.0), found(3.0, 1.0)])
    scores = neighbours.retrieval_only(dataset)
    np.testing.assert_allclose(scores["z"], np.log([0.5, 2.0, 3.0, 1.0]))
    assert scores.columns == ["account", "record", "image_id", "post_id", "likes", "z"]
    assert scores["image_id"].to_list() == dataset.images["image_id"].to_list()


def test_pixel_knn_by_hand(options):
    """Two dark posts of likes 10 and 30, then two bright ones 100 days on, of 100 and 300: local 0.5 and 1.5 twice.

    With two neighbours a dark query meets log 0.5 and log 1.5 whether dark ones or bright ones are near.
    """
    train = Split("r", [("ann", [(0, 10, 20), (1, 30, 22), (100, 100, 200), (101, 300, 230)])], options)
    test = Split("t", [("ann", [(50, 5, 21), (51, 7, 240)]), ("new", [(0, 5, 21), (1, 50, 21)])], options)
    z = neighbours.pixel_knn(test, train)["z"]
    np.testing.assert_allclose(z, [np.log([0.5, 1.5]).mean()] * 2 + [0, 0], atol=1e-12)


def test_pixel_knn_takes_the_nearest(options):
    """Six bright images and one dark in one month: a bright query must leave the dark one out, a dark one must not."""
    likes = [10, 20, 30, 40, 50, 700]
    groups = [("ann", [(i, count, 200 + i) for i, count in enumerate(likes[:5])] + [(6, 700, 10)])]
    train = Split("r", groups, options)
    test = Split("t", [("ann", [(9, 1, 201), (9.5, 9, 12)])], options)
    logs = np.log(np.array(likes) / np.mean(likes))
    z = neighbours.pixel_knn(test, train)["z"]
    nearest_to_dark = [5, 0, 1, 2, 3]
    np.testing.assert_allclose(z, [logs[:5].mean(), logs[nearest_to_dark].mean()])


def slow_knn(train, k=5):
    """Train images scored against the other groups of their account, one by one, by loops."""
    images = train.images.rows(named=True)
    level = [float(np.asarray(Image.open(io.BytesIO(e)))[0, 0, 0]) for x in train.examples for e in x["images"]]
    scores = []
    for q, query in enumerate(images):
        seen = [m for m, x in enumerate(images) if x["account"] == query["account"] and x["record"] != query["record"]]
        logs = {}
        for r in seen:
            window = [images[m]["likes"] for m in seen if abs(images[m]["time"] - images[r]["time"]) < 30 * DAY]
            logs[r] = np.log(images[r]["likes"] / np.mean(window))
        nearest = sorted(seen, key=lambda r: (abs(level[r] - level[q]), images[r]["time"]))[:k]
        scores.append(np.mean([logs[r] for r in nearest]) if nearest else 0.0)
    return scores


@pytest.mark.parametrize("exclude", ["group", "post", "none"])
def test_a_train_image_never_meets_its_own_group(options, exclude):
    """Whatever the model's queries may see; against a slow implementation."""
    options["memory"]["exclude"] = exclude
    rng, day = np.random.default_rng(0), itertools.count(0, 3)
    groups = []
    for account in ("ann", "bob"):
        for _ in range(4):
            levels = rng.choice(256, 4, replace=False)
            groups.append((account, [(next(day), int(rng.integers(1, 900)), int(x)) for x in levels]))
    groups.append(("cat", [(0, 1, 0), (1, 5, 9)]))
    train = Split("r", groups, options)
    np.testing.assert_allclose(neighbours.pixel_knn(train, train)["z"], slow_knn(train))


def test_pixel_knn_reads_no_label_of_the_split(options):
    train = Split("r", [("ann", [(i, 10 + i, 20 * i) for i in range(8)])], options)
    one, two = (Split("t", [("ann", [(3, likes, 33), (4, likes + 7, 180)])], options) for likes in (1, 10**6))
    assert neighbours.pixel_knn(one, train)["z"].to_list() == neighbours.pixel_knn(two, train)["z"].to_list()


def test_pixel_knn_keeps_to_the_past(options):
    """past_only: a query of day 20 with a lag of 7 sees days below 13."""
    options["memory"]["past_only"] = True
    bank = [(0, 10, 50), (12, 30, 50), (14, 999, 50), (40, 999, 50)]
    train = Split("r", [("ann", bank)], options)
    test = Split("t", [("ann", [(20, 1, 50), (5, 5, 50)])], options)
    np.testing.assert_allclose(neighbours.pixel_knn(test, train)["z"], [np.log([0.5, 1.5]).mean(), 0], atol=1e-12)


def test_chance_is_seeded(options):
    dataset = Split("t", [("ann", [(i, 1 + i, 0) for i in range(20)])], options)
    one, again, other = (bounds.chance(dataset, seed)["z"].to_list() for seed in (0, 0, 1))
    assert one == again != other
    assert len(set(one)) == 20


@pytest.fixture
def world(tmp_path):
    """Likes of a test split that are what the truth says: exp(growth + universal + taste + depth + noise)."""
    rng = np.random.default_rng(0)
    parts = {"universal": 0.3, "taste": 1.0, "depth": 0.3, "noise": 0.3}
    truth = {name: rng.normal(0, sd, 200) for name, sd in parts.items()}
    truth["log_followers_growth"] = np.full(200, 5.0)
    likes = np.rint(np.exp(sum(truth.values()))).astype(int)
    names = [f"t{i // 5}-{i % 5}" for i in range(200)]
    frame = {"account": [f"a{i // 5 % 20}" for i in range(200)], "post_id": names, "image_id": names}
    pl.DataFrame(frame | truth).sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "truth.parquet")
    groups = [(f"a{g % 20}", [(i, int(likes[5 * g + i]), 0) for i in range(5)]) for g in range(40)]
    return tmp_path, groups, pl.DataFrame(frame | truth)


def test_truth_is_joined_by_account_and_image(world, options):
    folder, groups, truth = world
    split = Split("t", groups, options)
    known = truth["log_followers_growth"] + truth["universal"] + truth["taste"] + truth["depth"]
    np.testing.assert_allclose(bounds.bayes(split, folder)["z"], known)
    np.testing.assert_allclose(bounds.universal_only(split, folder)["z"], truth["universal"])


def test_baselines_are_ordered_and_printed(world, options, capsys):
    folder, groups, _ = world
    dataset, train = Split("t", groups, options), Split("r", [("a0", [(0, 5, 9), (1, 50, 9)])], options)
    results = baselines.baseline_figures(dataset, train, folder, draws=100)
    assert list(results) == ["bayes", "universal_only", *OTHERS]
    accuracy = {name: result["accuracy"] for name, result in results.items()}
    assert accuracy["bayes"] > 0.9 > accuracy["universal_only"] > 0.5
    assert accuracy["account_constant"] == 0.5 and accuracy["newer"] + accuracy["older"] == pytest.approx(1)
    assert accuracy["retrieval_only"] == 0.5  # nothing was retrieved: all scores tie
    low, high = results["bayes"]["accuracy_interval"]
    assert low < accuracy["bayes"] < high
    assert results["bayes"]["interval_over"] == "accounts"
    json.dumps(results)
    __main__.print_table(results, "Baselines")
    shown = capsys.readouterr().out
    assert "Universal only" in shown and f"{100 * accuracy['bayes']:.2f}" in shown
    without = baselines.baseline_figures(dataset, train, draws=10)
    assert list(without) == OTHERS


def test_another_world_is_refused(world, options, tmp_path):
    folder, groups, _ = world
    other = Split("x", groups, options)
    with pytest.raises(ValueError, match=r"truth\.parquet: 200 images .* another world"):
        bounds.bayes(other, folder)
    with pytest.raises(FileNotFoundError, match="demo-world"):
        bounds.bayes(other, tmp_path / "nowhere")


@pytest.fixture(params=["basic", "light"])
def exported(tmp_path, request):
    """An export whose backbone has random weights; images of one gray level have one feature each."""
    config = tiny_config(request.param)
    variables = initial.initial_variables(config)
    export.save_export(tmp_path / "export", variables, config, {"choices": {}}, "# card\n")
    return tmp_path / "export"


def test_backbone_knn_goes_by_the_features_of_an_export(exported, options):
    """The same photos are nearest whatever the weights: 5 of the dark one's likes, 5 of the bright one's."""
    days = iter(range(0, 1000, 40))  # more than a month apart: in each window the pair of one day
    groups = []
    for level, likes in ((0, 30), (255, 10)):
        groups += [("ann", [(day, likes, level), (day, 40 - likes, 255 - level)]) for day in itertools.islice(days, 5)]
    train = Split("r", groups, options)
    test = Split("t", [("ann", [(2000, 1, 0), (2000, 2, 255)])], options)
    z = backbone_features.backbone_knn(test, train, exported)["z"].to_list()
    assert z == pytest.approx([np.log(1.5), np.log(0.5)])
    features = backbone_features.backbone_features(exported, train)
    assert features.shape in ((20, 8), (20, 16)) and features.dtype == np.float32
    np.testing.assert_allclose(features[[0, 2]], features[[11, 13]], atol=1e-5)


def test_features_do_not_depend_on_their_batch(exported, options, monkeypatch):
    split = Split("t", [("ann", [(i, 1, 20 * i) for i in range(7)])], options)
    whole = backbone_features.backbone_features(exported, split)
    monkeypatch.setattr(backbone_features, "BATCH", 3)
    np.testing.assert_allclose(backbone_features.backbone_features(exported, split), whole, atol=1e-5)


def later_image(dataset):
    """A toy baseline."""
    return score_table(dataset.images, np.arange(len(dataset.images)))


def test_a_baseline_is_a_function_and_a_row(options, monkeypatch):
    row = Baseline("Toy", "a toy", f"{__name__}:later_image", ("dataset",))
    monkeypatch.setitem(BASELINES, "toy", row)
    split = Split("t", [("ann", [(0, 1, 0), (1, 9, 0)])], options)
    results = baselines.baseline_figures(split, Split("r", [("ann", [(9, 5, 9)])], options), draws=10)
    assert results["toy"]["accuracy"] == 1
    assert "Toy" in [row["name"] for row in tables.baseline_rows(results)]
