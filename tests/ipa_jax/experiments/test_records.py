"""Records of runs: what is stored comes back, what is not this run's is refused by the name of its field."""

import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ipa_jax.experiments import records
from ipa_jax.experiments.records import Record, RecordError
from ipa_jax.experiments.runs import Run
from ipa_jax.experiments.worlds import World
from ipa_jax.metrics import split_metrics
from ipa_jax.training import workdir
from tests.helpers.damage import require_noticed
from tests.helpers.paths import ROOT
from third_party_ports import seals


def frame(seed=0, accounts=12, posts_of_two=False):
    rng, rows = np.random.default_rng(seed), []
    for account in range(accounts):
        for group in range(2):
            record = 2 * account + group
            for number in range(4):
                post = number // 2 if posts_of_two else number
                likes = int(rng.integers(1, 999)) if not posts_of_two or number % 2 == 0 else rows[-1][4]
                rows.append((f"u{account}", record, f"i{number}", f"p{record}-{post}", likes, rng.normal()))
    return pl.DataFrame(rows, schema=["account", "record", "image_id", "post_id", "likes", "z"], orient="row")


def record(scores, **changes):
    figures = {"accuracy": 0.5, "rescale_factor": 2.0}
    run = {"config": "full", "fields": {"model.depths": (1, 2)}, "seed": 0}
    made = Record("full", records.plain(run), {"loss.name": "a"}, figures, records.compact(scores), seconds=1.5)
    return replace(made, **changes)


@pytest.mark.parametrize("posts_of_two", [False, True])
def test_a_stored_record_gives_the_metrics_of_the_scores_it_was_made_from(tmp_path, posts_of_two):
    scores = frame(posts_of_two=posts_of_two)
    records.save(tmp_path / "new" / "full.json", record(scores, extra={"note": [1, None]}))
    loaded = records.load(tmp_path / "new" / "full.json")
    assert loaded == record(scores, extra={"note": [1, None]})
    again = records.scores(loaded)
    np.testing.assert_allclose(again["z"], scores["z"], rtol=1e-5)
    old, new = (split_metrics.evaluate(s, 2.0, draws=50) for s in (scores, again))
    assert old["pairs"] == new["pairs"] and old["accuracy"] == new["accuracy"]
    np.testing.assert_allclose(
        [old["ratio_mse"], *old["plcc_interval"]], [new["ratio_mse"], *new["plcc_interval"]], 1e-4
    )
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["full.json"]


def test_a_record_is_small_and_read_line_by_line(tmp_path):
    records.save(tmp_path / "r.json", record(frame()))
    text = (tmp_path / "r.json").read_text()
    assert len(text) < 20 * 100 + 1500
    assert '   "0": [[' in text  # a line per group
    assert len(json.loads(text)["scores"]) == 12


def test_what_is_not_there_is_none_and_what_is_none_is_an_error(tmp_path):
    file = tmp_path / "r.json"
    assert records.load(file) is None
    for text in ("{", "[]", '{"name": "x"}'):
        file.write_text(text)
        with pytest.raises(RecordError, match=r"r\.json.*delete it"):
            records.load(file)
    file.write_text('{"digest": "0", "colour": 1}')
    with pytest.raises(RecordError, match=r"r\.json: .*does not know \(colour\)"):
        records.load(file)


def test_an_edited_definition_is_noticed(tmp_path):
    records.save(tmp_path / "r.json", record(frame()))
    text = (tmp_path / "r.json").read_text().replace('"seed": 0', '"seed": 1')
    for content in (
        text,
        seals.sealed(re.sub("[0-9a-f]{64}", "0" * 64, text).encode()).decode(),
    ):  # without and with a new checksum
        (tmp_path / "r.json").write_text(content)
        with pytest.raises(RecordError, match=r"r\.json is damaged \(.*(checksum|digest)"):
            records.load(tmp_path / "r.json")


