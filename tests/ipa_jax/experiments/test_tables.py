"""The rows and pages of Tables 1 and 2 from made-up records; the commands behind them are in tests/cli."""

import csv
import io
import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs import full
from ipa_jax import paper
from ipa_jax.experiments import reference_rows, runs, statistics, study, table_files, table_page, table_rows, tables
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.study import Study
from ipa_jax.experiments.table_page import Results
from ipa_jax.experiments.worlds import BuiltData, World
from tests.helpers import built, made_records, tiny_world
from tests.helpers.made_records import record


def worlds(folder, seeds=(0, 1, 2), size="tiny"):
    return Study(folder, folder, [(World(seed, 20, 40), seed) for seed in seeds], size)


def one_data_set(data_dir, seeds=(0,), size="tiny"):
    return Study(data_dir, data_dir, [(BuiltData(data_dir), seed) for seed in seeds], size)


def small(found, missing=None, **more):
    """The document of some records, with few draws."""
    return table_page.document(Results(found, missing or {}, 2.0, draws=50), command="", title="", **more)


@pytest.fixture(scope="module")
def found():
    rows = {"full": 0.6, "basic_retrieval": 0.58, "basic": 0.2, "log_likes": 0.61, "retrieval_only": 0.3}
    rows |= {"account_constant": 0.0, "shuffled_likes": 0.0, "chance": 0.0}
    made = {name: made_records.runs(skill, noise_seed=number) for number, (name, skill) in enumerate(rows.items())}
    flat = {key: (world, flattened(r)) for key, (world, r) in made["account_constant"].items()}
    return made | {"account_constant": flat}


def flattened(made):
    """The record with all scores equal."""
    for groups in made.scores.values():
        for columns in groups.values():
            columns[1] = [0.0] * len(columns[1])
    made.figures.update(accuracy=0.5)
    return made


@pytest.fixture(scope="module")
def document(found):
    missing = {
        "concat": "not asked for",
        "uhan": "there is no configs/uhan.py",
        "zero_shot_nima": "weights not given",
    }
    human = {"participants": [1, 2, 3], "answers": 90, "mean": 0.6, "mean_interval": [0.5, 0.7], "trimmed_mean": 0.61,
             "trimmed_mean_interval": None, "data": "runs/met/top3000/1.1.0"}  # fmt: skip
    results = Results(found, missing, 2.0, draws=100)
    command = "python -m ipa_jax tables --x"
    return table_page.document(results, command=command, title="T", human=human, remarks="Why: <b>.")


def row(document, table, name):
    return next(r for t in document["tables"] if t["name"] == table for r in t["rows"] if r["name"] == name)


def test_every_row_of_the_papers_tables_has_its_place(document):
    printed = {r["label"]: r["paper"] for t in document["tables"] for r in t["rows"] if r["paper"]}
    accuracies = {each["accuracy"] for each in printed.values()}
    assert accuracies == {line[1] for line in (*paper.PAPER, *paper.ABLATIONS)}
    assert row(document, "1", "full")["paper"] == {
        "accuracy": 0.7948,
        "plcc": 0.4052,
        "srcc": 0.3871,
        "ratio_mse": 1.1388,
    }
    assert row(document, "1", "zero_shot_i2pa")["paper"]["ratio_mse"] is None


def test_a_row_without_figures_says_why(document):
    assert row(document, "1", "zero_shot_nima")["missing"] == "weights not given"
    assert row(document, "1", "uhan")["missing"] == "there is no configs/uhan.py"
    page = table_files.markdown(document)
    assert "| NIMA, public weights | 51.6 | weights not given | - | - | 0.029 |" in page
    assert "third_party_ports/README.md" in page


