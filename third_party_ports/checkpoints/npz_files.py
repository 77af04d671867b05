"""Reads .npz files of unknown origin: a zip of arrays, which numpy.savez writes."""

import zipfile
from pathlib import Path

import numpy as np

from third_party_ports.checkpoints import zips
from third_party_ports.checkpoints.collected import AGAIN, Collected, RefusedError, Unreadable, is_readable

PLAIN = "Only plain arrays can be read: save them with numpy.savez(FILE, **arrays)."


def is_npz(path: Path) -> bool:
    """Whether a zip holds arrays and nothing else. A damaged one may be any format; its reader reports it."""
    try:
        with path.open("rb") as file, zips.opened(file) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except Exception:
        return False


def read(path: Path) -> Collected:
    """Reads all arrays by name, with dots for slashes.

    Raises:
      RefusedError: an array does not fit its header, or the file unpacks to far more than its size.
      Exception: the file is damaged; what is raised depends on the damage.
    """
    found = Collected(path.stat().st_size)
    with path.open("rb") as file, zips.opened(file) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy").replace("/", ".")
            found.add(name, _array(name[:200], archive, entry, found))
    return found


def _array(name: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, found: Collected) -> np.ndarray | Unreadable:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedError(f"its array {name} is compressed in a way that NumPy does not use. {AGAIN}")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if not is_readable(dtype):
            return Unreadable(f"holds values of the type {str(dtype)[:100]}. {PLAIN}")
        size = found.make_room(name, shape, dtype.itemsize) * dtype.itemsize
        content = file.read(size + 1)  # one more than there is, so that the checksum is checked
    if len(content) != size:
        raise RefusedError(f"its array {name} does not hold what its header says. {AGAIN}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
