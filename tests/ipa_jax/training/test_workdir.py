"""The files of a run's folder, and the refusal to resume in it with another config."""

import json

import numpy as np
import polars as pl
import pytest

from configs import full
from ipa_jax.metrics import score_files
from ipa_jax.metrics.score_files import ScoresError
from ipa_jax.training import workdir as workdirs
from ipa_jax.training.workdir import WorkdirError
from tests.helpers.damage import require_noticed
from third_party_ports import seals

PARAMS = {"head": {"kernel": np.ones((4, 1), np.float32), "bias": np.zeros(1, np.float32)}}


@pytest.fixture
def started(tmp_path):
    config = full.get_config("tiny")
    workdirs.start(config, PARAMS, tmp_path / "run")
    (tmp_path / "run/checkpoints/5").mkdir(parents=True)
    return config, tmp_path / "run"


def test_a_run_that_saved_no_step_is_none(started):
    config, workdir = started
    (workdir / "checkpoints/5").rmdir()
    config.seed = 1
    assert workdirs.finished(config, workdir) is None


def test_a_fresh_folder_holds_nothing(tmp_path):
    assert workdirs.finished(full.get_config("tiny"), tmp_path) is None


def test_a_run_is_finished_once_its_results_are_there(started):
    config, workdir = started
    assert workdirs.finished(config, workdir) is None
    scores = pl.DataFrame({"z": [0.25, 0.5]})
    workdirs.finish({"test": {"accuracy": 0.75}}, {"test": scores}, workdir)
    assert workdirs.finished(config, workdir) == {"test": {"accuracy": 0.75}}
    assert pl.read_parquet(workdir / "scores-test.parquet").equals(scores)
    names = {"checkpoints", "config.json", "parameters.txt", "results.json", "scores-test.parquet"}
    assert {file.name for file in workdir.iterdir()} == names


@pytest.mark.parametrize(
    "field, value, old",
    [("seed", 1, "0"), ("loss.name", "ratio_log", "'ratio_share'"), ("data.retrieval.k", 3, "5"),
     ("model.swin.depths", (1, 1), r"\[1\]"), ("optim.groups.swin_plain.learning_rate", 0.5, "0.0015")],
)  # fmt: skip
def test_another_config_is_refused_by_field_and_both_values(started, field, value, old):
    config, workdir = started
    set_field(config, field, value)
    shown = list(value) if isinstance(value, tuple) else value
    with pytest.raises(WorkdirError, match=rf"config\.{field}: there {old}, here ") as error:
        workdirs.finished(config, workdir)
    assert (
        f"here {shown!r}" in str(error.value) and "--workdir" in str(error.value) and str(workdir) in str(error.value)
    )


@pytest.mark.parametrize(("part", "field", "here"), [(None, "seed", 3), ("eval", "part", 500)])
def test_a_field_that_an_earlier_version_lacked_counts_as_what_it_did(started, part, field, here):
    config, workdir = started
    stored = workdirs.read_config(workdir)
    (stored[part] if part else stored).pop(field)
    seals.write_json(workdir / "config.json", stored)
    assert workdirs.finished(config, workdir) is None  # it is the same run, which has not ended
    set_field(config, f"{part}.{field}" if part else field, here)
    with pytest.raises(WorkdirError, match=rf"{field}: there 0, here {here}"):
        workdirs.finished(config, workdir)


def set_field(config, field, value):
    *sections, last = field.split(".")
    for section in sections:
        config = config[section]
    config[last] = value


def test_what_changes_no_metric_may_change(started):
    config, workdir = started
    for field in workdirs.FREE:
        old = workdirs.flat(config)[field]
        set_field(config, field, old + 1 if isinstance(old, int | float) else "other")
    assert workdirs.finished(config, workdir) is None