def test_differences_are_printed_with_their_verdict(document):
    page = table_files.markdown(document)
    line = next(line for line in page.splitlines() if line.startswith("| + Retrieval"))
    assert line.endswith(", undecided |") and line.startswith("| + Retrieval | 79.1 | ")
    line = next(line for line in page.splitlines() if line.startswith("| Basic"))
    assert "undecided" not in line and line.count("|") == 11
    for table in document["tables"]:
        for r in table["rows"]:
            names = table_files.headings(table["metrics"], table["paper"])
            assert len(table_files.cells(r, table["metrics"], table["paper"])) == len(names)


def test_claims_and_checks_have_a_line_each(document):
    verdicts = {claim["claim"]: claim["verdict"] for claim in document["claims"]}
    assert verdicts["Retrieval helps"] == "holds" and verdicts["3D helps"] == "undecided"
    assert verdicts["Aggregation beats concatenation"] == "not tested: no concat"
    page = table_files.markdown(document)
    assert "| Retrieval helps | holds | +" in page and "| +0.48 |" in page
    assert [check.split(":")[0] for check in document["checks"]] == ["pass", "not decided", "pass"]
    assert "exactly: 0.500000" in page and page.rstrip().endswith("Why: <b>.")
    assert "python -m ipa_jax tables --x" in page


def test_a_failed_check_says_fail(found):
    worse = found | {"shuffled_likes": made_records.runs(0.5, 3, noise_seed=9)}
    checks = small(worse)["checks"]
    assert checks[0].startswith("pass: a coin") and checks[1].startswith("fail: shuffled likes")
    alone = worse | {"shuffled_likes": dict(list(worse["shuffled_likes"].items())[:1])}
    checks = small(alone)["checks"]
    assert checks[1].startswith("not decided: shuffled likes") and "at least three shuffles" in checks[1]
    del worse["shuffled_likes"]
    absent = {"shuffled_likes": "not asked for"}
    checks = small(worse, absent)["checks"]
    assert checks[1] == "not run: shuffled likes (not asked for)"


def test_the_human_row_is_the_trimmed_mean_where_there_is_one(document, found):
    human = row(document, "1", "human")
    assert human["label"] == "Human (3 people on met)" and human["ours"]["accuracy"] == 0.61
    two = {"participants": [1, 2], "answers": 60, "mean": 0.6, "mean_interval": [0.5, 0.7], "trimmed_mean": None,
           "data": "met/top3000/1.1.0"}  # fmt: skip
    made = small(found, human=two)
    assert row(made, "1", "human")["ours"]["accuracy_interval"] == [0.5, 0.7]
    none = row(small(found), "1", "human")
    assert none["ours"] is None and none["missing"] == "no study given" and none["paper"]["accuracy"] == 0.5866


def test_the_csv_holds_the_figures_unrounded(document):
    lines = list(csv.DictReader(io.StringIO(table_files.comma_separated(document))))
    assert len(lines) == sum(len(table["rows"]) for table in document["tables"])
    ours = next(line for line in lines if line["row"] == "basic")
    measured = row(document, "2", "basic")
    assert float(ours["accuracy"]) == measured["ours"]["accuracy"] and float(ours["paper_accuracy"]) == 0.7864
    assert float(ours["full_minus_row_low"]) == measured["difference"]["interval"][0] and ours["verdict"] == "higher"
    assert next(line for line in lines if line["row"] == "concat")["accuracy"] == ""


def test_the_page_is_self_contained_and_escaped(document):
    page = table_files.html(document)
    assert "http" not in page and "Why: &lt;b&gt;." in page and "<style>" in page
    assert page.count("<tr") == sum(len(t["rows"]) + 1 for t in document["tables"]) + 1 + len(document["claims"])


def test_the_page_has_a_chart_of_each_table_and_marks_our_row(document):
    page = table_files.html(document)
    for table in page.split("<section>")[1 : 1 + len(document["tables"])]:
        if 'class="strips"' in table:
            assert table.count('class="mark run"') == table.count('class="strip"') > 0
    marked = re.findall(r'<tr class="ours"><th>(.*?)</th>', page)
    assert marked and set(marked) == {
        row["label"] for t in document["tables"] for row in t["rows"] if row["name"] == "full"
    }


