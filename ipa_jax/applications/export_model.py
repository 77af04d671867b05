"""The scorer `model`: an export's network, given what each photo retrieves from this history (eq. 4)."""

from pathlib import Path

import numpy as np

from ipa_jax.applications.photo_network import BATCH, PhotoNetwork
from ipa_jax.applications.scorers import Asked
from ipa_jax.training.trained_on import load_trained_on

READS = ("photo", "retrieval")  # the parts of a batch that a history and a photo can fill


class ExportModel:
    """Scores photos by an export; call it with an `Asked`.

    Args:
      export: an export/ folder.
      root: the folder that paths of the history's posts begin at.

    Raises:
      ExportError: the folder holds no export.
      ValueError: its network reads something else than photos and retrieval.
    """

    def __init__(self, export: Path, root: Path) -> None:
        self._network = PhotoNetwork(export, READS)
        self.config = self._network.config
        self._root, self._trained = root, load_trained_on(export)

    @property
    def knows_its_photos(self) -> bool:
        """Whether the export says which photos it was trained on; without that it is never judged."""
        return self._trained is not None

    @property
    def reads_posts(self) -> bool:
        """Whether its network reads how similar posts did."""
        return "retrieval" in self._network.reads

    def __call__(self, asked: Asked) -> np.ndarray:
        """z, f64 [Q]. NaN for a post of the history that the model may have been trained on."""
        scored = np.array([self._may_judge(asked, number) for number in range(len(asked.rows))], bool)
        z = np.full(len(scored), np.nan)
        for rows in np.split(np.flatnonzero(scored), range(BATCH, int(scored.sum()), BATCH)):
            if len(rows):
                z[rows] = self._score(asked, rows)
        return z

    def _may_judge(self, asked: Asked, number: int) -> bool:
        row = int(asked.rows[number])
        if row < 0:
            return True  # a new photo
        if self._trained is None or asked.bank.images.time[row] <= self._trained.newest:
            return False
        return not self._trained.holds((self._root / asked.paths[number]).read_bytes())

    def _score(self, asked: Asked, rows: np.ndarray) -> np.ndarray:
        files = [Path(asked.paths[row]) for row in rows]
        files = [self._root / file if asked.rows[row] >= 0 else file for row, file in zip(rows, files, strict=True)]
        return self._network.scores([self._network.read(file) for file in files], [asked.retrieved.rows(rows)])[0]
