"""Tables of protocols and leaks from records: what is left out, what is compared with what, what is asked for."""

import numpy as np
import polars as pl
import pytest

from data_builders.demo_world.plants import PLANTS
from ipa_jax.experiments import marked_pages, protocol_rows, protocols, statistics
from ipa_jax.experiments.protocol_rows import PlantedWorld
from ipa_jax.experiments.records import Record
from ipa_jax.experiments.runs import Run, World

WORLD = World(3, 20, 40)


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
    return {name: [("seed0", made)] for name, made in runs.items()}


def test_images_with_a_near_duplicate_are_left_out_of_the_pairs():
    """The liked one of every even group is a duplicate by hash, that of all groups by cosine."""
    paper = record(0.9, near=lambda group, image: 2 if int(group) % 2 == 0 and image == 2 else 30)
    found = protocols.protocol_scores(records(full=paper), (4, 0.95), 2)
    assert list(found) == ["full", "no_hash", "no_cosine", "no_cosine_any"]
    assert [len(scores) for scores in found.values()] == [180, 150, 120, 0]
    assert found["no_cosine"]["likes"].unique().sort().to_list() == [1, 3]
    text = protocols.near_sentence(found, (4, 0.95))
    assert "of 180 test images: 30 by hash (within 4 of 64 bits), 60 by hash or cosine (above 0.95)" in text


def test_groups_without_a_valid_pair_go_too():
    scores = pl.DataFrame({"record": [0, 0, 1, 1], "likes": [10, 21, 10, 20]})
    assert protocols.paired_groups(scores, 2)["record"].to_list() == [0, 0]
    near = record(1.0, near=lambda group, image: 0 if image else 30)  # two of three: one image alone is no group
    found = protocols.protocol_scores(records(full=near), (4, 2.0), 2)
    assert found["no_hash"].is_empty()
    assert "no pair is left" in protocols.protocol_table(found, 2)[3]


def test_differences_draw_accounts_together():
    """Of one table with itself it is 0 in every draw; where the pairs differ it is still the difference of both."""
    ours, theirs = (protocols.pooled([("w", record(quality, seed))]) for quality, seed in ((0.9, 1), (0.6, 2)))
    assert protocols.difference(ours, ours, 2) == {"difference": 0.0, "interval": [0.0, 0.0]}
    fewer = theirs.filter(pl.col("account") != "w/a00")
    from ipa_jax.metrics.split_metrics import evaluate, paired_difference

    found = protocols.difference(ours, fewer, 2)
    expected = evaluate(ours, 2, draws=0)["accuracy"] - evaluate(fewer, 2, draws=0)["accuracy"]
    assert found["difference"] == pytest.approx(expected)
    same = paired_difference(ours, theirs, 2)["accuracy"]
    again = protocols.difference(ours, theirs, 2)
    assert again["difference"] == pytest.approx(same["difference"])
    np.testing.assert_allclose(again["interval"], same["interval"], atol=1e-12)


def test_the_table_of_protocols_says_what_is_undecided():
    near = lambda group, image: 30  # noqa: E731
    made = records(full=record(0.9, near=near), past_only=record(0.9, 1), account_disjoint=record(0.4, 2))
    lines = protocols.protocol_table(protocols.protocol_scores(made, (4, 1.0), 2), 2)
    assert [line.count("|") for line in lines] == [8] * 8
    rows = {line.split("|")[1].split(":")[0].strip("* "): line for line in lines[2:]}
    assert rows["paper"].endswith("|  |") and "undecided" in rows["past only"]
    assert "undecided" not in rows["account-disjoint"] and "+0.0 (+0.0 to +0.0), undecided" in lines[3]


def test_the_table_of_leaks():
    made = records(full=record(0.7), plant_own_group=record(0.95, 1, failing=["2"]), plant_no_test=record(0.7))
    lines = protocols.leak_table(made, (4, 0.95), 2)
    assert len(lines) == 4
    assert "`no_test`" in lines[2] and "undecided" in lines[2] and "**passes**" in lines[2]
    assert "`own_group`" in lines[3] and "fails: 2 (1 of 1 worlds) |" in lines[3] and "undecided" not in lines[3]