def test_a_row_that_no_table_lists_stands_in_table_2(found):
    more = found | {"ratio_log": made_records.runs(0.6, noise_seed=3)}
    made = small(more, extra=["ratio_log"])
    assert row(made, "2", "ratio_log")["label"] == "configs/ratio_log.py"


def test_a_row_on_other_test_images_has_no_difference(found):
    odd = found | {"ours": {"seed0/0": ("seed0", record(0.6, world=9))}}
    made = row(small(odd), "1", "ours")
    assert made["ours"] and made["difference"] is None


def test_every_row_resolves(tmp_path):
    for run in worlds(tmp_path).runs_of(table_rows.TRAINED, {"train.epochs": 2.0}):
        assert run.resolved.train.epochs == 2 and run.resolved.size == "tiny"


def test_what_cannot_be_run_is_left_out_with_its_reason(tmp_path, capsys):
    rows, reasons = table_rows.choose(["basic", "ratio_log"], worlds(tmp_path), {})
    assert [r.name for r in rows] == ["full", "basic", "ratio_log"] and reasons["concat"] == "not asked for"
    data = one_data_set(tmp_path)
    rows, reasons = table_rows.choose(["depth_frozen"], data, {}, tmp_path)
    assert [r.name for r in rows] == ["full"] and reasons["depth_frozen"] == "needs --set init.resnet=FILE"
    assert "left out: depth_frozen (needs --set init.resnet=FILE)" in capsys.readouterr().out
    _, reasons = table_rows.choose(None, data, {}, tmp_path)
    assert reasons["shuffled_likes"] == "needs a data set built with data.shuffle_likes"
    rows, reasons = table_rows.choose(None, worlds(tmp_path, size="full"), {"init.random": True})
    assert not reasons and len(rows) == len(table_rows.TRAINED)
    with pytest.raises(ValueError, match=r"full: config.init.\w+ is not set"):
        table_rows.choose(None, worlds(tmp_path, size="full"), {})
    (tmp_path / "f").touch()
    rows, _ = table_rows.choose(["depth_frozen"], data, {"init.resnet": str(tmp_path / "f")}, tmp_path)
    assert [r.name for r in rows] == ["full", "depth_frozen"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--configs=full,basci"], "--configs: no row or config 'basci'; the rows are full, basic, "),
        (["--configs=basic,"], "--configs: no row or config ''"),
        (["--seeds=0,0"], "--seeds: 0,0: a number is given twice"),
        (["--seeds=-1"], "--seeds: must be 0 or more, not -1"),
        (["--accounts=0"], "--accounts: must be 1 or more"),
        (["--page={tmp}/file/x.md"], "--page: the folder {tmp}/file cannot be made"),
        (["--records={tmp}/file"], "--records: the folder {tmp}/file cannot be made"),
        (["--data_dir={tmp}/none"], "--data_dir, --size=demo: config.data_dir: {tmp}/none"),
    ],
)
def test_what_is_mistyped_is_said_before_anything_runs(flags, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "run_all", None)
    (tmp_path / "file").touch()
    try:
        ended = tables.main([f"--out={tmp_path}/out", *(flag.format(tmp=tmp_path) for flag in flags)])
    except SystemExit as end:
        ended = end.code
    assert ended and said.format(tmp=tmp_path) in capsys.readouterr().err


def test_a_page_is_written_where_there_was_no_folder(tmp_path, document, monkeypatch):
    monkeypatch.setattr(study.Study, "collect", lambda *_: ({}, {}))
    monkeypatch.setattr(reference_rows, "collect", lambda *_: {})
    monkeypatch.setattr(table_page, "Results", lambda *_, **__: None)
    monkeypatch.setattr(table_page, "document", lambda *_, **__: document)
    assert tables.main([f"--out={tmp_path}/out", "--size=tiny", f"--page={tmp_path}/docs/of/it.md"]) == 0
    assert (tmp_path / "docs/of/it.md").read_text() == (tmp_path / "out/tables.md").read_text()


