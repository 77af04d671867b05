"""The scorer `model`: an export's network, given what each photo retrieves from this history (eq. 4)."""

from pathlib import Path

import jax
import numpy as np

from ipa_jax.applications.scorers import Asked
from ipa_jax.input import photos
from ipa_jax.models import registry
from ipa_jax.training.export import load_export
from ipa_jax.training.steps import make_score_step
from ipa_jax.training.trained_on import load_trained_on

BATCH = 16  # images that the network scores at once; smaller jobs are padded to it
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
        self._variables, self.config, _ = load_export(export)
        self._root, self._trained = root, load_trained_on(export)
        self._reads = registry.parts(self.config, train=False)
        if lacking := [name for name in self._reads if name not in READS]:
            raise ValueError(
                f"--export {export}: its network reads {', '.join(lacking)}, which photos alone do not give; take an "
                "export of configs/light.py, configs/basic.py or configs/basic_retrieval.py"
            )
        self._step = jax.jit(make_score_step(registry.build(self.config, dtype="float32")))

    @property
    def knows_its_photos(self) -> bool:
        """Whether the export says which photos it was trained on; without that it is never judged."""
        return self._trained is not None

    @property
    def reads_posts(self) -> bool:
        """Whether its network reads how similar posts did."""
        return "retrieval" in self._reads

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
        resize, crop = self.config.input.resize, self.config.input.crop
        cut = photos.centre_cut(resize, crop)
        batch = {"slot_mask": np.arange(BATCH) < len(rows), "image": np.zeros((BATCH, crop, crop, 3), np.uint8)}
        for slot, row in enumerate(rows.tolist()):
            path = Path(asked.paths[row])
            file = self._root / path if asked.rows[row] >= 0 else path
            batch["image"][slot] = photos.cut_out(photos.decode(file.read_bytes(), resize), cut, crop)
        if "retrieval" in self._reads:
            k, found = self.config.data.retrieval.k, asked.retrieved
            if found.mask.shape[1] < k:
                raise ValueError(f"the export reads {k} retrieved posts, but only {found.mask.shape[1]} were retrieved")
            values = {"similarity": found.similarity[..., 0], "local": found.local_score, "count": found.count}
            for name, column in values.items():
                batch[name] = np.zeros((BATCH, k), np.float32)
                batch[name][: len(rows)] = column[rows, :k]
            batch["retrieved_mask"] = np.zeros((BATCH, k), bool)
            batch["retrieved_mask"][: len(rows)] = found.mask[rows, :k]
        with jax.default_matmul_precision("highest"):
            out = self._step(self._variables, batch)
        return np.asarray(out["z"], np.float64)[: len(rows)]
