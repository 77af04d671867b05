"""The tables' rows and pages from made-up records; the commands behind them are in tests/cli."""

import csv
import io
import json
import re
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from configs import full
from ipa_jax import paper as paper_results
from ipa_jax.experiments import pages, reference_rows, statistics, table_page, table_rows, tables
from ipa_jax.experiments import runs as experiments
from ipa_jax.experiments.runs import World
from tests.helpers import built, tiny_world
from tests.ipa_jax.experiments.test_statistics import record, runs


def arguments(**changes):
    plain = {"configs": None, "seeds": 3, "first_seed": 0, "data_dir": None, "accounts": 20, "posts": 40,
             "size": "tiny", "set": {}, "weights": None}  # fmt: skip
    return Namespace(**(plain | changes))


@pytest.fixture(scope="module")
def found():
    rows = {"full": 0.6, "basic_retrieval": 0.58, "basic": 0.2, "log_likes": 0.61, "retrieval_only": 0.3}
    rows |= {"account_constant": 0.0, "shuffled_likes": 0.0, "chance": 0.0}
    made = {name: runs(skill, noise_seed=number) for number, (name, skill) in enumerate(rows.items())}
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
    return table_page.document(
        found,
        missing,
        2.0,
        command="python -m ipa_jax tables --x",
        title="T",
        human=human,
        remarks="Why: <b>.",
        draws=100,
    )


def row(document, table, name):
    return next(r for t in document["tables"] if t["name"] == table for r in t["rows"] if r["name"] == name)


def test_every_row_of_the_papers_tables_has_its_place(document):
    printed = {r["label"]: r["paper"] for t in document["tables"] for r in t["rows"] if r["paper"]}
    accuracies = {paper["accuracy"] for paper in printed.values()}
    assert accuracies == {line[1] for line in (*paper_results.PAPER, *paper_results.ABLATIONS)}
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
    page = pages.markdown(document)
    assert "| NIMA, public weights | 51.6 | weights not given | - | - | 0.029 |" in page
    assert "third_party_ports/README.md" in page


def test_differences_are_printed_with_their_verdict(document):
    page = pages.markdown(document)
    line = next(line for line in page.splitlines() if line.startswith("| + Retrieval"))
    assert line.endswith(", undecided |") and line.startswith("| + Retrieval | 79.1 | ")
    line = next(line for line in page.splitlines() if line.startswith("| Basic"))
    assert "undecided" not in line and line.count("|") == 11
    for table in document["tables"]:
        for r in table["rows"]:
            names = pages.headings(table["metrics"], table["paper"])
            assert len(pages.cells(r, table["metrics"], table["paper"])) == len(names)


def test_claims_and_checks_have_a_line_each(document):
    verdicts = {claim["claim"]: claim["verdict"] for claim in document["claims"]}
    assert verdicts["Retrieval helps"] == "holds" and verdicts["3D helps"] == "undecided"
    assert verdicts["Aggregation beats concatenation"] == "not tested: no concat"
    page = pages.markdown(document)
    assert "| Retrieval helps | holds | +" in page and "| +0.48 |" in page
    assert [check.split(":")[0] for check in document["checks"]] == ["pass", "not decided", "pass"]
    assert "50 % exactly: 0.500000" in page and page.rstrip().endswith("Why: <b>.")
    assert "python -m ipa_jax tables --x" in page


def test_a_failed_check_says_fail(found):
    worse = found | {"shuffled_likes": runs(0.5, 3, noise_seed=9)}
    checks = table_page.document(worse, {}, 2.0, command="", title="", draws=50)["checks"]
    assert checks[0].startswith("pass: a coin") and checks[1].startswith("fail: shuffled likes")
    alone = worse | {"shuffled_likes": dict(list(worse["shuffled_likes"].items())[:1])}
    checks = table_page.document(alone, {}, 2.0, command="", title="", draws=50)["checks"]
    assert checks[1].startswith("not decided: shuffled likes") and checks[1].endswith(
        "fewer than three shuffles decide nothing"
    )
    del worse["shuffled_likes"]
    absent = {"shuffled_likes": "not asked for"}
    checks = table_page.document(worse, absent, 2.0, command="", title="", draws=50)["checks"]
    assert checks[1] == "not run: shuffled likes (not asked for)"


