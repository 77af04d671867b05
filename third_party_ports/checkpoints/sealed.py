"""Our own .safetensors files: written whole and sealed, and checked before they are parsed."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from third_party_ports import seals
from third_party_ports.files import replacing
from third_party_ports.reading import reading


def save(tensors: Mapping[str, np.ndarray], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a sealed file, whole or not at all, with the mode that the umask gives.

    Args:
      tensors: contiguous arrays by name.
      path: the file. Its folder must exist.
      metadata: texts for the file's header.

    Raises:
      OSError: the file cannot be written.
    """
    with replacing(path) as part:
        part.touch()
        mode = part.stat().st_mode
        try:
            save_file(dict(tensors), part, dict(metadata or {}) | {seals.FIELD: seals.EMPTY})
        except SafetensorError as error:  # for example a full disk
            raise OSError(str(error)) from error
        part.chmod(mode)  # save_file lets only the owner read the file
        seals.seal(part)


def load(path: Path, kind: type[Exception], remedy: str, *, check: bool = True) -> dict[str, np.ndarray]:
    """All tensors of a file by name.

    Args:
      path: the file.
      kind: the error class of the artefact.
      remedy: how to make the file again; the message of an error ends with it.
      check: whether to check the seal; a file of an earlier version, or of somebody else, has none.

    Raises:
      kind: the file is missing, damaged or no .safetensors file.
    """
    if check:
        seals.check(path, kind, remedy)
    with reading(path, kind, remedy):
        return load_file(path)


def metadata(path: Path, kind: type[Exception], remedy: str) -> dict[str, str]:
    """The texts of a file's header; its seal is checked. Raises as `load`."""
    seals.check(path, kind, remedy)
    with reading(path, kind, remedy), Path(path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > Path(path).stat().st_size:
            raise ValueError(f"its header would have {size} bytes")
        found = json.loads(file.read(size)).get("__metadata__", {})
        return {str(name): str(text) for name, text in found.items()}
