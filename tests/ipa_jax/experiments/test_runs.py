"""Lists of runs: what is made, in which order, how often; the commands themselves are replaced by their files."""

import re
from pathlib import Path

import polars as pl
import pytest

from ipa_jax.experiments import records, runs, worlds
from ipa_jax.experiments.commands import StageError
from ipa_jax.experiments.records import RecordError
from ipa_jax.experiments.runs import Run, run_all
from ipa_jax.experiments.worlds import World
from ipa_jax.metrics import score_files
from ipa_jax.training import workdir as workdirs
from third_party_ports import seals

WORLD = World(0, 20, 40)


@pytest.fixture
def commands(monkeypatch):
    """The list of commands run; each leaves the files of a finished command."""
    calls = []

    def command(name, *arguments):
        calls.append((name, arguments))
        flags = dict(a.removeprefix("--").split("=", 1) for a in arguments if "=" in a)
        if name == "demo-world":
            folder = Path(flags["out"])
            folder.mkdir(parents=True)
            (folder / "world.json").write_text("{}")
        elif name == "build":
            folder = Path(flags["data_dir"])
            folder.mkdir(parents=True)
            (folder / "dataset_info.json").write_text("{}")
        else:
            folder = Path(flags["workdir"])
            (folder / "checkpoints" / "1").mkdir(parents=True)
            config = next(run for run in command.runs if run.workdir(folder.parents[1]) == folder).resolved
            config = config.copy_and_resolve_references()
            for field in ("data_dir", "init.resnet"):
                if f"config.{field}" in flags:
                    config.update_from_flattened_dict({field: flags[f"config.{field}"]})
            seals.write_json(folder / "config.json", config.to_dict())
            columns = {"account": ["a", "a"], "record": [0, 0], "image_id": ["i", "j"], "post_id": ["p", "q"]}
            scores = pl.DataFrame(columns | {"likes": [1, 5], "z": [0.25, 1 / 3]})
            score_files.save(scores, folder / "scores-test.parquet")
            score_files.save(scores.with_columns(likes=pl.Series([7, 2])), folder / "scores-validation.parquet")
            results = {"test": {"accuracy": 0.75}, "steps": 9, "best_step": 8, "parameters": 7, "seconds": 6.0}
            seals.write_json(folder / "results.json", results)

    command.runs = []
    for module in (runs, worlds):
        monkeypatch.setattr(module, "command", command)

    def run(wanted, *more, **options):
        command.runs = [*wanted, *(r.resnet for r in wanted if r.resnet)]
        return run_all(wanted, *more, **options)

    return calls, run


def names(calls):
    return [name for name, _ in calls]


def test_a_world_and_a_data_set_are_made_once_for_all_runs_that_share_them(commands, tmp_path, capsys):
    calls, run = commands
    wanted = [
        Run("full", "full", world=WORLD),
        Run("concat", "full", {"model.fusion": "concat"}, WORLD),
        Run("post", "full", {"data.memory.exclude": "post", "batch.packs": 2}, WORLD),
        Run("full", "full", world=World(1, 20, 40)),
    ]
    found = run(wanted, tmp_path / "made", tmp_path / "records")
    assert names(calls) == ["demo-world", "build", "train", "train", "build", "train", "demo-world", "build", "train"]
    assert list(found) == wanted
    build = calls[4][1]
    assert "--config=full:demo" in build and "--config.data.memory.exclude=post" in build
    assert not any("packs" in flag for flag in build)
    trained = calls[5][1]
    assert {"--config.data.memory.exclude=post", "--config.batch.packs=2", "--config.seed=0"} <= set(trained)
    assert {file.name for file in (tmp_path / "records").iterdir()} == {
        "full-seed0.json", "concat-seed0.json", "post-seed0.json", "full-seed1.json"
    }  # fmt: skip
    kept = found[wanted[1]]
    assert (kept.figures, kept.steps, kept.seconds) == ({"accuracy": 0.75}, 9, 6.0)
    assert kept.config["model.fusion"] == "concat" and kept.run["fields"] == {"model.fusion": "concat"}
    assert kept.scores == {"a": {"0": [[1, 5], [0.25, 0.333333]]}}
    shown = capsys.readouterr().out
    assert "4 runs: 0 done, 4 to do" in shown and "the same command resumes" in shown
    assert re.search(r"3 of 4 runs done, 1 left, \d+ s per run, about \d+ min", shown)


