"""What a run writes: read back by csv, json and TensorBoard's own reader; each step once, also after a kill."""

import csv
import json
import sys

import numpy as np
import pytest

from ipa_jax.training import metric_writers


def rows(path):
    with path.open(newline="") as file:
        return [(int(r["step"]), r["name"], float(r["value"])) for r in csv.DictReader(file)]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return reader.Reload()


def scalars(folder, tag):
    return [(event.step, event.value) for event in events(folder).Scalars(tag)]


@pytest.fixture
def open_writer(tmp_path):
    """Opens writers in one folder and closes the event threads they start, kills included."""
    opened = []

    def create(**options):
        opened.append(metric_writers.create_writer(tmp_path / "run", "own", **options))
        return opened[-1]

    yield create
    for writer in opened:
        writer.close()


def test_scalars_reach_every_place(open_writer, tmp_path, capsys):
    writer = open_writer()
    writer.write_scalars(5, {"loss": np.float32(0.25), "train/accuracy": 0.75})
    writer.write_scalars(10, {'odd, "name"': float("nan")})
    writer.flush()
    assert rows(tmp_path / "run/metrics.csv")[:2] == [(5, "loss", 0.25), (5, "train/accuracy", 0.75)]
    step, name, value = rows(tmp_path / "run/metrics.csv")[2]
    assert (step, name) == (10, 'odd, "name"') and np.isnan(value)
    first, second = lines(tmp_path / "run/metrics.jsonl")
    assert (first["step"], first["scalars"]) == (5, {"loss": 0.25, "train/accuracy": 0.75})
    assert second["scalars"] == {'odd, "name"': None} and second["time"] >= first["time"] > 0
    assert scalars(tmp_path / "run", "loss") == [(5, 0.25)]
    assert "[5] loss=0.25, train/accuracy=0.75" in capsys.readouterr().err


def test_hparams(open_writer, tmp_path):
    writer = open_writer()
    writer.write_hparams({"seed": 1, "loss.name": "ratio_share", "depths": (2, 2), "on": True})
    writer.flush()
    assert "_hparams_/session_start_info" in events(tmp_path / "run").Tags()["tensors"]
    assert lines(tmp_path / "run/metrics.jsonl") == [
        {"hparams": {"seed": 1, "loss.name": "ratio_share", "depths": [2, 2], "on": True}}
    ]


def test_resuming_drops_what_the_restored_step_had_not_done(open_writer, tmp_path):
    """Killed at step 30 with a checkpoint of step 20: 30 is written again, once."""
    first = open_writer()
    first.write_hparams({"seed": 1})
    for step in (10, 20, 30):
        first.write_scalars(step, {"loss": step / 100})
    first.flush()  # and no close: killed
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "sca')
    with (tmp_path / "run/metrics.csv").open("a") as file:
        file.write("20,loss,0.")
    second = open_writer(resume_step=20)
    second.write_hparams({"seed": 1})
    second.write_scalars(30, {"loss": 0.5})
    second.flush()
    expected = [(10, 0.1), (20, 0.2), (30, 0.5)]
    assert rows(tmp_path / "run/metrics.csv") == [(step, "loss", loss) for step, loss in expected]
    written = lines(tmp_path / "run/metrics.jsonl")
    assert [(r["step"], r["scalars"]["loss"]) for r in written if "step" in r] == expected
    assert [r for r in written if "step" not in r] == [{"hparams": {"seed": 1}}]
    assert [step for step, _ in scalars(tmp_path / "run", "loss")] == [10, 20, 30]
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_a_new_run_starts_its_files_anew(open_writer, tmp_path):
    open_writer().write_scalars(10, {"loss": 1.0})
    open_writer().write_scalars(5, {"loss": 2.0})
    assert rows(tmp_path / "run/metrics.csv") == [(5, "loss", 2.0)]
    assert [r["step"] for r in lines(tmp_path / "run/metrics.jsonl")] == [5]


def test_names_with_odd_line_ends_survive_resuming(open_writer, tmp_path):
    open_writer().write_scalars(1, {"one\u2028two\x85three": 3.0})
    open_writer(resume_step=1).write_scalars(2, {"loss": 1.0})
    with (tmp_path / "run/metrics.jsonl").open(encoding="utf-8", newline="\n") as file:
        assert [json.loads(line)["step"] for line in file] == [1, 2]
    assert rows(tmp_path / "run/metrics.csv") == [(1, "one\u2028two\x85three", 3.0), (2, "loss", 1.0)]


def test_resuming_without_files_writes_them(open_writer, tmp_path):
    open_writer(resume_step=7).write_scalars(8, {"loss": 2.0})
    assert rows(tmp_path / "run/metrics.csv") == [(8, "loss", 2.0)]


def test_other_processes_write_nothing(tmp_path):
    writer = metric_writers.create_writer(tmp_path / "run", "own", first_process=False)
    writer.write_scalars(1, {"loss": 1.0})
    writer.close()
    assert not (tmp_path / "run").exists()


def test_clu_without_tensorflow_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if not installed, wherever this runs
    for name in [name for name in sys.modules if name.startswith("clu.metric_writers")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match=r"config\.train\.writers=clu needs TensorFlow.*pip install"):
        metric_writers.create_writer(tmp_path / "run", "clu")
    assert not (tmp_path / "run").exists()


def test_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.train\.writers is 'tf'.*own or clu"):
        metric_writers.create_writer(tmp_path, "tf")


def test_names_are_those_of_clu():
    """What train.py may call on ours exists on clu's, by its source: the module itself does not import here."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    source = Path(find_spec("clu").submodule_search_locations[0]) / "metric_writers/interface.py"
    clu = {node.name: node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.FunctionDef)}
    ours = [name for name in vars(metric_writers.MetricWriter) if not name.startswith("_")]
    assert len(ours) == 4
    for name in ours:
        code = getattr(metric_writers.MetricWriter, name).__code__
        assert [a.arg for a in clu[name].args.args] == list(code.co_varnames[: code.co_argcount])
