"""Tables of protocols and leaks from records: what is left out, what is compared with what, what is asked for."""

import numpy as np
import polars as pl
import pytest

from data_builders.demo_world.plants import PLANTS
from ipa_jax.experiments import pages, protocol_page, protocol_rows, statistics
from ipa_jax.experiments.flags import UsageError
from ipa_jax.experiments.protocol_page import Limits, kept_scores
from ipa_jax.experiments.protocol_rows import PlantedWorld
from ipa_jax.experiments.records import Record
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.study import Study
from ipa_jax.experiments.worlds import World
from ipa_jax.metrics.split_metrics import evaluate, paired_difference

WORLD = World(3, 20, 40)
LIMITS = Limits(4, 0.95)


def record(quality, seed=0, accounts=12, groups=5, near=None, failing=()):
    """A run on groups of three posts with likes 1, 3 and 9: three valid pairs; `quality` of the groups in order."""
    rng = np.random.default_rng(seed)
    scores = {
        f"a{account:02}": {
            str(account * groups + group): [[1, 3, 9], [0.0, 1.0, 2.0] if rng.uniform() < quality else [2.0, 1.0, 0.0]]
            for group in range(groups)
        }
        for account in range(accounts)
    }
    extra = {"checklist": [[f"{name} something", "fail"] for name in failing] + [["1.1 fine", "pass"]]}
    if near is not None:
        extra["near"] = {
            a: {g: [[near(g, i) for i in range(3)], [0.1, 0.2, 0.99], [0.1, 0.97, 0.99]] for g in gs}
            for a, gs in scores.items()
        }
    return Record("run", {"seed": seed}, {}, {}, scores, extra=extra)


def records(**runs):
    return {name: {"seed0/0": ("seed0", made)} for name, made in runs.items()}


def test_images_with_a_near_duplicate_are_left_out_of_the_pairs():
    """The liked one of every even group is a duplicate by hash, that of all groups by cosine."""
    paper = record(0.9, near=lambda group, image: 2 if int(group) % 2 == 0 and image == 2 else 30)
    found = protocol_page.protocol_scores(records(full=paper), LIMITS, 2)
    assert list(found) == ["full", "no_hash", "no_cosine", "no_cosine_any"]
    assert [len(scores) for scores in found.values()] == [180, 150, 120, 0]
    assert found["no_cosine"]["likes"].unique().sort().to_list() == [1, 3]
    text = protocol_page.protocol_table(found, LIMITS, 2)[-1]
    assert "of 180 test images: 30 by hash (within 4 of 64 bits), 60 by hash or cosine (above 0.95)" in text


def test_groups_without_a_valid_pair_go_too():
    scores = pl.DataFrame({"record": [0, 0, 1, 1], "likes": [10, 21, 10, 20]})
    assert protocol_page.paired_groups(scores, 2)["record"].to_list() == [0, 0]
    near = record(1.0, near=lambda group, image: 0 if image else 30)  # two of three: one image alone is no group
    limits = Limits(4, 2.0)
    found = protocol_page.protocol_scores(records(full=near), limits, 2)
    assert found["no_hash"].is_empty()
    assert "no pair is left" in protocol_page.protocol_table(found, limits, 2)[3]


def test_differences_draw_accounts_together():
    """Of one table with itself it is 0 in every draw; where the pairs differ it is still the difference of both."""
    ours, theirs = (kept_scores({"w/0": ("w", record(quality, seed))}) for quality, seed in ((0.9, 1), (0.6, 2)))
    assert statistics.difference_in_accuracy(ours, ours, 2) == {"difference": 0.0, "interval": [0.0, 0.0]}
    fewer = theirs.filter(pl.col("account") != "w/a00")
    found = statistics.difference_in_accuracy(ours, fewer, 2)
    expected = evaluate(ours, 2, draws=0)["accuracy"] - evaluate(fewer, 2, draws=0)["accuracy"]
    assert found["difference"] == pytest.approx(expected)
    same = paired_difference(ours, theirs, 2)["accuracy"]
    again = statistics.difference_in_accuracy(ours, theirs, 2)
    assert again["difference"] == pytest.approx(same["difference"])
    np.testing.assert_allclose(again["interval"], same["interval"], atol=1e-12)


def test_the_table_of_protocols_says_what_is_undecided():
    near = lambda group, image: 30  # noqa: E731
    made = records(full=record(0.9, near=near), past_only=record(0.9, 1), account_disjoint=record(0.4, 2))
    limits = Limits(4, 1.0)
    lines = protocol_page.protocol_table(protocol_page.protocol_scores(made, limits, 2), limits, 2)[:-2]
    assert [line.count("|") for line in lines] == [8] * 8
    rows = {line.split("|")[1].split(":")[0].strip("* "): line for line in lines[2:]}
    assert rows["paper"].endswith("|  |") and "undecided" in rows["past only"]
    assert "undecided" not in rows["account-disjoint"] and "+0.0 (+0.0 to +0.0), undecided" in lines[3]


