"""One part of a batch: the protocol that every part follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    pass


Batch = dict[str, np.ndarray]


class Part(Protocol):
    """One part, made as Part(dataset, config, **needs) with what `make` lists."""

    def empty(self, slots: int) -> Batch:
        """Its keys for empty slots."""

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        """Writes the images `positions` [n] of a group into `slots` [n]; random draws are keyed by the seed, the step
        and batch["slot"]. Raises ValueError naming what cannot be read."""
