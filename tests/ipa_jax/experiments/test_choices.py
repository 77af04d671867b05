"""The rows of choices and short histories, and their tables from records."""

from dataclasses import replace

import pytest

from configs import full
from ipa_jax.experiments import choice_page, choice_rows, choices
from ipa_jax.experiments.records import Record, RecordError
from ipa_jax.experiments.study import Study
from ipa_jax.experiments.worlds import World
from ipa_jax.training import workdir
from tests.helpers.made_records import runs as made


def runs_of(rows, seeds, folder):
    return Study(folder, folder, [(World(seed, 20, 40), seed) for seed in seeds], "tiny").runs_of(rows)


def test_every_choice_is_its_one_field_over_full(tmp_path):
    base = workdir.flat(full.get_config("tiny"))
    owner = {choice.name: question.field for question in choice_rows.QUESTIONS for choice in question.instead}
    runs = runs_of(choice_rows.CHOICES, [0], tmp_path)
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


def test_the_table_decides_or_says_undecided():
    found = {"full": made(0.5), "loss_ratio_log": made(0.5), "k_10": made(0.9, validation=0.1)}
    lines = choice_page.choice_table(found, 2.0)
    rows = {row[2]: row[3:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])}
    assert len(rows) == len(lines) - 2 == len(choice_rows.CHOICES)
    assert {len(row) for row in rows.values()} == {7}
    assert rows["as in full.py"][0] == rows["as in full.py"][3] == ""
    assert rows["`ratio_log`"][3] == "+0.0 (+0.0 to +0.0), undecided"
    assert rows["10"][3].startswith("+") and "undecided" not in rows["10"][3]
    assert rows["10"][0].startswith("-") and "undecided" not in rows["10"][0]  # validation has its own scores
    assert rows["90 days"][0] == "not run"
    assert float(rows["10"][1]) > float(rows["as in full.py"][1])


def test_carousels_are_judged_by_images_and_by_posts():
    assert choice_page.carousel_table({}, 2.0) == []
    scores = {"ann": {"0": [[9, 9, 2], [0.0, 3.0, 1.0], [0, 0, 1]]}, "bob": {"1": [[1, 5], [0.0, 1.0]]}}
    found = {"carousel_all": {"seed0/0": ("seed0", Record("carousel_all", {}, {}, {}, scores))}}
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in choice_page.carousel_table(found, 2.0)]
    accuracy = {row[0]: (row[1], row[6]) for row in rows[2:]}
    assert accuracy["single images"] == ("66.7", "3")
    assert accuracy["posts by their first image"] == ("50.0", "2")
    assert accuracy["posts by the mean z of their images"] == accuracy["posts by their highest z"] == ("100.0", "2")


def test_short_histories_are_banks_cut_short_and_filled(tmp_path):
    runs = runs_of(choice_rows.SHORT_HISTORIES, [0], tmp_path)
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
    found = {
        "full": made(0.7),
        "bank_0": made(0.2),
        "bank_0_filled": made(0.6),
        "bank_1_filled": made(0.3),
        "bank_5": made(0.5),
    }
    lines = choice_page.history_table(found, 2.0)
    rows = {row[0]: row[1:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])}
    assert {len(row) for row in rows.values()} == {5} and list(rows) == ["0", "1", "5", "20", "80", "all"]
    assert float(rows["0"][2]) > float(rows["0"][0]) and rows["0"][4].startswith("+")
    assert (rows["1"][0], rows["5"][2], rows["20"][0]) == ("not run", "no slot to fill", "not run")
    assert rows["1"][2] != "not run" and rows["1"][4] == ""


def test_a_record_without_validation_is_named():
    without = {key: (world, replace(record, validation={})) for key, (world, record) in made(0.5).items()}
    with pytest.raises(RecordError, match="holds no validation scores: make it again"):
        choice_page.choice_table({"full": made(0.5), "k_10": without}, 2.0)


def test_a_row_that_does_not_exist_is_wrong_use(tmp_path, capsys):
    assert choices.main([f"--out={tmp_path}", "--size=tiny", "--only=k_11"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --only: no row k_11; the rows are full, loss_ratio_log") and said.count("\n") == 1