def test_the_human_row_is_the_trimmed_mean_where_there_is_one(document, found):
    human = row(document, "1", "human")
    assert human["label"] == "Human (3 people on met)" and human["ours"]["accuracy"] == 0.61
    two = {"participants": [1, 2], "answers": 60, "mean": 0.6, "mean_interval": [0.5, 0.7], "trimmed_mean": None,
           "data": "met/top3000/1.1.0"}  # fmt: skip
    made = table_page.document(found, {}, 2.0, command="", title="", human=two, draws=10)
    assert row(made, "1", "human")["ours"]["accuracy_interval"] == [0.5, 0.7]
    none = row(table_page.document(found, {}, 2.0, command="", title="", draws=10), "1", "human")
    assert none["ours"] is None and none["missing"] == "no study given" and none["paper"]["accuracy"] == 0.5866


def test_the_csv_holds_the_figures_unrounded(document):
    lines = list(csv.DictReader(io.StringIO(pages.comma_separated(document))))
    assert len(lines) == sum(len(table["rows"]) for table in document["tables"])
    ours = next(line for line in lines if line["row"] == "basic")
    measured = row(document, "2", "basic")
    assert float(ours["accuracy"]) == measured["ours"]["accuracy"] and float(ours["paper_accuracy"]) == 0.7864
    assert float(ours["full_minus_it_low"]) == measured["difference"]["interval"][0] and ours["verdict"] == "higher"
    assert next(line for line in lines if line["row"] == "concat")["accuracy"] == ""


def test_the_page_is_self_contained_and_escaped(document):
    page = pages.html(document)
    assert "http" not in page and "Why: &lt;b&gt;." in page and "<style>" in page
    assert page.count("<tr") == sum(len(t["rows"]) + 1 for t in document["tables"]) + 1 + len(document["claims"])


def test_a_row_that_no_table_lists_stands_in_table_2(found):
    more = found | {"ratio_log": runs(0.6, noise_seed=3)}
    made = table_page.document(more, {}, 2.0, command="", title="", extra=["ratio_log"], draws=10)
    assert row(made, "2", "ratio_log")["label"] == "configs/ratio_log.py"


def test_a_row_on_other_test_images_has_no_difference(found):
    odd = found | {"ours": {"seed0/0": ("seed0", record(0.6, world=9))}}
    made = row(table_page.document(odd, {}, 2.0, command="", title="", draws=10), "1", "ours")
    assert made["ours"] and made["difference"] is None


def test_frozen_resnets_come_from_the_next_world():
    frozen = table_rows.find("depth_frozen")
    three = tables.runs_of(frozen, arguments())
    assert [(run.world.seed, run.resnet.world.seed) for run in three] == [(0, 1), (1, 2), (2, 0)]
    assert [run.resnet for run in three] == [tables.runs_of(table_rows.FULL, arguments())[i] for i in (1, 2, 0)]
    (one,) = tables.runs_of(frozen, arguments(seeds=1, first_seed=4))
    assert one.world == World(4, 20, 40) and one.resnet.world == World(5, 20, 40)
    assert all(run.resnet is None for run in tables.runs_of(table_rows.FULL, arguments()))


def test_every_row_with_a_config_file_resolves():
    for name in table_rows.TRAINED:
        if not name.missing():
            for run in tables.runs_of(name, arguments(set={"train.epochs": 2.0})):
                assert run.resolved.train.epochs == 2 and run.resolved.size == "tiny"
    assert not {"full", "basic", "concat", "log_likes", "shuffled_likes"} & {
        r.name for r in table_rows.TRAINED if r.missing()
    }


def test_what_cannot_be_run_is_left_out_with_its_reason(tmp_path, capsys):
    rows, missing = tables.choose(arguments(configs=["basic", "ratio_log"]))
    assert [r.name for r in rows] == ["full", "basic", "ratio_log"] and missing["concat"] == "not asked for"
    rows, missing = tables.choose(arguments(configs=["depth_frozen"], data_dir=tmp_path))
    assert [r.name for r in rows] == ["full"] and missing["depth_frozen"] == "needs --set init.resnet=FILE"
    assert "left out: depth_frozen (needs --set init.resnet=FILE)" in capsys.readouterr().out
    _, missing = tables.choose(arguments(data_dir=tmp_path))
    assert missing["shuffled_likes"] == "needs a data set built with data.shuffle_likes"
    rows, missing = tables.choose(arguments(size="full", set={"init.random": True}))
    assert not missing and len(rows) == len(table_rows.TRAINED)
    with pytest.raises(ValueError, match=r"full: config.init.\w+ is not set"):
        tables.choose(arguments(size="full"))
    (tmp_path / "f").touch()
    start = {"init.resnet": str(tmp_path / "f")}
    rows, _ = tables.choose(arguments(configs=["depth_frozen"], data_dir=tmp_path, set=start))
    assert [r.name for r in rows] == ["full", "depth_frozen"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--configs=full,basci"], "--configs: 'basci': no such row, nor file of configs/; rows are full, basic, "),
        (["--configs=basic,"], "--configs: ''"),
        (["--seeds=0"], "--seeds: must be 1 or more, not 0"),
        (["--seeds=-1"], "--seeds: must be 1 or more, not -1"),
        (["--accounts=0"], "--accounts: must be 1 or more"),
        (["--report={tmp}/file/x.md"], "--report: the folder {tmp}/file cannot be made"),
        (["--records={tmp}/file"], "--records: the folder {tmp}/file cannot be made"),
        (["--data_dir={tmp}/none"], "--data_dir, --size=demo: config.data_dir: {tmp}/none is no folder"),
    ],
)
def test_what_is_mistyped_is_said_before_anything_runs(flags, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "run", None)
    (tmp_path / "file").touch()
    try:
        ended = tables.main([f"--out={tmp_path}/out", *(flag.format(tmp=tmp_path) for flag in flags)])
    except SystemExit as end:
        ended = end.code
    assert ended and said.format(tmp=tmp_path) in capsys.readouterr().err


