"""Checkpoints of a run (best and latest, with the data position) through orbax; they survive kill -9 at any moment."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from ipa_jax.training.state import TrainState


class Checkpoints:
    """The checkpoints under `<workdir>/checkpoints`: the latest, to resume from, and the best by validation accuracy.

    Saving is asynchronous; a save that failed raises at the next one. An unfinished save is never listed (orbax
    renames), so a killed run resumes from the one before.
    """

    def __init__(self, workdir: Path):
        keep = ocp.checkpoint_managers
        options = ocp.CheckpointManagerOptions(
            best_fn=_accuracy,
            best_mode="max",
            preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(1), keep.BestN(get_metric_fn=_accuracy, n=1)]),
        )
        self._manager = ocp.CheckpointManager((workdir / "checkpoints").absolute(), options=options)

    def save(self, step: int, state: TrainState, position: dict, accuracy: float | None) -> None:
        """state: on the host; position: where the data stand, as JSON; accuracy None: not evaluated, never best."""
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(position)),
            metrics={"validation_accuracy": -1.0 if accuracy is None else accuracy},
        )

    def restore(self, like: TrainState, *, best: bool = False) -> tuple[TrainState, dict] | None:
        """(state on the host, data position) of the latest (or best) checkpoint; None where there is none.

        Raises ValueError where the checkpoint is of another model than `like`.
        """
        self.wait()
        step = self._manager.best_step() if best else self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.tree.to_shape_dtype_struct, like)
        try:
            stored: Any = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract), data=ocp.args.JsonRestore())
            )
        except ValueError as error:
            raise ValueError(
                f"{self._manager.directory / str(step)} holds another model than the config's: take a new --workdir, "
                f"or delete this one ({error})"
            ) from error
        return jax.tree.map(np.asarray, stored.state), stored.data

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def close(self) -> None:
        self.wait()
        self._manager.close()


def _accuracy(metrics: dict) -> float:
    return metrics["validation_accuracy"]
