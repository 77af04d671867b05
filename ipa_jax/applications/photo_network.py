"""An export's network on photo files, given what each photo retrieves (eq. 4) and, where it reads them, depth maps."""

from collections.abc import Collection, Sequence
from pathlib import Path

import jax
import numpy as np

from data_builders.retrieval.top_k import Retrieved
from ipa_jax.input import photos
from ipa_jax.input.fields import has_fallback
from ipa_jax.models import registry
from ipa_jax.training.export import load_export
from ipa_jax.training.steps import make_score_step

BATCH = 16  # images that the network scores at once; smaller jobs are padded to it


class PhotoNetwork:
    """Scores photos in float32, one batch at a time.

    Args:
      export: an export/ folder.
      given: the parts of a batch that there is something to fill with.

    Attributes:
      config: of the run that wrote the export.
      reads: the parts of a batch that the network reads.

    Raises:
      ExportError: the folder holds no export.
      ValueError: its network reads a part that is not given.
    """

    def __init__(self, export: Path, given: Collection[str]) -> None:
        self._variables, self.config, _ = load_export(export)
        self.reads = registry.parts(self.config, train=False)
        if lacking := [name for name in self.reads if name not in given]:
            raise ValueError(
                f"--export {export}: its network reads {', '.join(lacking)}, which photos alone do not give; take an "
                f"export of {', '.join(_that_read(given))}"
            )
        self._step = jax.jit(make_score_step(registry.build(self.config, dtype="float32")))

    def read(self, file: Path) -> np.ndarray:
        """A photo as the network sees it, u8 [crop, crop, 3]: its middle. Raises PhotoError if it cannot be read."""
        resize, crop = self.config.input.resize, self.config.input.crop
        return photos.cut_out(photos.decode(file.read_bytes(), resize), photos.centre_cut(resize, crop), crop)

    def scores(
        self,
        images: Sequence[np.ndarray],
        found: Sequence[Retrieved],
        depth: np.ndarray | None = None,
        foreign: bool = False,
    ) -> np.ndarray:
        """z of up to BATCH photos, f64 [F, Q], a row for each way of retrieving.

        Args:
          images: the Q photos, as `read` gives them.
          found: F times what they retrieve, at least as many slots as the network reads.
          depth: u16 [Q, side, side], where the network reads "depth".
          foreign: whether what they retrieve is of other accounts.

        Raises:
          ValueError: too few slots were retrieved.
        """
        batch = self._photos(images)
        if "depth" in self.reads:
            assert depth is not None, "the network reads depth maps"
            batch["depth"] = _padded(depth)
        z = []
        for retrieved in found:
            if "retrieval" in self.reads:
                batch |= self._retrieval(retrieved, foreign)
            with jax.default_matmul_precision("highest"):
                out = self._step(self._variables, batch)
            z.append(np.asarray(out["z"], np.float64)[: len(images)])
        return np.stack(z)

    def _photos(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        resize, crop = self.config.input.resize, self.config.input.crop
        cut = photos.centre_cut(resize, crop)
        return {
            "slot_mask": np.arange(BATCH) < len(images),
            "image": _padded(np.stack(images)),
            "window": np.tile(np.array([cut.top, cut.left, crop], np.float32) / resize, (BATCH, 1)),
            "flip": np.zeros(BATCH, bool),
        }

    def _retrieval(self, found: Retrieved, foreign: bool) -> dict[str, np.ndarray]:
        k = self.config.data.retrieval.k
        if found.mask.shape[1] < k:
            raise ValueError(f"the export reads {k} retrieved posts, but only {found.mask.shape[1]} were retrieved")
        values = {"similarity": found.similarity[..., 0], "local": found.local_score, "count": found.count}
        batch = {name: _padded(column[:, :k].astype(np.float32)) for name, column in values.items()}
        batch["retrieved_mask"] = _padded(found.mask[:, :k])
        return batch | ({"foreign": batch["retrieved_mask"] & foreign} if has_fallback(self.config) else {})


def _padded(rows: np.ndarray) -> np.ndarray:
    """[Q, ...] -> [BATCH, ...], with zeros behind."""
    return np.concatenate([rows, np.zeros((BATCH - len(rows), *rows.shape[1:]), rows.dtype)])


def _that_read(given: Collection[str]) -> list[str]:
    """Configs whose networks read nothing else."""
    full = ["configs/full.py"] if "depth" in given else []
    return [*full, "configs/light.py", "configs/basic.py", "configs/basic_retrieval.py"]
