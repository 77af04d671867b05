"""Section 4.1.2 and eq. 9: hand-worked numbers, scipy, slow independent implementations, properties."""

import itertools
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from ipa_jax.metrics import bootstrap, split_metrics
from ipa_jax.metrics.registry import with_interval
from ipa_jax.metrics.scored_pairs import all_pairs, pool, read_scores


def frame(*groups):
    """Scores from (account, likes, z) or (account, likes, z, posts) tuples, a group each."""
    rows = []
    for record, (account, likes, z, *posts) in enumerate(groups):
        for i, (count, score) in enumerate(zip(likes, z, strict=True)):
            post = posts[0][i] if posts else f"p{record}-{i}"
            rows.append((account, record, f"i{record}-{i}", post, count, float(score)))
    return pl.DataFrame(rows, schema=["account", "record", "image_id", "post_id", "likes", "z"], orient="row")


def random_scores(seed, groups=40, accounts=12):
    """Groups of 2 to 6 images that each have a valid pair; some z tie, some posts hold two images."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(groups):
        n = int(rng.integers(2, 7))
        likes = rng.integers(1, 60, n)
        likes[:2] = 1, 50
        posts = [f"p{int(x)}" for x in np.sort(rng.integers(2, 2 + n, n))]
        posts[:2] = "p0", "p1"
        z = np.round(rng.normal(size=n), 1)
        made.append((f"a{int(rng.integers(accounts))}", likes.tolist(), z.tolist(), posts))
    return frame(*made)


def slow(scores, min_ratio, factor=1.0):
    """Every metric by loops over groups and pairs, with scipy; per account sums for the bootstrap as well."""
    plcc, srcc, accuracy, pairs, constant = [], [], [], [], 0
    for (record,), group in scores.group_by("record", maintain_order=True):
        likes, z, post = group["likes"].to_list(), group["z"].to_list(), group["post_id"].to_list()
        if len(set(z)) == 1:
            constant += 1
            plcc.append(0.0)
            srcc.append(0.0)
        else:
            plcc.append(pearsonr(likes, np.exp(np.array(z) - max(z))).statistic)
            srcc.append(spearmanr(likes, z).statistic)
        own = []
        for i, j in itertools.combinations(range(len(z)), 2):
            if post[i] == post[j] or max(likes[i], likes[j]) <= min_ratio * min(likes[i], likes[j]):
                continue
            right = 0.5 if z[i] == z[j] else float((z[i] > z[j]) == (likes[i] > likes[j]))
            error = np.log2(np.exp(factor * z[i]) / np.exp(factor * z[j])) - np.log2(likes[i] / likes[j])
            own.append((right, error**2, record, group["account"][0]))
        accuracy.append(np.mean([p[0] for p in own]))
        pairs += own
    return {
        "accuracy": np.mean([p[0] for p in pairs]),
        "ratio_mse": np.mean([p[1] for p in pairs]),
        "plcc": np.mean(plcc),
        "srcc": np.mean(srcc),
        "group_accuracy": np.mean(accuracy),
        "constant_groups": constant,
        "pairs": len(pairs),
    }


def test_hand_worked_split():
    """Two accounts, three groups.

    Group 0: likes 10, 30, 25, z 0, log 4, log 2: valid pairs (10, 30) and (10, 25), both right;
      errors (2 - log2 3)^2 and (1 - log2 2.5)^2. (30, 25) is no valid pair: 1.2 times.
    Group 1: likes 8, 4, 1, z all 1: valid (8, 1) and (4, 1), not (8, 4), which is just 2; each counts one half.
    Group 2: likes 3, 7, z log 2, 0: one valid pair, wrong; error (1 + log2(7/3))^2.
    """
    scores = frame(
        ("ann", [10, 30, 25], [0, np.log(4), np.log(2)]), ("bob", [8, 4, 1], [1, 1, 1]), ("ann", [3, 7], [np.log(2), 0])
    )
    result = split_metrics.evaluate(scores, 2, factor=0.5, draws=20)
    assert result["accuracy"] == pytest.approx((1 + 1 + 0.5 + 0.5 + 0) / 5)
    assert result["group_accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)
    errors = [(2 - np.log2(3)) ** 2, (1 - np.log2(2.5)) ** 2, 9, 4, (1 + np.log2(7 / 3)) ** 2]
    assert result["ratio_mse"] == pytest.approx(np.mean(errors))
    halved = [(1 - np.log2(3)) ** 2, (0.5 - np.log2(2.5)) ** 2, 9, 4, (0.5 + np.log2(7 / 3)) ** 2]
    assert result["ratio_mse_rescaled"] == pytest.approx(np.mean(halved))
    # s = 1/4, 1, 1/2 against 10, 30, 25; then 0 for the constant group, then -1 for two images the wrong way round
    plcc = pearsonr([10, 30, 25], [0.25, 1, 0.5]).statistic
    assert result["plcc"] == pytest.approx((plcc + 0 - 1) / 3)
    assert result["srcc"] == pytest.approx((1 + 0 - 1) / 3)
    counts = {"pairs": 5, "groups": 3, "images": 8, "accounts": 2, "constant_groups": 1, "interval_over": "groups"}
    assert {key: result[key] for key in counts} == counts
    assert result["by_group_size"]["2"] == pytest.approx(
        {"accuracy": 0, "ratio_mse": errors[4], "pairs": 1, "plcc": -1, "srcc": -1, "groups": 1}
    )
    assert result["by_group_size"]["3"]["groups"] == 2
    assert result["by_group_size"]["3"]["srcc"] == pytest.approx(0.5)
    table = split_metrics.by_account(scores, 2)
    assert table.rows() == [("ann", 2, 5, 3, pytest.approx(2 / 3)), ("bob", 1, 3, 2, 0.5)]


def test_ratio_bands_hold_low_out_and_high_in():
    """10 : 11 is in no band (just 1.1), 10 : 15 in the first, 10 : 20 the second, 10 : 40 the third, 10 : 41 beyond."""
    groups = [("ann", [10, likes], [0, 1]) for likes in (10, 11, 12, 15, 16, 20, 21, 40, 41)]
    bands = split_metrics.evaluate(frame(*groups, ("bob", [1, 9], [1, 0])), 2, draws=0)["by_ratio"]
    assert {name: band["pairs"] for name, band in bands.items()} == {"1.1-1.5": 2, "1.5-2": 2, "2-4": 2, "4+": 2}
    assert [band["accuracy"] for band in bands.values()] == [1, 1, 1, 0.5]
    error = (1 / np.log(2) - np.log2([1.2, 1.5])) ** 2
    assert bands["1.1-1.5"]["ratio_mse"] == pytest.approx(error.mean())


def test_empty_band_has_no_figures():
    bands = split_metrics.evaluate(frame(("ann", [1, 9], [0, 1])), 2, draws=0)["by_ratio"]
    assert bands["2-4"] == {"accuracy": None, "ratio_mse": None, "pairs": 0}


def test_the_two_upper_bands_are_the_valid_pairs():
    result = split_metrics.evaluate(random_scores(3), 2, draws=0)
    assert result["by_ratio"]["2-4"]["pairs"] + result["by_ratio"]["4+"]["pairs"] == result["pairs"]


def test_images_of_one_post_never_pair():
    scores = frame(("ann", [1, 9, 9], [0, 1, -1], ["x", "y", "y"]))
    assert split_metrics.evaluate(scores, 2, draws=0)["pairs"] == 2
    mixed = frame(("ann", [1, 9], [0, 1], ["x", "x"]), ("ann", [1, 9], [0, 1], ["x", "y"]))
    assert split_metrics.evaluate(mixed, 2, draws=0)["pairs"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_loops_and_scipy(seed):
    scores = random_scores(seed)
    result, expected = split_metrics.evaluate(scores, 2, factor=1.7, draws=0), slow(scores, 2)
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, rel=1e-12), name
    assert result["ratio_mse_rescaled"] == pytest.approx(slow(scores, 2, 1.7)["ratio_mse"], rel=1e-12)


def test_order_of_rows_does_not_matter():
    scores = random_scores(1)
    assert split_metrics.evaluate(
        scores.sample(fraction=1, shuffle=True, seed=3), 2, draws=50
    ) == split_metrics.evaluate(scores, 2, draws=50)


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(st.tuples(st.integers(1, 10**9), st.integers(-64, 64)), min_size=2, max_size=30),
    shift=st.integers(-50, 50),
)
def test_scale_of_scores_and_mirror(rows, shift):
    """Scaling all scores changes nothing; swapping the order of scores turns right into wrong."""
    likes, z = [1, 3, *(row[0] for row in rows)], [0.0, 1.0, *(row[1] / 8 for row in rows)]
    one, moved, mirrored = (
        split_metrics.evaluate(frame(("ann", likes, scores)), 2, draws=0)
        for scores in (z, [x + shift for x in z], [-x for x in z])
    )
    for name in with_interval():
        assert moved[name] == pytest.approx(one[name], abs=1e-9)
    assert mirrored["accuracy"] == pytest.approx(1 - one["accuracy"])
    assert mirrored["srcc"] == pytest.approx(-one["srcc"], abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns where a score is nearly constant
        assert one["plcc"] == pytest.approx(pearsonr(likes, np.exp(np.array(z) - max(z))).statistic, abs=1e-9)
        assert one["srcc"] == pytest.approx(spearmanr(likes, z).statistic, abs=1e-9)


def test_extreme_logits_stay_finite():
    result = split_metrics.evaluate(frame(("ann", [1, 10**9, 5], [800.0, -800.0, 0.0])), 2, draws=10)
    assert all(np.isfinite(result[name]) for name in with_interval())


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-17, 12345.678])
def test_constant_scores_are_counted_and_give_nothing(value):
    """Whatever rounding the mean of equal numbers meets, a constant group has no correlation."""
    result = split_metrics.evaluate(frame(("ann", [1, 5, 9], [value] * 3)), 2, draws=0)
    assert (result["constant_groups"], result["plcc"], result["srcc"], result["accuracy"]) == (1, 0, 0, 0.5)


def test_rescale_factor_is_the_best_one():
    scores = random_scores(2)
    factor = split_metrics.rescale_factor(scores, 2)
    losses = [
        split_metrics.evaluate(scores, 2, factor=factor + e, draws=0)["ratio_mse_rescaled"] for e in (-1e-3, 0, 1e-3)
    ]
    assert losses[1] < min(losses[0], losses[2])
    # likes 1 : 4, z 1 apart: log 4; z of 3 apart for 1 : 8: (1 log 4 + 3 log 8) / (1 + 9)
    worked = frame(("ann", [1, 4], [0, 1]), ("bob", [8, 1], [3, 0]))
    assert split_metrics.rescale_factor(worked, 2) == pytest.approx((np.log(4) + 3 * np.log(8)) / 10)
    assert split_metrics.rescale_factor(frame(("ann", [1, 4], [2, 2])), 2) == 1


@pytest.mark.parametrize(("accounts", "over"), [(12, "accounts"), (4, "groups")])
def test_bootstrap_equals_drawing_rows(accounts, over):
    """Drawn units put in one table, repeats twice, and the metrics computed from that table."""
    scores = random_scores(7, groups=60, accounts=accounts)
    result = split_metrics.evaluate(scores, 2, draws=30, seed=5)
    assert result["interval_over"] == over
    column = {"accounts": "account", "groups": "record"}[over]
    units = sorted(scores[column].unique())
    drawn = []
    for chosen in np.random.default_rng(5).integers(0, len(units), (30, len(units))):
        worlds = {str(k): scores.filter(pl.col(column) == units[u]) for k, u in enumerate(chosen)}
        drawn.append(split_metrics.evaluate(pool(worlds), 2, draws=0))
    for name in with_interval():
        expected = np.percentile([d[name] for d in drawn], [2.5, 97.5])
        np.testing.assert_allclose(result[f"{name}_interval"], expected, rtol=1e-10)


def test_intervals_cover_and_repeat():
    scores = random_scores(9, groups=80)
    one, two = (split_metrics.evaluate(scores, 2, draws=1000, seed=0) for _ in range(2))
    assert one == two
    for name in with_interval():
        low, high = one[f"{name}_interval"]
        assert low < one[name] < high
    assert split_metrics.evaluate(scores, 2, draws=1000, seed=1)["accuracy_interval"] != one["accuracy_interval"]
    assert split_metrics.evaluate(scores, 2, draws=0)["accuracy_interval"] is None


def test_draw_counts():
    times = bootstrap.draw(5, 200, seed=0)
    assert times.shape == (200, 5)
    assert (times.sum(axis=1) == 5).all()
    assert abs(times.mean() - 1) < 1e-12 and times.max() > 1


def test_paired_difference():
    """Both tables are resampled alike: a constant gain has a std of 0, and swapping the tables turns the sign."""
    ours = random_scores(11, groups=80)
    theirs = ours.with_columns(z=pl.col("z").sample(fraction=1, shuffle=True, seed=2))
    gain, loss = (split_metrics.paired_difference(a, b, 2, draws=200) for a, b in ((ours, theirs), (theirs, ours)))
    a, b = (split_metrics.evaluate(s, 2, draws=0) for s in (ours, theirs))
    for name in with_interval():
        low, high = gain[name]["interval"]
        assert gain[name]["difference"] == pytest.approx(a[name] - b[name])
        assert loss[name]["difference"] == pytest.approx(-gain[name]["difference"])
        np.testing.assert_allclose(loss[name]["interval"], [-high, -low], atol=1e-12)
        assert gain[name]["standard_error"] > 0
    same = split_metrics.paired_difference(ours, ours.sample(fraction=1, shuffle=True, seed=1), 2, draws=50)
    assert same["accuracy"] == {"difference": 0, "interval": [0, 0], "standard_error": 0}
    assert (same["pairs"], same["groups"], same["interval_over"]) == (a["pairs"], 80, "accounts")


def test_paired_difference_refuses_other_images():
    scores = random_scores(1)
    with pytest.raises(ValueError, match="same images"):
        split_metrics.paired_difference(scores, scores.filter(pl.col("record") > 0), 2)
    with pytest.raises(ValueError, match="same images"):
        split_metrics.paired_difference(scores, scores.with_columns(likes=pl.col("likes") + 1), 2)


def test_errors_name_what_is_wrong():
    scores = random_scores(1)
    with pytest.raises(ValueError, match=r"scores\.z: \d+ of \d+ scores are not finite"):
        split_metrics.evaluate(
            scores.with_columns(z=pl.when(pl.col("record") == 0).then(float("nan")).otherwise("z")), 2
        )
    with pytest.raises(ValueError, match="empty"):
        split_metrics.evaluate(scores.clear(), 2)
    with pytest.raises(ValueError, match="min_ratio"):
        split_metrics.evaluate(frame(("ann", [1, 2], [0, 1])), 2)


def test_pool_keeps_worlds_apart():
    a, b = random_scores(1), random_scores(2)
    both = pool({"one": a, "two": b})
    assert both["record"].n_unique() == a["record"].n_unique() + b["record"].n_unique()
    assert both["account"].n_unique() == a["account"].n_unique() + b["account"].n_unique()
    pairs = [len(all_pairs(read_scores(s)).d) for s in (a, b, both)]
    assert pairs[0] + pairs[1] == pairs[2]