def test_a_report_is_written_where_there_was_no_folder(tmp_path, document, monkeypatch):
    monkeypatch.setattr(tables, "collect", lambda args: ({}, {}, 2.0))
    monkeypatch.setattr(table_page, "document", lambda *args, **more: document)
    assert tables.main([f"--out={tmp_path}/out", f"--report={tmp_path}/docs/of/it.md"]) == 0
    assert (tmp_path / "docs/of/it.md").read_text() == (tmp_path / "out/tables.md").read_text()


def test_a_data_set_of_another_size_is_refused_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "run", None)
    tiny_world.write(tmp_path)
    built.build_quietly(tmp_path, tmp_path / "data")
    flags = [f"--out={tmp_path}/out", f"--data_dir={tmp_path}/data", "--size=tiny"]
    assert tables.main(flags) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/data: config.data.depth.side is 8 in the data set and 48 here" in said and "--set" in said
    tables.require_data(arguments(data_dir=tmp_path / "data", set={"data.depth.side": 8}))


SCORE = {"participants": [{}], "answers": 30, "mean": 0.6, "mean_interval": None, "trimmed_mean": None,
         "trimmed_mean_interval": None, "split": "test", "data": "d/top3000/1.1.0", "digest": "0"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"participants": []}, "no participant finished"), ({"mean": "0.6"}, "mean: of another type"),
     ({"split": "train"}, "is of split train"), ({}, "is of a study on d/top3000/1.1.0")],
)  # fmt: skip
def test_a_study_that_does_not_fit_is_refused(tmp_path, changes, said):
    tiny_world.write(tmp_path)
    built.build_quietly(tmp_path, tmp_path / "data")
    file = tmp_path / "human.json"
    file.write_text(json.dumps(SCORE | changes))
    with pytest.raises(ValueError, match=re.escape(said)):
        tables.human_score(file, tmp_path / "data")
    file.write_text(json.dumps(SCORE))
    assert tables.human_score(file, None) == SCORE


def test_what_is_scored_once_stands_beside_each_training_seed(monkeypatch, tmp_path):
    """Two training seeds of one data set: a difference to a yardstick is over both, not over the first alone."""
    made = {0: record(0.6, world=0), 1: record(0.2, world=0, noise_seed=1)}
    monkeypatch.setattr(tables, "require_data", lambda args: None)
    monkeypatch.setattr(tables, "choose", lambda args: ([table_rows.FULL], {}))
    monkeypatch.setattr(experiments, "run", lambda runs, *_, **__: {run: made[run.training_seed] for run in runs})
    monkeypatch.setattr(experiments.BuiltData, "definition", {"data": "d"})
    monkeypatch.setattr(
        reference_rows, "yardsticks", lambda run, *_, **__: {"chance": record(0.0, world=0, noise_seed=9)}
    )
    args = arguments(data_dir=tmp_path, seeds=2, out=tmp_path, records=tmp_path, overwrite=False)
    found, _, _ = tables.collect(args)
    assert found["chance"].keys() == found["full"].keys() and len(found["full"]) == 2
    apart = statistics.difference(found["full"], found["chance"], 2.0, draws=20)
    full, chance = ([one.figures["accuracy"] for _, one in found[name].values()] for name in ("full", "chance"))
    assert apart["seeds"] == 2 and chance[0] == chance[1]
    assert apart["accuracy"]["difference"] == pytest.approx(np.mean(full) - chance[0])


def test_public_weights_of_another_network_are_refused_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "run", None)
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
    assert not full.get_config().data.shuffle_likes and Path(table_rows.ROOT / "configs/full.py").is_file()
