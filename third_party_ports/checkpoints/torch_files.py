"""Reads the tensors of .pth and .pt files without PyTorch, and without running anything that a file names.

Such a file is a pickle that describes tensors, together with the bytes of their storages: an uncompressed zip
(`NAME/data.pkl`, `NAME/data/KEY`, ...) since PyTorch 1.6, a single stream before. The unpickler admits the names listed
in `_Tensors` and gives each a stand-in of ours. PyTorch's torch/serialization.py (BSD-3-Clause) defines the format.
"""

import mmap
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from third_party_ports.checkpoints.weights import WeightsError

STREAM = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"  # the first bytes of a file from before PyTorch 1.6
DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
    "UntypedStorage": np.dtype(np.uint8),
}
ZIP = b"PK"
AGAIN = "Download the file again."
STATE_DICT = "Only tensors can be read: save the state dict alone with torch.save(network.state_dict(), FILE)."


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors by name. Dots join the keys of nested dicts; anything that is not a tensor is left out.

    Returns:
      Read-only views of the mapped file, with the file's dtypes (bfloat16 is ml_dtypes'). Unused tensors, for example
      an optimizer's, cost no memory.

    Raises:
      WeightsError: the file is missing, cut short or damaged, or names anything other than tensors.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            old = mapped[: len(STREAM)] == STREAM
            if not old and not mapped[:2] == ZIP:
                raise _RefusedError(_foreign(mapped))
            content, storages = _stream(mapped) if old else _archive(file, mapped)
        return {name: _view(name, tensor, storages) for name, tensor in _flatten(content).items()}
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: this file does not exist. Check the path.") from error
    except _RefusedError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise WeightsError(f"{path}: not a readable PyTorch file ({type(error).__name__}: {error}). {AGAIN}") from error


def _foreign(mapped: mmap.mmap) -> str:
    """Says what is wrong with a file whose first bytes PyTorch never writes."""
    whole = len(mapped) > len(STREAM)  # a shorter rest may have been any format
    if (whole and mapped[:1] == b"\x80") or (mapped[-1:] == b"." and mapped[:1] in b"(]}cl"):
        return (
            "a pickle that torch.save did not write. It is not opened, because a pickle is a program. "
            f"{STATE_DICT} A file of numpy.savez(FILE, **arrays) works too."
        )
    return (
        f"not a readable PyTorch file: its first bytes are of no known format. {AGAIN} Or give a .safetensors, .npz or "
        "HDF5 file."
    )


class _Storage(NamedTuple):
    dtype: np.dtype
    numel: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count elements."""

    key: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Ignored:
    """Stands for an object that is not a tensor, for example an optimizer's numpy number."""

    def __setstate__(self, state: Any) -> None:
        pass


class _RefusedError(ValueError):
    """Says what is wrong with a file and what to do, without the file's name."""


class _Tensors(pickle.Unpickler):
    """Builds dicts, lists, numbers, text and `_Tensor`s, and collects the storages that they name by key."""

    def __init__(self, file: BinaryIO | mmap.mmap):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}
        # New for each file, so that a pickle cannot change the stand-ins of the next one.
        self._admitted = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, size, stride, *_: _Tensor(
                key, offset, size, stride
            ),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        # Training snapshots hold states of numpy's generators. Their arrays are not built.
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar")):
            for package in ("numpy.core", "numpy._core"):
                self._admitted[f"{package}.{module}", name] = lambda *_: _Ignored()
        for module, name in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            self._admitted[module, name] = lambda *_: _Ignored()

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in DTYPES:
            return name
        if (module, name) not in self._admitted:
            raise _RefusedError(f"it asks for {module}.{name}, which is not a tensor. {STATE_DICT}")
        return self._admitted[module, name]

    def persistent_load(self, pid: Any) -> str:
        """Notes a storage ("storage", type, key, device, count) and returns its key. Streams add an item for views."""
        kind, name, key, _, numel, *view = pid
        if kind != "storage" or view not in ([], [None]):
            raise _RefusedError(f"its storage {key} is of an unknown kind. {STATE_DICT}")
        if self.storages.setdefault(key, _Storage(DTYPES[name], numel)) != (DTYPES[name], numel):
            raise _RefusedError(f"its storage {key} is used with two types or sizes. {AGAIN}")
        return key


