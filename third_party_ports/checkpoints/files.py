"""Reads the tensors of a checkpoint file, in any format that networks are published in."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from third_party_ports.checkpoints import torch_files
from third_party_ports.checkpoints.weights import WeightsError

HDF5 = b"\x89HDF\r\n\x1a\n"


def read(path: str | Path, wrappers: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a PyTorch, .safetensors, .npz or HDF5 file. The content decides the format, not the file's name.

    Args:
      path: the file.
      wrappers: keys to look under (`KeyMap.wrappers`). If the file holds tensors under one of them, only those under
        the first such key are returned.

    Returns:
      Tensors by name, with the file's dtypes. Dots join nested names.

    Raises:
      WeightsError: the file is missing, damaged, or in no known format. The message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: this checkpoint file does not exist. Check the path.")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(HDF5):
        tensors = _hdf5(path)
    elif head[8:9] == b"{":
        tensors = _safetensors(path)
    elif head.startswith(b"PK") and _is_npz(path):
        tensors = _npz(path, wrappers)
    elif head.lstrip().startswith(b"<"):
        raise WeightsError(f"{path}: this is a web page, not weights. Open it in a browser and download the file.")
    else:
        tensors = torch_files.read(path)
    for wrapper in wrappers:
        inside = {n.removeprefix(f"{wrapper}."): t for n, t in tensors.items() if n.startswith(f"{wrapper}.")}
        if inside:
            return inside
    if not tensors:
        raise WeightsError(f"{path}: the file holds no tensors. Give the file with the network's weights.")
    return tensors


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}). {torch_files.AGAIN}") from error


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:  # torch_files reports it
        return False


def _npz(path: Path, wrappers: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays outside the wrapper are never loaded: an optimizer's state may have types that NumPy does not know."""
    try:
        with np.load(path) as arrays:
            keys = {key.replace("/", "."): key for key in arrays.files}
            inside = ([name for name in keys if name.startswith(f"{wrapper}.")] for wrapper in wrappers)
            return {name: arrays[keys[name]] for name in next(filter(None, inside), keys)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        remedy = "Only plain arrays can be read: save them with numpy.savez(FILE, **arrays)."
        raise WeightsError(f"{path}: not a readable .npz file ({error}). {remedy}") from error


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf" or item.shape is None:
            return
        if item.external or item.is_virtual or item.nbytes > 1000 * path.stat().st_size:
            raise ValueError(f"{name} is stored outside the file, or claims a size that does not fit the file")
        tensors[name.replace("/", ".")] = np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a readable HDF5 file ({error}). {torch_files.AGAIN}") from error
    return tensors