def test_what_is_done_is_not_made_again_even_where_only_the_records_are(commands, tmp_path):
    calls, run = commands
    wanted = [Run("full", "full", world=WORLD), Run("basic", "basic", world=WORLD)]
    run(wanted[:1], tmp_path / "made", tmp_path / "records")
    before = len(calls)
    found = run(wanted, tmp_path / "elsewhere", tmp_path / "records")
    assert names(calls[before:]) == ["demo-world", "build", "train"]  # of basic alone
    assert run(wanted, tmp_path / "third", tmp_path / "records") == found and not (tmp_path / "third").exists()
    assert len(calls) == before + 3


def test_a_finished_workdir_without_a_record_is_taken(commands, tmp_path):
    calls, run = commands
    wanted = [Run("full", "full", world=WORLD)]
    run(wanted, tmp_path / "made", tmp_path / "records")
    before = len(calls)
    run(wanted, tmp_path / "made", tmp_path / "other")
    assert len(calls) == before and (tmp_path / "other/full-seed0.json").is_file()


def test_the_record_of_another_run_is_an_error_before_anything_is_run(commands, tmp_path):
    calls, run = commands
    made, records = tmp_path / "made", tmp_path / "records"
    run([Run("x", "full", world=WORLD)], made, records)
    before = len(calls)
    changed = Run("x", "full", {"loss.name": "ratio_log"}, WORLD)
    with pytest.raises(RecordError, match=r"x-seed0\.json.*run\.fields\.loss\.name.*ratio_log.*--overwrite"):
        run([Run("new", "basic", world=WORLD), changed], made, records)
    assert len(calls) == before
    assert run([changed], made, records, overwrite=True)[changed].run["fields"] == {"loss.name": "ratio_log"}
    assert names(calls[before:]) == ["train"]


def test_a_changed_default_of_a_config_is_an_error_too(commands, tmp_path, monkeypatch):
    _, run = commands
    wanted = [Run("x", "full", world=WORLD)]
    run(wanted, tmp_path / "made", tmp_path / "records")
    monkeypatch.setattr("configs.full._shrink", lambda config, size: config.batch.update({"slots": 7}))
    with pytest.raises(RecordError, match=r"config\.batch\.slots is 48 there and 7 here"):
        run([Run("x", "full", world=WORLD)], tmp_path / "made", tmp_path / "records")


def test_a_frozen_resnet_starts_from_another_run_that_is_made_first(commands, tmp_path, monkeypatch):
    calls, run = commands
    monkeypatch.setattr("ipa_jax.experiments.runs.save_resnet", lambda export, out: out.write_text(str(export)))
    source = Run("full", "full", world=World(1, 20, 40))
    frozen = Run("frozen", "full", {"model.depth.resnet": "frozen"}, WORLD, resnet=source)
    found = run([frozen], tmp_path / "made", tmp_path / "records")
    assert list(found) == [frozen] and names(calls) == ["demo-world", "build", "train"] * 2
    file = source.workdir(tmp_path / "made") / "resnet.safetensors"
    assert f"--config.init.resnet={file}" in calls[-1][1] and file.is_file()
    assert found[frozen].run["resnet"] == source.definition
    run([Run("cached", "full", {"model.depth.resnet": "cached"}, WORLD, resnet=source)], tmp_path / "made",
        tmp_path / "records")  # fmt: skip
    assert names(calls[6:]) == ["train"]


def test_a_tables_own_measurement_is_kept_with_the_run(commands, tmp_path):
    _, run = commands
    asked = []

    def measure(run, workdir, data_dir):
        asked.append((run.name, (workdir / "results.json").is_file(), (data_dir / "dataset_info.json").is_file()))
        return {"sizes": {"5": 0.5}}

    wanted = [Run("full", "full", world=WORLD)]
    for _ in range(2):
        found = run(wanted, tmp_path / "made", tmp_path / "records", measure=measure)
        assert found[wanted[0]].extra == {"sizes": {"5": 0.5}}
    assert asked == [("full", True, True)]


