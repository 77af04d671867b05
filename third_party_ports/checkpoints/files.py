"""A checkpoint file of any of the formats in which networks are published -> its tensors by name."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from third_party_ports.checkpoints import torch_files
from third_party_ports.checkpoints.weights import WeightsError

HDF5 = b"\x89HDF\r\n\x1a\n"


def read(path: str | Path, wrappers: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file, .safetensors, .npz or HDF5 file, whatever its name; dots join nested names.

    Of `wrappers` (KeyMap's), the first under which the file holds tensors is entered, and the rest of the file left
    out; a file without any is taken whole. Dtypes are the file's. Raises WeightsError, which names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such checkpoint file.")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(HDF5):
        tensors = _hdf5(path)
    elif head[8:9] == b"{":
        tensors = _safetensors(path)
    elif head.startswith(b"PK") and _is_npz(path):
        tensors = _npz(path, wrappers)
    elif head.lstrip().startswith(b"<"):
        raise WeightsError(f"{path}: a web page, not weights. Open it in a browser and download the file it leads to.")
    else:
        tensors = torch_files.read(path)
    for wrapper in wrappers:
        inside = {n.removeprefix(f"{wrapper}."): t for n, t in tensors.items() if n.startswith(f"{wrapper}.")}
        if inside:
            return inside
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors. Give the file of the network's weights.")
    return tensors


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}). {torch_files.AGAIN}") from error


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:  # torch_files says so too
        return False


def _npz(path: Path, wrappers: Sequence[str]) -> dict[str, np.ndarray]:
    """What lies beside a wrapper is never loaded: an optimizer's state may have types that NumPy does not know."""
    try:
        with np.load(path) as arrays:
            keys = {key.replace("/", "."): key for key in arrays.files}
            inside = ([name for name in keys if name.startswith(f"{wrapper}.")] for wrapper in wrappers)
            return {name: arrays[keys[name]] for name in next(filter(None, inside), keys)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        remedy = "Only plain arrays are read: save them with numpy.savez(FILE, **arrays)."
        raise WeightsError(f"{path}: not a readable .npz file ({error}). {remedy}") from error


def _hdf5(path: Path) -> dict[str, np.ndarray]:
    import h5py

    tensors: dict[str, np.ndarray] = {}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf" or item.shape is None:
            return
        if item.external or item.is_virtual or item.nbytes > 1000 * path.stat().st_size:
            raise ValueError(f"{name} is not in the file, or has an absurd size")
        tensors[name.replace("/", ".")] = np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: not a readable HDF5 file ({error}). {torch_files.AGAIN}") from error
    return tensors
