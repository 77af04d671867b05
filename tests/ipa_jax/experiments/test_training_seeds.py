"""Rows compared over several trainings on each world, by hand-worked counts and made records."""

from dataclasses import replace

import numpy as np
import pytest

from ipa_jax.experiments import choice_page, choice_rows, records, statistics, training_seeds
from tests.helpers.made_records import record


def row(skills, worlds=2, **more):
    """The records of a row: one training per skill on each world, with noise of its own."""
    found = {}
    for world in range(worlds):
        for seed, skill in enumerate(skills):
            made = record(skill, world=world, noise_seed=10 * seed + (100 if more else 0), **more)
            found[f"seed{world}/{seed}"] = (f"seed{world}", replace(made, run={"seed": seed}))
    return found


def test_accuracy_and_counts_are_those_of_the_records():
    runs = row([0.5, 0.7])
    table = training_seeds.counts(runs, 2.0)
    assert {world: found.shape for world, found in table.items()} == {"seed0": (2, 30, 2), "seed1": (2, 30, 2)}
    for world, found in table.items():
        for seed in (0, 1):
            figures = runs[f"{world}/{seed}"][1].figures
            correct, pairs = found[seed].sum(0)
            assert correct / pairs == pytest.approx(figures["accuracy"]) and pairs == figures["pairs"]
    total = sum(table[world].sum((0, 1)) for world in table)
    assert training_seeds.accuracy(table) == pytest.approx(total[0] / total[1])


def test_a_row_against_itself_is_undecided_and_a_better_one_is_higher():
    base = row([0.5, 0.5, 0.5])
    found = training_seeds.difference(base, base, 2.0)["accuracy"]
    assert found["difference"] == 0 and found["over_accounts"] == [0, 0]
    low, high = found["interval"]  # other trainings are drawn for the two sides
    assert low < 0 < high and found["verdict"] == "undecided"
    better = training_seeds.difference(row([0.9, 0.9, 0.9]), base, 2.0)
    assert better["accuracy"]["verdict"] == "higher" and better["ahead"] == better["seeds"] == 6
    worse = training_seeds.difference(base, row([0.9, 0.9, 0.9]), 2.0)
    lower, higher = worse["accuracy"], better["accuracy"]
    assert lower["verdict"] == "lower" and lower["difference"] == pytest.approx(-higher["difference"])


def test_trainings_that_differ_widen_the_interval():
    base, steady, shaky = row([0.5, 0.5, 0.5]), row([0.7, 0.7, 0.7]), row([0.4, 0.7, 1.0])
    width = {name: np.ptp(training_seeds.difference(ours, base, 2.0)["accuracy"]["interval"])
             for name, ours in (("steady", steady), ("shaky", shaky))}  # fmt: skip
    alone = np.ptp(training_seeds.difference(shaky, base, 2.0)["accuracy"]["over_accounts"])
    assert width["shaky"] > 2 * width["steady"] and width["shaky"] > 2 * alone


def test_drawing_one_seed_less_gives_the_variance_of_the_mean():
    """Three trainings with accuracies 0, 1/2 and 1 on a world of equal accounts: their mean has variance 1/4 / 3."""
    table = {"w": np.stack([np.tile([share, 1.0], (20, 1)) for share in (0.0, 0.5, 1.0)])}
    drawn = training_seeds.drawn(table, {"w": np.ones((20_000, 20))}, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(0.5, abs=0.01) and drawn.var() == pytest.approx(0.25 / 3, rel=0.03)


def test_one_training_for_each_world_has_no_interval_over_trainings():
    found = training_seeds.difference(row([0.6]), row([0.5]), 2.0)["accuracy"]
    assert found["interval"] is None and found["verdict"] == "undecided" and found["over_accounts"]
    assert training_seeds.spread(row([0.6])) is None and training_seeds.spread(row([0.4, 0.8])) > 0.02


def test_rows_without_a_common_training_are_refused():
    other = {key.replace("seed", "x"): value for key, value in row([0.5]).items()}
    with pytest.raises(ValueError, match="no training in common"):
        training_seeds.difference(row([0.5]), other, 2.0)


def test_records_of_other_seeds_join_their_row_and_those_of_other_runs_do_not(tmp_path):
    def saved(name, seed, **run):
        made = record(0.5, world=0, noise_seed=seed)
        made = replace(made, name=name, run={"seed": seed, "world": 0} | run, config={"seed": seed, "model.width": 8})
        records.save(tmp_path / f"{name}-{seed}.json", made)
        return made

    base = {"concat": {"w0/0": ("w0", saved("concat", 0))}}
    saved("concat", 1), saved("concat", 2, world=7), saved("full", 1)
    rows = training_seeds.again(tmp_path, base)
    assert rows.keys() == {"concat"} and rows["concat"].keys() == {"w0/0", "w0/1"}
    assert base["concat"].keys() == {"w0/0"}


def test_a_claim_over_trainings_needs_no_agreement_of_all_runs():
    found = training_seeds.difference(row([0.9, 0.9, 0.9]), row([0.5, 0.5, 0.5]), 2.0) | {"ahead": 5}
    assert statistics.claim("it helps", found, 0.1, trainings=True)["verdict"] == "holds"
    assert statistics.claim("it helps", found, 0.1)["verdict"] == "undecided"


def test_the_table_has_a_line_for_each_model():
    base = choice_rows.DEFAULT.name
    lines = choice_page.trainings_table({base: row([0.5, 0.6]), "concat": row([0.9, 0.9]), "ours": row([0.6])}, 2.0)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert len(rows) == len(choice_rows.TRAINED_AGAIN) and {len(cells) for cells in rows} == {7}
    full, concat, log_likes, ours = rows
    assert full[4:] == ["", "", ""] and log_likes[1] == "not run"
    assert concat[6] == "4 of 4" and "undecided" not in concat[5]
    assert ours[3] == "" and ours[5] == "one training"