def test_the_table_of_leaks():
    made = records(full=record(0.7), plant_own_group=record(0.95, 1, failing=["2"]), plant_no_test=record(0.7))
    lines = protocol_page.leak_table(made, LIMITS, 2)[:-2]
    assert len(lines) == 4
    assert "`no_test`" in lines[2] and "undecided" in lines[2] and "**passes**" in lines[2]
    assert "`own_group`" in lines[3] and "fails: 2 (1 of 1 worlds) |" in lines[3] and "undecided" not in lines[3]


def test_a_leak_without_the_run_that_it_is_compared_with_has_no_row():
    made = records(full=record(0.7), plant_sibling=record(0.9, 1), plant_own_group=record(0.9, 1))
    assert [line.split("|")[2].split("`")[1] for line in protocol_page.leak_table(made, LIMITS, 2)[2:-2]] == [
        "own_group"
    ]


def test_what_the_checklist_says_of_honest_runs_stands_beside():
    made = records(full=record(0.7), past_only=record(0.7, failing=["3.3"]), plant_own_group=record(0.9, failing=["2"]))
    said = protocol_page.leak_table(made, LIMITS, 2)[-1]
    assert said == "Of the runs without a plant, `full` fails no line, `past_only` fails: 3.3 (1 of 1 worlds)."


def test_duplicates_are_compared_with_the_same_scores_without_them():
    made = record(0.7, near=lambda group, image: 0 if int(group) % 2 else 30, failing=["1.4"])
    lines = protocol_page.leak_table(records(plant_duplicates=made), LIMITS, 2)
    assert "`duplicates`" in lines[2] and "fails: 1.4" in lines[2]


def test_only_some_rows():
    assert protocol_rows.needed(["past_only"], plants=False) == {"full", "past_only"}
    assert protocol_rows.needed(["temporal"], plants=True) == {"past_only", "plant_temporal"}
    assert protocol_rows.needed(["sibling"], plants=True) == {"sibling_honest", "plant_sibling"}
    assert protocol_rows.needed(["duplicates"], plants=True) == {"plant_duplicates"}
    with pytest.raises(UsageError, match="--only: no row typo; the rows are "):
        protocol_rows.needed(["typo"], plants=True)
    with pytest.raises(UsageError, match="need --plants"):
        protocol_rows.needed(["own_group"], plants=False)


def test_few_accounts_have_no_interval():
    few = kept_scores({"w/0": ("w", record(0.9, accounts=5))})
    found = statistics.difference_in_accuracy(few, few, 2)
    assert found["interval"] is None and "too few accounts" in pages.difference(found)


def test_planted_worlds(tmp_path):
    """A plant of the build is built from the plain world; one of the posts has a world of its own."""
    own, sibling = (PlantedWorld(3, 20, 40, plant=plant) for plant in ("own_group", "sibling"))
    honest = PlantedWorld(3, 20, 40, plant="sibling", leaky=False)
    assert own.folder(tmp_path) == WORLD.folder(tmp_path) and own.flags == WORLD.flags
    assert own.build_command == ["planted-build", "--plant=own_group"]
    assert sibling.folder(tmp_path) == honest.folder(tmp_path) != WORLD.folder(tmp_path)
    assert sibling.flags == [*WORLD.flags, "--plant=sibling"] == honest.flags
    assert honest.build_command == ["build"] == WORLD.build_command
    runs = [Run("a", "full", {}, world, size="tiny") for world in (WORLD, own, sibling, honest)]
    assert len({run.data_dir(tmp_path) for run in runs}) == 4


def test_every_plant_has_its_runs(tmp_path):
    study = Study(tmp_path, tmp_path, [(WORLD, 3)], "tiny")
    runs = protocol_rows.leak_runs(study)
    planted = [f"plant_{name}" for name in PLANTS]
    assert [run.name for run in runs] == ["full", "past_only", *planted, "sibling_honest"]
    assert {*protocol_rows.COMPARED, protocol_rows.DUPLICATES} == set(PLANTS)
    assert {run.world.seed for run in runs} == {3}
    assert next(run for run in runs if run.name == "plant_temporal").resolved.data.memory.past_only
    assert next(run for run in runs if run.name == "plant_duplicates").measured == ("checklist", "near")
    leaky = next(run for run in study.runs_of(protocol_rows.PROTOCOLS) if run.name == "exclude_none")
    assert leaky.resolved.allow_leak
