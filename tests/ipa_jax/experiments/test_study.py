"""From rows to records: which runs there are, which records are taken, and why a row has none."""

import pytest

from ipa_jax.experiments import records, runs
from ipa_jax.experiments.records import Record, RecordError
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.study import Row, Study
from ipa_jax.experiments.worlds import World
from tests.helpers.made_records import record

FULL, FROZEN = Row("full", "Full"), Row("frozen", "Frozen", other_resnet=True)


def study(folder, seeds=(0, 1, 2), **more):
    return Study(folder, folder / "records", [(World(seed, 20, 40), seed) for seed in seeds], "tiny", **more)


def test_frozen_resnets_come_from_the_next_world(tmp_path):
    made = study(tmp_path).runs_of([FULL, FROZEN], {"batch.packs": 2})
    full, frozen = ([run for run in made if run.name == name] for name in ("full", "frozen"))
    assert [(run.world.seed, run.resnet.world.seed) for run in frozen] == [(0, 1), (1, 2), (2, 0)]
    assert [run.resnet for run in frozen] == [full[number] for number in (1, 2, 0)]
    assert all(run.resnet is None for run in full)
    (alone,) = study(tmp_path, [4]).runs_of([FROZEN])
    assert alone.world == World(4, 20, 40) and alone.resnet.world == World(5, 20, 40)


def test_the_fields_of_a_row_come_over_the_shared_ones(tmp_path):
    (made,) = study(tmp_path, [0]).runs_of([Row("x", "X", fields={"batch.packs": 3})], {"batch.packs": 2, "seed": 1})
    assert made.fields == {"batch.packs": 3, "seed": 1}


def test_rows_that_were_not_asked_for_keep_their_records(tmp_path, monkeypatch):
    """A row that lacks a world is left out: it would be compared on other accounts."""
    here = study(tmp_path, (0, 1))
    others = [Row(name, name, fields={"batch.packs": n}) for n, name in enumerate(("kept", "half", "none"), 2)]
    every = here.runs_of([FULL, *others])
    asked = []

    def run_all(wanted, *_, **__):
        asked.extend(wanted)
        return {run: record(0.5, world=run.world.seed) for run in wanted}

    def stored(run, folder):
        return record(0.4) if (run.name, run.world.seed) in (("kept", 0), ("kept", 1), ("half", 1)) else None

    monkeypatch.setattr(runs, "run_all", run_all)
    monkeypatch.setattr(runs, "stored", stored)
    found, reasons = here.collect(every, ["full"])
    assert {run.name for run in asked} == {"full"}
    assert {name: list(of_row) for name, of_row in found.items()} == {
        "full": ["seed0/0", "seed1/1"], "kept": ["seed0/0", "seed1/1"]
    }  # fmt: skip
    assert reasons == {"half": "not asked for", "none": "not asked for"}


def test_the_record_of_another_run_is_left_out_unless_it_was_asked_for(tmp_path, capsys):
    here = study(tmp_path, [0])
    stale = Run("x", "full", {"loss.name": "ratio_log"}, World(0, 20, 40), size="tiny")
    records.save(here.records / stale.file, Record("x", stale.definition, {}, {}, {}))
    every = here.runs_of([Row("x", "X")])
    found, reasons = here.collect(every, [])
    assert not found and reasons == {"x": "its record is of another run"}
    assert "run.fields.loss.name" in capsys.readouterr().out
    with pytest.raises(RecordError, match=r"x-seed0\.json.*run\.fields\.loss\.name"):
        here.collect(every)


def test_records_of_the_same_runs_are_taken_from_other_tables(tmp_path):
    mine, same, other = Run("full", "full"), Run("log_likes", "log_likes"), Run("ours", "ours")
    for run, definition in ((same, same.definition), (other, Run("ours", "full").definition)):
        records.save(tmp_path / "tables" / run.file, Record(run.name, definition, {}, {"accuracy": 0.5}, {}))
    here, folders = study(tmp_path), [tmp_path / "nothing", tmp_path / "tables"]
    assert here.take([mine, same, other], folders) == ["log_likes-seed0.json"]
    assert records.load(tmp_path / "records/log_likes-seed0.json").figures == {"accuracy": 0.5}
    assert here.take([mine, same, other], folders) == []
