"""Reads HDF5 files of unknown origin, such as Keras writes. Only what lies inside the file is read."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from third_party_ports.checkpoints.collected import AGAIN, READABLE, Collected, RefusedError

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3  # HDF5's numbers of the filters that Keras and h5py use
ORDERS = ([], [DEFLATE], [SHUFFLE], [SHUFFLE, DEFLATE])  # of the filters when written; a checksum may follow
CHECKSUM = 4  # bytes
DEEPEST = 32  # groups inside each other
MOST_OBJECTS = 20_000  # groups and datasets; takes about a second


def read(path: Path) -> Collected:
    """Reads all datasets of numbers by name, with dots for slashes. Links to other places are not followed.

    Raises:
      RefusedError: a dataset lies outside the file, or the file unpacks to far more than its size.
      Exception: the file is damaged; h5py raises OSError, RuntimeError, ValueError or KeyError.
    """
    found = Collected(path.stat().st_size)
    with h5py.File(path, "r") as file:
        for name, item in _datasets(file):
            if item.dtype.kind not in READABLE or item.shape is None:
                continue
            if item.external or item.is_virtual:
                raise RefusedError(f"its dataset {name[:200]} is stored outside the file. {AGAIN}")
            found.make_room(name[:200], item.shape, item.dtype.itemsize)
            if item.chunks is not None:
                _check_chunks(name[:200], item, item.chunks, found)
            found.add(name, np.asarray(item[()]))
    return found


def _datasets(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """All datasets by name. Each object is visited once; h5py's own visitor takes minutes for deep groups."""
    visited: set[int] = set()
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while waiting:
        before, group, depth = waiting.pop()
        if depth > DEEPEST:
            raise RefusedError(f"its groups are nested deeper than {DEEPEST}. {AGAIN}")
        below = []
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item, name = group[key], f"{before}.{key}" if before else str(key)
            place = hash(item.id)  # made of the object's address in the file
            if place in visited:
                continue
            visited.add(place)
            if len(visited) > MOST_OBJECTS:
                raise RefusedError(f"it holds more than {MOST_OBJECTS:,} objects. {AGAIN}")
            if isinstance(item, h5py.Dataset):
                yield name.replace("/", "."), item
            elif isinstance(item, h5py.Group):
                below.append((name, item, depth + 1))
        waiting += reversed(below)


def _check_chunks(name: str, item: h5py.Dataset, chunks: tuple[int, ...], found: Collected) -> None:
    """Unpacks each chunk up to its declared size: the library itself would unpack as much as the chunk asks for."""
    settings = item.id.get_create_plist()
    filters = [settings.get_filter(n)[0] for n in range(settings.get_nfilters())]
    if filters[-1:] == [FLETCHER32]:
        filters.pop()
    if filters not in ORDERS:
        raise RefusedError(f"its dataset {name} is packed in a way that is not read: gzip alone is. {AGAIN}")
    size = found.make_room(name, chunks, item.dtype.itemsize) * item.dtype.itemsize
    if DEFLATE not in filters:
        return
    for number in range(item.id.get_num_chunks()):
        chunk = item.id.get_chunk_info(number)
        if chunk.size > size + size // 100 + 1000:
            raise RefusedError(f"its dataset {name} has a chunk that is too large. {AGAIN}")
        mask, content = item.id.read_direct_chunk(chunk.chunk_offset)
        packed = zlib.decompressobj()
        if not mask and (len(packed.decompress(content, size + CHECKSUM)) != size or packed.unconsumed_tail):
            raise RefusedError(f"its dataset {name} unpacks to more or less than its size. {AGAIN}")