def test_a_leak_without_the_run_that_it_is_compared_with_has_no_row():
    made = records(full=record(0.7), plant_sibling=record(0.9, 1), plant_own_group=record(0.9, 1))
    assert [line.split("|")[2].split("`")[1] for line in protocols.leak_table(made, (4, 0.95), 2)[2:]] == ["own_group"]


def test_what_the_checklist_says_of_honest_runs_stands_beside():
    made = records(full=record(0.7), past_only=record(0.7, failing=["3.3"]), plant_own_group=record(0.9, failing=["2"]))
    said = protocols.honest_sentence(made)
    assert said == "Of the runs without a plant, `full` fails no line, `past_only` fails: 3.3 (1 of 1 worlds)."


def test_records_of_another_table_are_refused(tmp_path):
    file, run = tmp_path / "full-seed3.json", Run("full", "full", {}, WORLD)
    with pytest.raises(ValueError, match=r"full-seed3.json holds no near: .*\(--records\)"):
        protocol_rows.require_measured(file, run, record(0.7))
    protocol_rows.require_measured(file, run, record(0.7, near=lambda group, image: 30))
    protocol_rows.require_measured(file, Run("past_only", "full", {}, WORLD), record(0.7))


def test_duplicates_are_compared_with_the_same_scores_without_them():
    made = record(0.7, near=lambda group, image: 0 if int(group) % 2 else 30, failing=["1.4"])
    lines = protocols.leak_table(records(plant_duplicates=made), (4, 0.95), 2)
    assert "`duplicates`" in lines[2] and "fails: 1.4" in lines[2]


def test_only_some_rows():
    assert protocols.needed(["past_only"]) == {"full", "past_only"}
    assert protocols.needed(["temporal"]) >= {"full", "past_only", "plant_temporal"}
    assert protocols.needed(["sibling"]) >= {"sibling_honest", "plant_sibling"}
    assert protocols.needed(["duplicates"]) >= {"plant_duplicates"}
    with pytest.raises(ValueError, match="--only typo: must be of"):
        protocols.needed(["typo"])
    with pytest.raises(ValueError, match="planted by --plants"):
        protocols.needed(["own_group"], plants=False)


def test_few_accounts_have_no_interval():
    few = protocols.pooled([("w", record(0.9, accounts=5))])
    found = protocols.difference(few, few, 2)
    assert found["interval"] is None and "too few accounts" in statistics.points(found)


def test_pages_are_filled_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- leaks -->\nold\n<!-- /leaks -->\nbelow\n")
    marked_pages.require(page, "leaks")
    marked_pages.fill(page, "leaks", ["| a |"])
    assert page.read_text() == "above\n<!-- leaks -->\n\n| a |\n\n<!-- /leaks -->\nbelow\n"
    with pytest.raises(ValueError, match="needs one line <!-- protocols -->"):
        marked_pages.require(page, "protocols")
    marked_pages.require(tmp_path / "new/page.md", "leaks")
    marked_pages.fill(tmp_path / "new/page.md", "leaks", ["| b |"])
    assert (tmp_path / "new/page.md").read_text() == "<!-- leaks -->\n\n| b |\n\n<!-- /leaks -->\n"


def test_the_command_of_the_page_is_the_one_that_was_run():
    parser = protocols._parser()
    plain = parser.parse_args(["--out=runs/experiments"])
    assert protocols.command_line(plain) == "python -m ipa_jax protocols --out=runs/experiments"
    words = ["--out=o", "--seeds=0,4", "--size=tiny", "--only=past_only", "--plants"]
    again = protocols.command_line(parser.parse_args(words)).split()[3:]
    assert parser.parse_args(again) == parser.parse_args(words)


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


def test_every_plant_has_its_runs():
    runs = protocol_rows.plants([WORLD], "tiny")
    assert [run.name for run in runs] == [f"plant_{name}" for name in PLANTS] + ["sibling_honest"]
    assert {run.world.seed for run in runs} == {3}
    temporal = next(run for run in runs if run.name == "plant_temporal")
    assert temporal.resolved.data.memory.past_only
    assert all(
        run.resolved.allow_leak for run in protocol_rows.protocols([WORLD], "tiny") if run.name == "exclude_none"
    )
