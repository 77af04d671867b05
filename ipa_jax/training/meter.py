"""What a training run shows as it goes: train metrics, images per second, and the progress bar."""

import time
from collections.abc import Sequence

import jax
import numpy as np
from tqdm import tqdm

from ipa_jax.input.field import Batch
from ipa_jax.training.metric_writers import MetricWriter
from ipa_jax.training.step_metrics import TrainMetrics


class Meter:
    """Train metrics and images per second since the last line of the log, and the progress bar."""

    def __init__(self, writer: MetricWriter, name: str, total: int, start: int, seen: Sequence[float] | None = None):
        """name: of the run; total: its steps; start: those that are done; seen: as `seen` was after them."""
        self._writer, first_process = writer, jax.process_index() == 0
        self._bar = tqdm(total=total, initial=start, desc=name, unit="step", disable=not first_process, mininterval=2)
        self._seen, self._images, self._logged = TrainMetrics.empty(), 0, time.monotonic()
        if seen:
            structure = jax.tree.structure(self._seen)
            self._seen = jax.tree.unflatten(structure, [np.float32(value) for value in seen])

    @property
    def seen(self) -> list[float]:
        """What was counted since the last line of the log, as JSON: float32 values."""
        return [float(value) for value in jax.tree.leaves(self._seen)]

    def add(self, metrics: TrainMetrics, batch: Batch) -> None:
        """Counts one step."""
        self._seen = self._seen.merge(metrics)
        self._images += int(batch["slot_mask"].sum()) * jax.process_count()
        self._bar.update()

    def write(self, step: int) -> None:
        """Writes what was counted, and counts anew."""
        now = time.monotonic()
        rate = self._images / max(now - self._logged, 1e-9)
        scalars = {f"train/{name}": float(value) for name, value in self._seen.compute().items()}
        self._writer.write_scalars(step, scalars | {"train/images_per_second": rate})
        self._seen, self._images, self._logged = TrainMetrics.empty(), 0, now

    def restart_clock(self) -> None:
        """Leaves the time since the last line, which an evaluation took, out of the rate."""
        self._logged = time.monotonic()

    def close(self) -> None:
        """Ends the progress bar."""
        self._bar.close()
