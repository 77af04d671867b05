"""Checkpoints of a run (best and latest, with the data position) through orbax; they survive kill -9 at any moment."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import cache
from logging import LogRecord, getLogger
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import multihost

from ipa_jax.training.state import TrainState
from third_party_ports import disks
from third_party_ports.reading import json_object

LATEST = 2  # how many of the last checkpoints are kept: the one before the last stands in where the last is damaged
BEFORE = {"step", "seconds", "seed", "data"}  # the fields of a position that an earlier version wrote
OURS = {"best", "shapes", "leaves", "sha256"}  # what this file adds to a position


class CheckpointError(ValueError):
    """The checkpoints of a workdir cannot be used; the message names the folder and what to do."""


class Best(NamedTuple):
    """The step of highest validation accuracy so far; of equal ones the latest."""

    step: int
    accuracy: float


class _Damaged(Exception):
    """A checkpoint that does not hold what was saved; the message says in what."""


class Checkpoints:
    """The checkpoints under `<workdir>/checkpoints`: the latest two, to resume from, and the best by validation
    accuracy.

    Saving is asynchronous; `check` raises what a save in the background ran into. An unfinished save is never listed
    (orbax renames), so a killed run resumes from the one before. The data position beside the state says which step is
    best, and holds a sha256 of the state's leaves and one of itself: both are compared before anything is believed.
    """

    def __init__(self, workdir: Path):
        options = ocp.CheckpointManagerOptions(preservation_policy=_Keep(lambda: self._best))
        _quiet()
        self._folder = (workdir / "checkpoints").absolute()
        self._best: Best | None = None
        self._saving = self._warned = False
        with disks.writing(self._folder):
            self._drop_damaged_notes()
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, step: int, state: TrainState, position: dict, accuracy: float | None) -> None:
        """Begins to save a step that is not saved yet.

        Args:
          step: of the state.
          state: on the host.
          position: where the data stand, as JSON.
          accuracy: on the validation split; None: not evaluated, never best.

        Raises:
          DiskError: the disk is full or may not be written into. A save in the background raises it from `check`.
        """
        if step in self._manager.all_steps():
            return
        self.evaluated(step, accuracy)
        told = position | {
            "best": self._best and self._best._asdict(),
            "shapes": _shapes(state),
            "leaves": _leaves(state),
        }
        told["sha256"] = _digest(told)
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(told))
        with self._told():
            self._manager.save(step, args=args)
        self._saving = True

    def evaluated(self, step: int, accuracy: float | None) -> None:
        """Makes a step, which is saved or is about to be, the best one if it is. None: it was not evaluated."""
        if accuracy is not None and (self._best is None or accuracy >= self._best.accuracy):
            self._best = Best(step, accuracy)

    def check(self) -> None:
        """Raises DiskError, or what orbax raised, where a save in the background failed. Cheap enough for each step."""
        if self._saving and not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Waits for a save that is under way. Raises as `check`."""
        with self._told():
            self._manager.wait_until_finished()
        self._saving = False

    def latest(self, like: TrainState) -> tuple[TrainState, dict] | None:
        """(state on the host, data position) of the latest intact checkpoint; None where there is none at all.

        A damaged one, and one whose best step is lost or damaged, is passed over with a warning and set aside in
        `<workdir>/damaged_checkpoints`: the run saves that step again.

        Raises:
          CheckpointError: no checkpoint is intact, or they are of another model than `like`.
        """
        self.wait()
        passed: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                state, position, best = self._read(step, like)
                if best and best.step != step:
                    self._require_best(best.step, like)
            except _Damaged as damage:
                passed[step] = str(damage)
                continue
            self._best = best
            if passed:
                logging.warning("%s; the run resumes from step %d", self._list(passed), step)
                self._set_aside(passed)
            return state, position
        if passed:
            raise CheckpointError(
                f"{self._list(passed)}; none is intact: put back a copy of the folder, or delete "
                f"{self._folder.parent} to train again"
            )
        return None

    def best(self, like: TrainState) -> TrainState:
        """The state of the best step, on the host. Raises CheckpointError where it is lost or damaged."""
        self.wait()
        assert self._best is not None, "the last step is evaluated and saved, so a best one exists"
        try:
            return self._read(self._best.step, like)[0]
        except _Damaged as damage:
            raise CheckpointError(
                f"{self._folder / str(self._best.step)}: {damage}. It is the best checkpoint of the run: put back a "
                f"copy of the folder, or delete {self._folder.parent} to train again"
            ) from damage

    def close(self) -> None:
        """Waits for a save that is under way, and ends orbax's threads. Raises as `check`."""
        self.wait()
        self._manager.close()

    def _set_aside(self, steps: Iterable[int]) -> None:
        """Moves checkpoints to `<workdir>/damaged_checkpoints`, so that their steps can be saved again."""
        aside = self._folder.with_name("damaged_checkpoints")
        with disks.writing(aside):
            for step in steps if jax.process_index() == 0 else ():
                shutil.rmtree(aside / str(step), ignore_errors=True)
                aside.mkdir(exist_ok=True)
                (self._folder / str(step)).rename(aside / str(step))
        multihost.sync_global_processes("ipa_jax:damaged_checkpoints")
        self._manager.reload()

    def _drop_damaged_notes(self) -> None:
        """Deletes notes of orbax that nothing here needs, where they are damaged: orbax would not open the folder."""
        for notes in self._folder.glob("*/_CHECKPOINT_METADATA"):
            try:
                json_object(notes.read_bytes())
            except ValueError:
                logging.warning("%s is damaged; it is deleted, as nothing needs it", notes)
                notes.unlink(missing_ok=True)

    def _list(self, passed: dict[int, str]) -> str:
        return "; ".join(f"{self._folder / str(step)}: {reason}" for step, reason in passed.items())

    def _told(self) -> AbstractContextManager[None]:
        return disks.writing(self._folder, self._remove_temporaries)

    def _remove_temporaries(self) -> None:
        for folder in self._folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _require_best(self, step: int, like: TrainState) -> None:
        """Raises _Damaged where the step that a checkpoint names as the best cannot be read."""
        try:
            self._read(step, like)
        except _Damaged as damage:
            raise _Damaged(f"its best step {step} is lost ({damage})") from damage

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, dict, Best | None]:
        """(state on the host, data position, best step so far). Raises _Damaged, CheckpointError (another model)."""
        told = self._position(step)
        sealed = "sha256" in told
        if sealed and told["shapes"] != _shapes(like):
            raise self._other_model(step)
        if not (self._folder / str(step) / "state").is_dir():
            raise _Damaged("state/ is missing")
        abstract = jax.tree.map(ocp.tree.to_shape_dtype_struct, like)
        try:
            stored: Any = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))
            state = jax.tree.map(np.asarray, stored.state)
        except Exception as error:  # tensorstore, zstd, JSON and orbax have classes of their own
            if told_by_disk := disks.explain(error):
                raise disks.DiskError(told_by_disk) from error
            if not sealed and isinstance(error, ValueError):  # nothing tells damage from another model
                raise self._other_model(step) from error
            raise _Damaged(f"damaged: state/ cannot be read ({_first_line(error)})") from error
        if sealed and told["leaves"] != _leaves(state):
            raise _Damaged("damaged: state/ holds other numbers than were saved")
        numbers = {"the folder": step, "the state": int(state.step), "the data position": told["step"]}
        if len(set(numbers.values())) > 1:
            raise _Damaged("of different steps: " + ", ".join(f"{name} {number}" for name, number in numbers.items()))
        if sealed:
            best = told["best"] and Best(**told["best"])
        else:
            best = self._best_of_before()
            if not self._warned:
                logging.warning("%s: saved by an earlier version, without checksums", self._folder / str(step))
            self._warned = True
        return state, {name: told[name] for name in told if name not in OURS}, best

    def _position(self, step: int) -> dict:
        """The data position of a step, as it was saved. Raises _Damaged."""
        folder = self._folder / str(step)
        if not folder.is_dir():
            raise _Damaged("missing")
        if not any(folder.iterdir()):
            raise _Damaged("an empty folder")
        if not (folder / "data").is_dir():
            raise _Damaged("the data position (data/) is missing")
        try:
            stored: Any = self._manager.restore(step, args=ocp.args.Composite(data=ocp.args.JsonRestore()))
            told = stored.data
        except Exception as error:
            if told_by_disk := disks.explain(error):
                raise disks.DiskError(told_by_disk) from error
            raise _Damaged(f"damaged: the data position (data/) cannot be read ({_first_line(error)})") from error
        if not isinstance(told, dict) or not told.keys() >= BEFORE:
            raise _Damaged("damaged: the data position (data/) lacks a field")
        sealed = {name: value for name, value in told.items() if name != "sha256"}
        if told.keys() != BEFORE and told.get("sha256") != _digest(sealed):
            raise _Damaged("damaged: the data position (data/) is not the one that was saved")
        return told

    def _best_of_before(self) -> Best | None:
        """The best of the checkpoints of an earlier version, which has its accuracy beside each of them."""
        found = []
        for step in sorted(self._manager.all_steps()):
            with suppress(OSError, ValueError, KeyError, TypeError):
                metrics = json.loads((self._folder / str(step) / "metrics" / "metrics").read_text())
                found.append(Best(step, float(metrics["validation_accuracy"])))
        return max(found, key=lambda best: (best.accuracy, best.step), default=None)

    def _other_model(self, step: int) -> CheckpointError:
        return CheckpointError(
            f"{self._folder / str(step)} holds another model than the config's: take a new --workdir, or delete this "
            "one"
        )


