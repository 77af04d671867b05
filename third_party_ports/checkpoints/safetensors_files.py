"""Reads .safetensors files of unknown origin: a JSON header of names, types and places, then the tensors' bytes.

https://huggingface.co/docs/safetensors describes the format.
"""

import json
import mmap
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from third_party_ports.checkpoints.collected import AGAIN, WIDE, Collected, RefusedError, Unreadable

LARGEST_HEADER = 4 << 20  # bytes, about 40,000 tensors
DTYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip


def read(path: Path) -> Collected:
    """Reads all tensors by name, as read-only views of the mapped file.

    Raises:
      RefusedError: the header is damaged, or a tensor lies outside the file or over another one.
      Exception: the header is damaged; what is raised depends on the damage.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if len(mapped) < 10:
        raise RefusedError(f"not a readable safetensors file: it has {len(mapped)} bytes. {AGAIN}")
    (length,) = struct.unpack_from("<Q", mapped)
    start = 8 + length
    if start > len(mapped) or length > LARGEST_HEADER:
        raise RefusedError(f"not a readable safetensors file: its header would have {length:,} bytes. {AGAIN}")
    header = json.loads(mapped[8:start], object_pairs_hook=_distinct)
    header.pop("__metadata__", None)
    found, place = Collected(len(mapped)), 0
    for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        begin, end = entry["data_offsets"]
        if type(begin) is not int or type(end) is not int or begin != place or not begin <= end <= len(mapped) - start:
            raise RefusedError(f"its tensor {name[:200]} lies outside the file, or over another one. {AGAIN}")
        place = end
        found.add(name, _tensor(name, entry, mapped, start, found))
    if start + place != len(mapped):
        raise RefusedError(f"{len(mapped) - start - place:,} of its bytes belong to no tensor. {AGAIN}")
    return found


def _tensor(
    name: str, entry: dict[str, Any], mapped: mmap.mmap, start: int, found: Collected
) -> np.ndarray | Unreadable:
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        return Unreadable(f"has the type {str(entry['dtype'])[:50]}. {WIDE}")
    begin, end = entry["data_offsets"]
    count = found.make_room(name[:200], entry["shape"], dtype.itemsize)
    if count * dtype.itemsize != end - begin:
        raise RefusedError(f"its tensor {name[:200]} has {end - begin:,} bytes, which do not fit its size. {AGAIN}")
    return np.frombuffer(mapped, dtype, count, start + begin).reshape(entry["shape"])


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RefusedError(f"its header names a tensor twice. {AGAIN}")
    return found