SCORES = pl.DataFrame(
    {"account": ["a", "a"], "record": [0, 0], "image_id": ["i", "j"], "post_id": ["i", "j"], "likes": [3, 9],
     "z": [0.25, -1.5]}, schema_overrides={"record": pl.Int32}
)  # fmt: skip
READS = {
    "results.json": (workdirs.read_results, WorkdirError),
    "config.json": (workdirs.read_config, WorkdirError),
    "scores-test.parquet": (lambda workdir: workdirs.read_scores(workdir, "test").rows(), ScoresError),
}


@pytest.fixture
def ended(started):
    _, workdir = started
    workdirs.finish({"test": {"accuracy": 0.75}, "steps": 3}, {"test": SCORES}, workdir)
    return workdir


@pytest.mark.parametrize("name", READS)
def test_damage_is_noticed_and_the_remedy_keeps_the_checkpoints(ended, name):
    read, kind = READS[name]
    require_noticed(ended / name, lambda: read(ended), kind, lambda a, b: a == b)
    (ended / name).unlink()
    with pytest.raises(kind, match=rf"{name} is missing; delete .* run the same ipa-jax train"):
        read(ended)


def test_a_json_file_of_something_else_is_no_config(ended):
    (ended / "config.json").write_text("{}")
    with pytest.raises(WorkdirError, match=r"config\.json is damaged .*model"):
        workdirs.read_config(ended)


def test_scores_of_another_split_or_run_are_noticed(ended):
    scores = ended / "scores-test.parquet"
    score_files.save(SCORES.with_columns(z=-pl.col("z")), scores)
    with pytest.raises(ScoresError, match=r"scores-test\.parquet is damaged .*results\.json"):
        workdirs.read_scores(ended, "test")
    seals.write_json(ended / "results.json", workdirs.read_results(ended))  # as an earlier version did
    assert len(workdirs.read_scores(ended, "test")) == len(SCORES)


def test_files_of_before_are_read_with_a_warning_each(ended, capsys):
    expected = [read(ended) for read, _ in READS.values()]
    for name in ("results.json", "config.json"):
        stored = json.loads((ended / name).read_text())
        (ended / name).write_text(
            json.dumps({key: stored[key] for key in stored if key not in (seals.FIELD, "sha256")})
        )
    SCORES.write_parquet(ended / "scores-test.parquet")
    assert [read(ended) for read, _ in READS.values()] == expected
    assert capsys.readouterr().err.count("warning: ") == 3


@pytest.mark.parametrize("scores", [SCORES.drop("z"), SCORES.cast({"z": str}), SCORES.cast({"likes": float})])
def test_scores_of_another_form_are_named(tmp_path, scores):
    scores.write_parquet(tmp_path / "scores-test.parquet")
    with pytest.raises(ScoresError, match=r"scores-test\.parquet is damaged .*(z|likes)"):
        workdirs.read_scores(tmp_path, "test")


def test_flat_names_every_leaf():
    flat = workdirs.flat(full.get_config())
    assert flat["model.swin.width"] == 128 and flat["optim.groups.swin_plain.decay"] is False
    assert flat["data_dir"] is None and flat["seed"] == 0
    assert not any(hasattr(value, "items") for value in flat.values())


def test_the_overview_lists_every_leaf(tmp_path):
    workdirs.start(full.get_config("tiny"), PARAMS, tmp_path)
    text = (tmp_path / "parameters.txt").read_text()
    assert "head/kernel" in text and "head/bias" in text and "(4, 1)" in text and "Total: 5" in text


def test_other_data_under_the_same_checkpoints_is_refused(tmp_path):
    fresh = {"step": 0, "seconds": 0.0, "seed": 0, "data": "7a"}
    stored = fresh | {"step": 12, "seconds": 3.5}
    assert workdirs.same_data(fresh, stored, tmp_path) == stored
    with pytest.raises(WorkdirError, match=r"data 8b, now 7a.*new --workdir"):
        workdirs.same_data(fresh, stored | {"data": "8b"}, tmp_path)