def test_damage_is_noticed(tmp_path):
    file = tmp_path / "r.json"
    records.save(file, record(frame()))
    require_noticed(file, lambda: records.load(file), RecordError, lambda a, b: a == b)


def test_a_record_of_before_is_read_with_one_warning(tmp_path, capsys):
    file = tmp_path / "r.json"
    records.save(file, record(frame()))
    expected, stored = records.load(file), json.loads(file.read_text())
    del stored[seals.FIELD]
    file.write_text(json.dumps(stored))
    assert [records.load(file) for _ in range(2)] == [expected] * 2
    assert capsys.readouterr().err.count("warning: ") == 1


@pytest.mark.parametrize("name", ["run", "scores", "figures"])
def test_a_field_of_another_type_is_named(tmp_path, name):
    file = tmp_path / "r.json"
    records.save(file, record(frame()))
    seals.write_json(file, json.loads(file.read_text()) | {name: [1]})
    with pytest.raises(RecordError, match=name):
        records.load(file)


def test_every_record_of_the_documentation_has_its_checksum():
    files = sorted((ROOT / "docs/runs").rglob("*.json"))
    assert len(files) > 100
    for file in files:
        assert seals.check(file, RecordError, records.REMEDY, ours=False), file


@pytest.mark.parametrize("folder", ["tables", "choices", "protocols"])
def test_every_record_of_the_documentation_is_of_the_run_that_its_command_wants(folder):
    """A default that changes makes the pages' records unusable, unless it is among workdir.FREE."""
    for file in sorted((ROOT / "docs/runs" / folder).glob("*.json")):
        found = records.load(file)
        if "config" not in found.run or "plant" in found.run["world"]:
            continue
        world = World(found.run["world"]["seed"], found.run["world"]["accounts"], found.run["world"]["posts"])
        more = {"resnet": Run("full", "full", world=world.next)} if "resnet" in found.run else {}
        run = Run(found.name, found.run["config"], found.run["fields"], world, found.run["seed"], **more)
        wanted = run.definition | {"world": found.run["world"]}
        records.require_same(file, found, wanted, workdir.flat(run.resolved), workdir.FREE)


def test_another_run_is_named_by_its_field(tmp_path):
    stored, file = record(frame(), config={"loss.name": "a", "free": 1, "gone": 3}), tmp_path / "r.json"
    same = {"loss.name": "a", "free": 2, "new": 5}
    records.require_same(file, stored, stored.run, same, ("free",))
    with pytest.raises(RecordError, match=r"run\.seed is 0 there and 1 here.*--overwrite"):
        records.require_same(file, stored, stored.run | {"seed": 1}, same, ("free",))
    with pytest.raises(RecordError, match=r"config\.loss\.name is 'a' there and 'b' here"):
        records.require_same(file, stored, stored.run, same | {"loss.name": "b"}, ("free",))


def test_the_digest_knows_values_and_not_the_order():
    assert records.digest({"a": 1, "b": (1, 2)}) == records.digest({"b": [1, 2], "a": 1})
    assert records.digest({"a": 1}) != records.digest({"a": 2})


def test_pooled_seeds_of_one_world_keep_their_accounts_and_worlds_do_not():
    a, b = record(frame(0)), record(frame(0), figures={"accuracy": 0.5, "rescale_factor": None})
    pooled = records.pooled([("w0", a), ("w0", b), ("w1", a)])
    assert pooled["account"].n_unique() == 24 and pooled["record"].n_unique() == 72
    figures = split_metrics.evaluate(pooled, 2.0, draws=0)
    one = split_metrics.evaluate(records.scores(a), 2.0, draws=0)
    assert figures["pairs"] == 3 * one["pairs"] and figures["accuracy"] == pytest.approx(one["accuracy"])
    scaled = records.pooled([("w0", a), ("w0", b)], rescaled=True)["z"].to_numpy()
    z = records.scores(a)["z"].to_numpy()
    np.testing.assert_allclose(scaled, np.concatenate([2 * z, z]))