def test_a_failed_stage_leaves_the_records_of_those_before_it(commands, tmp_path, monkeypatch):
    _, run = commands
    working = runs.command

    def failing(name, *arguments):
        if "--config=basic:demo" in arguments and name == "train":
            raise StageError("python -m ipa_jax train")
        working(name, *arguments)

    monkeypatch.setattr(runs, "command", failing)
    with pytest.raises(StageError):
        run([Run("full", "full", world=WORLD), Run("basic", "basic", world=WORLD)], tmp_path / "m", tmp_path / "r")
    assert [file.name for file in (tmp_path / "r").iterdir()] == ["full-seed0.json"]


@pytest.mark.parametrize(
    ("config", "fields"), [("nowhere", {}), ("full", {"model.depht": 1}), ("full", {"batch.slots": "x"})]
)
def test_what_configs_do_not_know_is_named(config, fields, tmp_path):
    with pytest.raises(RecordError, match=rf"run odd: .*{config}"):
        run_all([Run("odd", config, fields, WORLD)], tmp_path, tmp_path)


def test_two_runs_of_one_name_are_refused_and_seeds_of_training_are_not(tmp_path):
    with pytest.raises(RecordError, match=r"x-seed0\.json.*rename one"):
        run_all([Run("x", "full", world=WORLD), Run("x", "basic", world=WORLD)], tmp_path, tmp_path)
    files = [Run("x", "full", world=WORLD, seed=seed).file for seed in (None, 0, 4)]
    assert files == ["x-seed0.json", "x-seed0.json", "x-seed0-training4.json"]


def test_runs_are_equal_by_what_defines_them():
    a, b = (
        Run("x", "full", fields, WORLD) for fields in ({"seed": 0, "batch.packs": 1}, {"batch.packs": 1, "seed": 0})
    )
    assert a == b and len({a, b}) == 1 and a != Run("x", "basic", {"seed": 0, "batch.packs": 1}, WORLD)
    assert World(0, settings={"noise": 0.5}) != World(0) and len({World(0), World(0)}) == 1
    assert records.digest(World(0).definition) == records.digest(World(0).definition)


def test_a_finished_workdir_may_lack_new_fields_but_not_differ(commands, tmp_path):
    _, run = commands
    one = Run("full", "full", world=WORLD)
    run([one], tmp_path / "made", tmp_path / "records")
    workdir = one.workdir(tmp_path / "made")
    stored = workdirs.read_config(workdir)
    del stored["model"]["fusion"]
    seals.write_json(workdir / "config.json", stored)
    assert runs.finished(one.resolved, workdir)
    stored["loss"]["name"] = "ratio_log"
    seals.write_json(workdir / "config.json", stored)
    with pytest.raises(RecordError, match=r"config\.loss\.name is 'ratio_log' there and 'ratio_share' here.*--over"):
        runs.finished(one.resolved, workdir)
    assert not runs.finished(one.resolved, tmp_path / "nowhere")
    assert not runs.finished(one.resolved, workdir, overwrite=True) and not workdir.exists()


def test_a_record_that_another_table_wrote_lacks_what_is_measured(commands, tmp_path):
    _, run = commands
    run([Run("x", "full", world=WORLD)], tmp_path / "made", tmp_path / "records")
    measured = Run("x", "full", world=WORLD, measured=("near",))
    with pytest.raises(RecordError, match=r"x-seed0\.json holds no near.*--records"):
        runs.stored(measured, tmp_path / "records")
    assert runs.stored(measured, tmp_path / "records", overwrite=True) is None
    found = run([measured], tmp_path / "made", tmp_path / "records", overwrite=True, measure=lambda *_: {"near": 1})
    assert found[measured].extra == {"near": 1} == runs.stored(measured, tmp_path / "records").extra
