"""When a run evaluates and when it saves.

At the paper's size the validation split has 71,071 images. Scoring all of them every 2,000 steps costs as much as the
training, so most looks are at a fixed part of the split; the whole split is scored once per `train.full_eval_epochs`
epochs and at the last step, and only these evaluations pick the best checkpoint.
"""

import math
import time
from dataclasses import dataclass

import jax
import numpy as np
import polars as pl
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

WHOLE, PART = "validation", "validation_part"  # what is scored; metrics have this name too


@dataclass(frozen=True)
class Evaluations:
    """Which step is evaluated, on what.

    Attributes:
      total: steps of the run.
      every: steps between two looks.
      part: whether the looks between whole evaluations are at a part of the split.
      whole_every: steps between two evaluations on the whole split, a fraction perhaps; only read where `part` is set.
    """

    total: int
    every: int
    part: bool
    whole_every: float

    @classmethod
    def for_run(cls, config: ConfigDict, total: int) -> "Evaluations":
        """Of a run of `total` steps."""
        whole_every = total / config.train.epochs * config.train.full_eval_epochs
        return cls(total, config.train.eval_every, bool(config.eval.part), whole_every)

    def at(self, step: int) -> str | None:
        """WHOLE, PART, or None: the step (from 1) is not evaluated."""
        looked_at = step % self.every == 0
        if step == self.total or (looked_at and not self.part):
            return WHOLE
        if self.part and math.floor(step / self.whole_every) > math.floor((step - 1) / self.whole_every):
            return WHOLE
        return PART if looked_at else None


class Saves:
    """Which step is saved between the whole evaluations: by steps, by minutes, or by both.

    Args:
      config: `train.checkpoint_every` in steps and `train.checkpoint_minutes`, each 0 for never. The clock is looked at
        every `train.log_every` steps.
    """

    def __init__(self, config: ConfigDict):
        self._every, self._look = config.train.checkpoint_every, config.train.log_every
        self._seconds = 60 * config.train.checkpoint_minutes
        self._saved = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether the step is saved. Several processes agree: the first one's clock counts."""
        if self._every and step % self._every == 0:
            return True
        if not self._seconds or step % self._look:
            return False
        passed = np.float32(time.monotonic() - self._saved)
        if jax.process_count() > 1:
            passed = multihost_utils.broadcast_one_to_all(passed)
        return bool(passed >= self._seconds)

    def saved(self) -> None:
        """Minutes count from now."""
        self._saved = time.monotonic()


def part_of(images: pl.DataFrame, count: int, seed: int) -> np.ndarray:
    """The rows of a fixed part of a split: whole groups, drawn until they hold `count` images.

    Args:
      images: GroupDataset.images.
      count: images; 0, or as many as there are: all rows.
      seed: of the draw.

    Returns:
      i32 [rows], ascending.
    """
    records = images["record"].to_numpy()
    if not count or count >= len(records):
        return np.arange(len(records), dtype=np.int32)
    groups, sizes = np.unique(records, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(groups))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), count)) + 1
    return np.flatnonzero(np.isin(records, groups[order[:enough]])).astype(np.int32)