class _Keep:
    """orbax's policy: the latest checkpoints and the best one stay."""

    def __init__(self, best: Callable[[], Best | None]):
        self._best = best

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Whether each checkpoint stays, in order of steps."""
        steps, best = [checkpoint.step for checkpoint in checkpoints], self._best()
        kept = {*sorted(steps)[-LATEST:], best.step if best else None}
        return [step in kept for step in steps]


@cache
def _quiet() -> None:
    """What orbax logs is in the errors that it raises, which `Checkpoints` tells in a line; its tracebacks say no more.

    A read that fails ends orbax's event loop while tensorstore still reports to it, each time with a traceback. Where
    several leaves cannot be written, one of the errors is raised and asyncio logs the others.
    """
    logging.get_absl_logger().addFilter(lambda record: "/orbax/" not in record.pathname)
    getLogger("asyncio").addFilter(_not_of_the_disk)
    before = sys.unraisablehook
    sys.unraisablehook = lambda told: None if "Event loop is closed" in str(told.exc_value) else before(told)


def _not_of_the_disk(record: LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return error is None or disks.explain(error) is None


def _named(state: TrainState) -> dict[str, Any]:
    """ "path dtype shape" -> leaf, in the tree's order."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}": leaf for path, leaf in leaves}


def _shapes(state: TrainState) -> str:
    """The sha256 of the names, dtypes and shapes of all leaves."""
    return hashlib.sha256("\n".join(_named(state)).encode()).hexdigest()


def _leaves(state: TrainState) -> str:
    """The sha256 of the sha256 of each leaf's bytes."""
    leaves = [np.ascontiguousarray(leaf).reshape(-1).view(np.uint8) for leaf in _named(state).values()]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda leaf: hashlib.sha256(leaf.data).digest(), leaves)
        return hashlib.sha256(b"".join(digests)).hexdigest()


def _digest(told: dict) -> str:
    """The sha256 of a data position."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