def test_a_data_set_of_another_size_is_refused_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "run_all", None)
    tiny_world.write(tmp_path)
    built.build_quietly(tmp_path, tmp_path / "data")
    flags = [f"--out={tmp_path}/out", f"--data_dir={tmp_path}/data", "--size=tiny"]
    assert tables.main(flags) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/data: config.data.depth.side is 8 in the data set and 48 here" in said and "--set" in said
    data = one_data_set(tmp_path / "data")
    table_rows.require_data(data, {"data.depth.side": 8}, tmp_path / "data")


SCORE = {"participants": [{}], "answers": 30, "mean": 0.6, "mean_interval": None, "trimmed_mean": None,
         "trimmed_mean_interval": None, "split": "test", "data": "d/top3000/1.1.0", "digest": "0"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"participants": []}, "no participant"), ({"mean": "0.6"}, "mean: "),
     ({"split": "train"}, "--split=test"), ({}, "is of a study on d/top3000/1.1.0")],
)  # fmt: skip
def test_a_study_that_does_not_fit_is_refused(tmp_path, changes, said):
    tiny_world.write(tmp_path)
    built.build_quietly(tmp_path, tmp_path / "data")
    file = tmp_path / "human.json"
    file.write_text(json.dumps(SCORE | changes))
    with pytest.raises(ValueError, match=re.escape(said)):
        reference_rows.human_score(file, tmp_path / "data")
    file.write_text(json.dumps(SCORE))
    assert reference_rows.human_score(file, None) == SCORE


def test_what_is_scored_once_stands_beside_each_training_seed(monkeypatch, tmp_path):
    """Two training seeds of one data set: a difference to a baseline is over both, not over the first alone."""
    monkeypatch.setattr(BuiltData, "definition", {"data": "d"})
    full = [Run("full", "full", {}, BuiltData(tmp_path), seed, "tiny") for seed in (0, 1)]
    asked = []

    def baselines(run, study):
        asked.append(run.training_seed)
        return {"chance": record(0.0, world=0, noise_seed=9)}

    monkeypatch.setattr(reference_rows, "baselines", baselines)
    beside = reference_rows.collect(full, one_data_set(tmp_path, (0, 1)), None, [])
    made = {0: record(0.6, world=0), 1: record(0.2, world=0, noise_seed=1)}
    trained = {study.key(run): ("data", made[run.training_seed]) for run in full}
    assert asked == [0, 0] and beside["chance"].keys() == trained.keys()
    apart = statistics.difference(trained, beside["chance"], 2.0, draws=20)
    full_accuracy, chance = (
        [each.figures["accuracy"] for _, each in found.values()] for found in (trained, beside["chance"])
    )
    assert apart["seeds"] == 2 and chance[0] == chance[1]
    assert apart["accuracy"]["difference"] == pytest.approx(np.mean(full_accuracy) - chance[0])


def test_public_weights_of_another_network_are_refused_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "run_all", None)
    save_file({"dense.weight": np.zeros((2, 2), np.float32)}, tmp_path / "nima_aesthetic.safetensors")
    assert tables.main([f"--out={tmp_path}/out", "--size=tiny", "--configs=basic", f"--weights={tmp_path}"]) == 1
    assert f"{tmp_path}/nima_aesthetic.safetensors" in capsys.readouterr().err


def test_fields_are_read_as_their_values():
    assert tables._field("train.epochs=2") == ("train.epochs", 2)
    assert tables._field("init.swin=weights/swin.safetensors") == ("init.swin", "weights/swin.safetensors")
    assert tables._field("model.swin.depths=(1, 1)") == ("model.swin.depths", (1, 1))


def test_the_control_is_the_full_model_on_another_data_set():
    control = table_rows.find(table_rows.CONTROL)
    assert control.config == "full" and control.fields == {"data.shuffle_likes": True}
    assert not full.get_config().data.shuffle_likes
