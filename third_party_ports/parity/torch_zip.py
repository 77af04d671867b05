"""Writes a state dict as torch.save does, without PyTorch: the zip that `checkpoints.torch_files` reads.

With it, a fixture's weights go the way of a real download: file, converter, port.
"""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from third_party_ports.checkpoints.torch_tensors import DTYPES

STORAGES = {dtype.name: name for name, dtype in DTYPES.items() if dtype.kind != "c" and not name.startswith(("U", "Q"))}
ALIGNMENT = 64  # of a storage's bytes in the file, which PyTorch can then map
MARK, TUPLE, REDUCE, DICT, SETITEMS, PERSISTENT, FALSE = b"(", b"t", b"R", b"}", b"u", b"Q", b"\x89"
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    *,
    wrapper: str | None = None,
    prefix: str = "",
    extra: Mapping[str, int | str] | None = None,
) -> None:
    """Writes a .pth file of `tensors`, each under prefix + name.

    Args:
      wrapper: the key of the state dict in the file; None: the file is the state dict itself.
      extra: more entries beside the wrapper.
    """
    path = Path(path)
    arrays = [np.asarray(tensor, order="C") for tensor in tensors.values()]
    state = _ordered({prefix + name: _tensor(str(key), arrays[key]) for key, name in enumerate(tensors)})
    if wrapper is not None:
        rest = {
            name: _number(value) if isinstance(value, int) else _text(value) for name, value in (extra or {}).items()
        }
        state = _plain({wrapper: state, **rest})
    with zipfile.ZipFile(path, "w") as archive:
        _entry(archive, f"{path.stem}/data.pkl", b"\x80\x02" + state + b".")
        _entry(archive, f"{path.stem}/byteorder", b"little")
        for key, array in enumerate(arrays):
            _entry(archive, f"{path.stem}/data/{key}", array.reshape(-1).view(np.uint8).data)
        _entry(archive, f"{path.stem}/version", b"3\n")


def _entry(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    """Stores an entry; padding in the header's extra field aligns its bytes."""
    info = zipfile.ZipInfo(name)
    assert archive.fp is not None  # the archive is open
    start = archive.fp.tell() + 30 + len(name.encode()) + 4
    padding = -start % ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    info.file_size = len(content)
    with archive.open(info, "w") as entry:
        entry.write(content)


def _tensor(key: str, array: np.ndarray) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, 0, size, strides, False, OrderedDict())."""
    strides = [stride // array.itemsize for stride in array.strides]
    storage = MARK + _text("storage") + f"ctorch\n{STORAGES[array.dtype.name]}\n".encode()
    storage += _text(key) + _text("cpu") + _number(array.size) + TUPLE + PERSISTENT
    arguments = storage + _number(0) + _numbers(array.shape) + _numbers(strides) + FALSE + ORDERED_DICT
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + MARK + arguments + TUPLE + REDUCE


def _ordered(items: Mapping[str, bytes]) -> bytes:
    return ORDERED_DICT + MARK + b"".join(_text(name) + value for name, value in items.items()) + SETITEMS


def _plain(items: Mapping[str, bytes]) -> bytes:
    return DICT + MARK + b"".join(_text(name) + value for name, value in items.items()) + SETITEMS


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _number(value: int) -> bytes:
    """At most eight bytes and a sign."""
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def _numbers(values) -> bytes:
    return MARK + b"".join(map(_number, values)) + TUPLE
