"""Checkpoints: what is kept, and what a damaged, lost or edited one does. Another number is never believed."""

import asyncio
import gc
import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ipa_jax.training.checkpoints import CheckpointError, Checkpoints
from ipa_jax.training.state import TrainState
from third_party_ports.disks import DiskError

ACCURACY = {5: 0.6, 10: 0.5, 15: 0.4, 20: None}  # by step; None: saved between two evaluations


def state(step: int, width: int = 3) -> TrainState:
    leaf = np.random.default_rng(step).random((width, 40), np.float32)
    return TrainState(
        step=np.array(step, np.int32), params={"a": {"kernel": leaf}}, batch_stats={}, ema_params={}, opt_state=(leaf,)
    )


def position(step: int) -> dict:
    return {"step": step, "seconds": 1.5, "seed": 0, "data": "abc"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(workdir)
    for step, accuracy in ACCURACY.items():
        checkpoints.save(step, state(step), position(step), accuracy)
        checkpoints.wait()
    checkpoints.close()
    return workdir


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """The folder of checkpoints of a workdir of its own."""
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run/checkpoints"


def steps(folder: Path) -> set[int]:
    return {int(entry.name) for entry in folder.iterdir()}


def resumed(folder: Path) -> int:
    """The step that a run resumes from; its numbers are those that were saved, and its best step is the best."""
    checkpoints = Checkpoints(folder.parent)
    found = checkpoints.latest(state(0))
    assert found is not None
    at, told = found
    step = int(at.step)
    jax.tree.map(np.testing.assert_array_equal, at, state(step))
    assert told == position(step)
    assert int(checkpoints.best(state(0)).step) == 5
    checkpoints.close()
    return step


def test_the_latest_two_and_the_best_are_kept(folder):
    assert steps(folder) == {5, 15, 20}
    assert resumed(folder) == 20


def test_of_equal_accuracies_the_latest_is_best(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, accuracy in ((1, 0.5), (2, 0.5), (3, 0.4), (4, None)):
        checkpoints.save(step, state(step), position(step), accuracy)
    assert int(checkpoints.best(state(0)).step) == 2
    checkpoints.close()
    assert steps(tmp_path / "checkpoints") == {2, 3, 4}


def test_a_workdir_without_checkpoints_has_none(tmp_path):
    assert Checkpoints(tmp_path).latest(state(0)) is None


def edit(file: Path, **changes) -> None:
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | changes))


def empty(step: Path) -> None:
    shutil.rmtree(step)
    step.mkdir()


def another_state(step: Path) -> None:
    shutil.rmtree(step / "state")
    shutil.copytree(step.parent / "15/state", step / "state")


def cut(step: Path) -> None:
    for file in (step / "state").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:20])


