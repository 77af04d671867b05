"""One part of a batch: the protocol that every part follows, and which keys only the loss may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ml_collections import ConfigDict

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

Batch = dict[str, np.ndarray]
# What the loss and the log read of a batch, and the network never does.
LABELS = ("log_likes", "pair_weight", "image_weight", "quantile", "record", "position")


class Part(Protocol):
    """One part, made as Part(dataset, config, **needs) with what `fields.make` lists."""

    def __init__(
        self, dataset: GroupDataset, config: ConfigDict, *, train: bool, depth_vectors: Any, vocabularies: Any
    ) -> None: ...

    @staticmethod
    def example(config: ConfigDict) -> Batch:
        """Its keys for one image, without a data set: a network's parameters are made from them."""
        ...

    def empty(self, slots: int) -> Batch:
        """Its keys for empty slots."""
        ...

    def fill(self, batch: Batch, slots: np.ndarray, example: dict, positions: np.ndarray, step: int) -> None:
        """Writes the images `positions` [n] of a group into `slots` [n]; random draws are keyed by the seed, the step
        and batch["slot"]. Raises ValueError naming what cannot be read."""