def _load(file: BinaryIO | mmap.mmap) -> tuple[Any, dict[str, _Storage]]:
    """Reads the next pickle: its object, and the storages that it names."""
    start = file.tell()
    # genops reads a mmap as well; its stub does not say so.
    for code, argument, place in pickletools.genops(file):  # pyright: ignore[reportArgumentType]
        put = argument if code.name.endswith("PUT") else None
        if put is not None and put > (place or 0):  # the unpickler would allocate that many places
            raise _RefusedError(f"its pickle holds an impossible number, {put}. {AGAIN}")
    file.seek(start)
    unpickler = _Tensors(file)
    return unpickler.load(), unpickler.storages


def _archive(file: BinaryIO, mapped: mmap.mmap) -> tuple[Any, dict[str, np.ndarray]]:
    """Reads the zip format: the saved object, and the storages by key."""
    data = np.frombuffer(mapped, np.uint8)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _RefusedError("a zip without NAME/data.pkl, so PyTorch did not write it. Give the checkpoint itself.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise _RefusedError(f"this is a TorchScript program. {STATE_DICT}")
        for entry in entries.values():  # then no size can exceed the file's
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise _RefusedError(f"its entry {entry.filename} is compressed or larger than the file. {AGAIN}")
        big = f"{root}byteorder" in entries and archive.read(f"{root}byteorder") == b"big"
        content, named = _load(BytesIO(archive.read(pickles[0])))  # reading it whole checks its checksum
    storages = {}
    for key, storage in named.items():
        entry = entries.get(f"{root}data/{key}")
        if entry is None:
            raise _RefusedError(f"its storage {key} is missing. {AGAIN}")
        # An entry's bytes follow its local header, which has its own lengths of name and padding.
        start = entry.header_offset + 30 + sum(struct.unpack_from("<HH", mapped, entry.header_offset + 26))
        held = data[start : start + entry.file_size]
        storages[key] = _values(key, storage, held, big)
        if zlib.crc32(held.data) != entry.CRC:
            raise _RefusedError(f"its storage {key} is damaged (checksum). {AGAIN}")
    return content, storages


def _stream(mapped: mmap.mmap) -> tuple[Any, dict[str, np.ndarray]]:
    """Reads the format before 1.6: five pickles (magic number, version, machine, saved object, keys), then the count
    and the bytes of each storage in the order of the keys."""
    (_, _), (_, _), (machine, _), (content, named), (keys, _) = (_load(mapped) for _ in range(5))
    data, place = np.frombuffer(mapped, np.uint8), mapped.tell()
    storages = {}
    if not (isinstance(machine, dict) and "little_endian" in machine and isinstance(keys, list)):
        raise _RefusedError(f"it starts like PyTorch's older files, but what follows is unknown. {STATE_DICT}")
    for key in keys:
        storage = named[key]
        (numel,) = struct.unpack_from("<q", mapped, place)
        end = place + 8 + storage.numel * storage.dtype.itemsize
        if numel != storage.numel:
            raise _RefusedError(f"its storage {key} holds {numel} numbers and should hold {storage.numel}. {AGAIN}")
        storages[key] = _values(key, storage, data[place + 8 : end], not machine["little_endian"])
        place = end
    return content, storages


def _values(key: str, storage: _Storage, content: np.ndarray, big: bool) -> np.ndarray:
    """Turns a storage's bytes into its numbers [numel]."""
    if len(content) != storage.numel * storage.dtype.itemsize:
        raise _RefusedError(
            f"its storage {key} holds {len(content)} bytes and should hold {storage.numel} {storage.dtype}. {AGAIN}"
        )
    if big:
        content = content.reshape(-1, storage.dtype.itemsize)[:, ::-1].copy().ravel()
    return content.view(storage.dtype)


def _flatten(content: Any) -> dict[str, _Tensor]:
    """The tensors of nested dicts by their joined keys. Each dict is entered once, because it may hold itself."""
    found: dict[str, _Tensor] = {}
    entered: set[int] = set()
    waiting = [("", content)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, _Tensor):
            found[name] = value
        elif isinstance(value, dict) and id(value) not in entered:
            entered.add(id(value))
            waiting += [(f"{name}.{key}" if name else str(key), below) for key, below in reversed(value.items())]
    return found


def _view(name: str, tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    """The tensor as a view of its storage, checked so that it cannot reach outside."""
    storage, (_, offset, size, stride) = storages[tensor.key], tensor
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0:
        raise _RefusedError(f"its tensor {name} has size {size}, strides {stride}, offset {offset}. {AGAIN}")
    if 0 in size:
        return np.empty(size, storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(storage):
        raise _RefusedError(f"its tensor {name} reaches beyond its storage: {last + 1} of {len(storage)}. {AGAIN}")
    strides = [step * storage.dtype.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)
