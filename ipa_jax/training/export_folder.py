"""An export as a folder: its error, and the checksums by which every reader of one of its files checks it."""

from pathlib import Path

from third_party_ports import checksums
from third_party_ports.checksums import Checksums

REMEDY = (
    "copy the export again from its workdir, or write it again: delete results.json there and run the same ipa-jax "
    "train command, which resumes from its checkpoints"
)


class ExportError(ValueError):
    """An export folder that is missing, incomplete, damaged or of another version."""


def open_export(path: Path) -> Checksums:
    """The checksums of an export; one of an earlier version has none, and is warned of once.

    Raises:
      ExportError: checksums.json is damaged.
    """
    return checksums.read(path, ExportError, REMEDY)
