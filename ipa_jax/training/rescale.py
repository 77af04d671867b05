"""The factor on z of an export (split_metrics.rescale_factor), with the validation split that it was fitted on."""

import json
from dataclasses import dataclass
from pathlib import Path

from ipa_jax.training.export_folder import REMEDY, ExportError
from third_party_ports.checksums import Checksums
from third_party_ports.reading import reading

FILE = "rescale.json"


@dataclass(frozen=True)
class Rescale:
    """A factor on z.

    Attributes:
      factor: minimises Ratio MSE over the validation pairs.
      validation: names the validation split, as workdir.digest does.
    """

    factor: float
    validation: str

    def save(self, folder: Path) -> None:
        """Writes the file into an export that is being made."""
        (folder / FILE).write_text(json.dumps({"factor": self.factor, "validation": self.validation}, indent=2))


def load(export: Checksums) -> Rescale | None:
    """The factor of an export; None for an export of an earlier version. Raises ExportError if it is damaged."""
    if not export.has(FILE):
        return None
    content = export.read(FILE)
    with reading(export.folder / FILE, ExportError, REMEDY):
        stored = json.loads(content)
        return Rescale(float(stored["factor"]), str(stored["validation"]))