DAMAGES = {
    "no state": (lambda step: shutil.rmtree(step / "state"), "state/ is missing"),
    "no position": (lambda step: shutil.rmtree(step / "data"), "data/"),
    "empty": (empty, "empty"),
    "edited step": (lambda step: edit(step / "data/metadata", step=15), "data position"),
    "edited seconds": (lambda step: edit(step / "data/metadata", seconds=9.0), "data position"),
    "edited best": (lambda step: edit(step / "data/metadata", best={"step": 15, "accuracy": 1.0}), "data position"),
    "no JSON": (lambda step: (step / "data/metadata").write_bytes(b"{\xff"), "data position"),
    "another step's state": (another_state, "damaged"),
    "no arrays": (lambda step: shutil.rmtree(step / "state/d"), "damaged"),
    "cut arrays": (cut, "damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_stands_in(name, folder, caplog):
    damage, words = DAMAGES[name]
    damage(folder / "20")
    assert resumed(folder) == 15
    assert f"{folder}/20" in caplog.text and words in caplog.text and "resumes from step 15" in caplog.text
    assert (folder.parent / "damaged_checkpoints/20").is_dir()
    checkpoints = Checkpoints(folder.parent)  # the run comes to that step again
    assert checkpoints.latest(state(0))
    checkpoints.save(20, state(20), position(20), None)
    checkpoints.close()
    assert resumed(folder) == 20


@pytest.mark.parametrize("content", [b"[]", b"3", b"", b"\xff"])
def test_damaged_notes_of_orbax_do_no_harm(content, folder, caplog):
    (folder / "5/_CHECKPOINT_METADATA").write_bytes(content)
    assert resumed(folder) == 20
    assert f"{folder}/5/_CHECKPOINT_METADATA is damaged" in caplog.text


def test_a_step_in_another_steps_folder_is_not_believed(folder, caplog):
    shutil.copytree(folder / "5", folder / "25")
    assert resumed(folder) == 20
    assert f"{folder}/25" in caplog.text and "different steps" in caplog.text


@pytest.mark.parametrize("lose", [shutil.rmtree, empty, lambda step: shutil.rmtree(step / "state")])
def test_a_lost_best_step_is_an_error_with_a_remedy(lose, folder):
    lose(folder / "5")
    with pytest.raises(CheckpointError, match=r"best step 5 is lost.*put back a copy.*delete"):
        Checkpoints(folder.parent).latest(state(0))
    assert steps(folder) >= {15, 20}  # nothing is thrown away


def test_a_best_step_that_is_lost_in_a_run_is_never_replaced(folder):
    checkpoints = Checkpoints(folder.parent)
    checkpoints.latest(state(0))
    shutil.rmtree(folder / "5/state")
    with pytest.raises(CheckpointError, match=rf"{folder}/5.*best"):
        checkpoints.best(state(0))


def test_another_model_is_told_apart_from_damage(folder):
    with pytest.raises(CheckpointError, match=r"another model.*--workdir") as error:
        Checkpoints(folder.parent).latest(state(0, width=4))
    assert f"{folder}/20" in str(error.value) and steps(folder) == {5, 15, 20}


def test_single_bits_never_become_other_numbers(saved, tmp_path):
    rng, files = random.Random(0), [file for file in saved.rglob("20/**/*") if file.is_file() and file.stat().st_size]
    for trial in range(40):
        shutil.copytree(saved, tmp_path / str(trial))
        flipped = tmp_path / str(trial) / rng.choice(files).relative_to(saved)
        content = bytearray(flipped.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        flipped.write_bytes(content)
        assert resumed(tmp_path / str(trial) / "checkpoints") in (20, 15)


def test_checkpoints_of_an_earlier_version_are_read_with_one_warning(tmp_path, caplog):
    options = ocp.CheckpointManagerOptions(best_fn=lambda metrics: metrics["validation_accuracy"])
    with ocp.CheckpointManager(tmp_path / "checkpoints", options=options) as manager:
        for step in (5, 20):
            args = ocp.args.Composite(state=ocp.args.StandardSave(state(step)), data=ocp.args.JsonSave(position(step)))
            manager.save(step, args=args, metrics={"validation_accuracy": 0.6 if step == 5 else -1.0})
    assert resumed(tmp_path / "checkpoints") == 20
    assert caplog.text.count("earlier version") == 1


def test_a_failed_save_is_noticed_without_another_save(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1), position(1), 0.5)
    checkpoints.wait()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints._manager, "_finalize_checkpoint", full)  # runs in the background
    checkpoints.save(2, state(2), position(2), None)
    with pytest.raises(DiskError, match=rf"{tmp_path}/checkpoints.*full.*free some space"):
        while True:
            checkpoints.check()
    assert not list(tmp_path.rglob("*tmp*"))


@pytest.mark.parametrize(
    ("error", "logged"), [(ValueError("write failed: No space left on device"), 0), (ValueError("another"), 1)]
)
def test_leaves_that_a_disk_does_not_take_are_not_logged_beside_the_error(tmp_path, caplog, error, logged):
    Checkpoints(tmp_path)

    async def fail():
        raise error

    async def save():
        task = asyncio.ensure_future(fail())
        await asyncio.wait([task])  # as orbax does where another leaf's error came first: nobody asks for this one

    with ThreadPoolExecutor(1) as own:  # this thread may have a loop already, of the browser's tests
        own.submit(asyncio.run, save()).result()
    gc.collect()
    assert len(caplog.records) == logged
