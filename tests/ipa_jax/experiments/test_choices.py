"""The list of choices, records shared with other tables, and the tables made from records."""

from dataclasses import replace

import pytest

from configs import full
from ipa_jax.experiments import choice_rows, choices
from ipa_jax.experiments import records as run_records
from ipa_jax.experiments import runs as experiments
from ipa_jax.experiments.records import Record, RecordError
from ipa_jax.experiments.runs import Run, World
from ipa_jax.training import workdir
from tests.ipa_jax.experiments.test_statistics import record


def made(skill, **more):
    return [(f"seed{seed}", record(skill, world=seed, **more)) for seed in (0, 1)]


def test_every_choice_is_its_one_field_over_full():
    base = workdir.flat(full.get_config("tiny"))
    owner = {choice.name: question.field for question in choice_rows.QUESTIONS for choice in question.instead}
    runs = choice_rows.runs_of(choice_rows.CHOICES, [0], 20, 40, "tiny")
    assert len({run.file for run in runs}) == len(runs) == len(choice_rows.CHOICES)
    for run in runs:
        config = workdir.flat(run.resolved)
        changed = {name for name, value in config.items() if value != base.get(name)}
        if run.name in owner:
            assert changed and all(
                name == owner[run.name] or name.startswith(owner[run.name] + ".") for name in changed
            )
        else:
            assert bool(changed) == (run.name == "ours")


def test_the_default_is_what_full_has():
    flat = workdir.flat(full.get_config("demo"))
    for question in choice_rows.QUESTIONS:
        if question.default.startswith("`"):
            assert flat[question.field] == question.default.strip("`")
    assert (flat["data.retrieval.k"], flat["data.memory.window_days"]) == (5, 30)


def test_resnets_come_from_the_next_world_as_those_of_the_tables():
    frozen = next(choice for choice in choice_rows.CHOICES if choice.name == "depth_frozen")
    runs = choice_rows.runs_of([choice_rows.DEFAULT, frozen], [0, 1], 20, 40, "tiny")
    sources = [run.resnet for run in runs if run.name == "depth_frozen"]
    assert [source.world for source in sources] == [World(1, 20, 40), World(2, 20, 40)]
    assert sources[0] == next(run for run in runs if (run.name, run.world.seed) == ("full", 1))
    (alone,) = choice_rows.runs_of([frozen], [5], 20, 40, "tiny")
    assert alone.resnet.world == World(3, 20, 40)


def test_records_of_the_same_runs_are_taken_from_other_tables(tmp_path):
    mine, same, other = Run("full", "full"), Run("log_likes", "log_likes"), Run("ours", "ours")
    for run, definition in ((same, same.definition), (other, Run("ours", "full").definition)):
        stored = Record(run.name, definition, {}, {"accuracy": 0.5}, {})
        run_records.save(tmp_path / "tables" / run.file, stored)
    folders = (tmp_path / "records", [tmp_path / "nothing", tmp_path / "tables"])
    assert choices.take_shared([mine, same, other], *folders) == ["log_likes-seed0.json"]
    assert run_records.load(tmp_path / "records/log_likes-seed0.json").figures == {"accuracy": 0.5}
    assert choices.take_shared([mine, same, other], *folders) == []


def test_the_table_decides_or_says_undecided():
    records = {"full": made(0.5), "loss_ratio_log": made(0.5), "k_10": made(0.9, validation=0.1)}
    records["window_90"] = made(0.1)[:1]
    lines = choices.choice_table(records, 2.0)
    rows = {row[2]: row[3:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])}
    assert len(rows) == len(lines) - 2 == len(choice_rows.CHOICES)
    assert {len(row) for row in rows.values()} == {7}
    assert rows["as full.py has it"][0] == rows["as full.py has it"][3] == ""
    assert rows["`ratio_log`"][3] == "+0.0 (+0.0 to +0.0), undecided"
    assert rows["10"][3].startswith("+") and "undecided" not in rows["10"][3]
    assert rows["10"][0].startswith("-") and "undecided" not in rows["10"][0]  # validation has its own scores
    assert rows["90 days"][0] == "not run"  # of one world alone: nothing to pool
    assert float(rows["10"][1]) > float(rows["as full.py has it"][1])


def test_carousels_are_judged_by_images_and_by_posts():
    assert choices.carousel_table({}, 2.0) == []
    scores = {"ann": {"0": [[9, 9, 2], [0.0, 3.0, 1.0], [0, 0, 1]]}, "bob": {"1": [[1, 5], [0.0, 1.0]]}}
    found = [("seed0", Record("carousel_all", {}, {}, {}, scores))]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in choices.carousel_table({"carousel_all": found}, 2.0)
    ]
    accuracy = {row[0]: (row[1], row[6]) for row in rows[2:]}
    assert accuracy["images, each by itself"] == ("66.7", "3")
    assert accuracy["posts by their first image"] == ("50.0", "2")
    assert accuracy["posts by the mean z of their images"] == accuracy["posts by their highest z"] == ("100.0", "2")


def test_short_histories_are_banks_cut_short_and_filled():
    runs = choice_rows.runs_of(choice_rows.SHORT_HISTORIES, [0], 20, 40, "tiny")
    memory = {run.name: run.resolved.data.memory for run in runs}
    assert {name: m.max_posts for name, m in memory.items() if m.fallback == "none"} == {
        "full": -1, "bank_0": 0, "bank_1": 1, "bank_5": 5, "bank_20": 20, "bank_80": 80,
    }  # fmt: skip
    assert {name: m.max_posts for name, m in memory.items() if m.fallback != "none"} == {
        "bank_0_filled": 0,
        "bank_1_filled": 1,
    }
    k = runs[0].resolved.data.retrieval.k
    assert k == runs[0].resolved.data.memory.fallback_below == 5  # a bank of 5 posts leaves no slot free


def test_the_table_of_short_histories():
    records = {
        "full": made(0.7),
        "bank_0": made(0.2),
        "bank_0_filled": made(0.6),
        "bank_1_filled": made(0.3),
        "bank_5": made(0.5),
    }
    lines = choices.history_table(records, 2.0)
    rows = {row[0]: row[1:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])}
    assert {len(row) for row in rows.values()} == {5} and list(rows) == ["0", "1", "5", "20", "80", "all"]
    assert float(rows["0"][2]) > float(rows["0"][0]) and rows["0"][4].startswith("+")
    assert (rows["1"][0], rows["5"][2], rows["20"][0]) == ("not run", "no slot to fill", "not run")
    assert rows["1"][2] != "not run" and rows["1"][4] == ""


def test_a_choice_that_lacks_a_world_is_not_compared(tmp_path, monkeypatch):
    """Half of a choice is other accounts than the whole of another."""
    args = choices._parser().parse_args([f"--out={tmp_path}", "--size=tiny", "--only=k_10"])
    args.records = tmp_path
    monkeypatch.setattr(experiments, "run", lambda runs, *_, **__: {r: record(0.5, world=r.world.seed) for r in runs})
    there = lambda run, *_, **__: record(0.5) if (run.name, run.world.seed) == ("ours", 1) else None  # noqa: E731
    monkeypatch.setattr(experiments, "stored", there)
    found = choices.collect(choice_rows.CHOICES, args)
    assert {name: len(of_choice) for name, of_choice in found.items()} == {"full": 2, "k_10": 2}


def test_a_record_without_validation_is_named():
    without = [(world, replace(found, validation={})) for world, found in made(0.5)]
    with pytest.raises(RecordError, match="holds no validation scores: make it again"):
        choices.choice_table({"full": made(0.5), "k_10": without}, 2.0)
