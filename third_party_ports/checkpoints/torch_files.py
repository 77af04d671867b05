"""Tensors of .pth and .pt files, read without PyTorch and without running anything that a file names.

Such a file is a pickle that describes tensors, beside the bytes of their storages: an uncompressed zip
(`NAME/data.pkl`, `NAME/data/KEY`, ...) since PyTorch 1.6, one stream before. The unpickler admits the names listed in
`_Tensors` and gives each a stand-in of ours; the format is that of PyTorch's torch/serialization.py (BSD-3-Clause).
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

STREAM = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46"  # how a file of before PyTorch 1.6 begins
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
STATE_DICT = "Only tensors are read: save the state dict alone, torch.save(network.state_dict(), FILE)."


def read(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors by name, the keys of nested dicts joined by dots; what is no tensor is left out.

    The arrays are read-only views of the mapped file, in the file's dtypes (bfloat16 is ml_dtypes'), so tensors that
    nobody uses, such as an optimizer's, cost no memory. Raises WeightsError for a file that is missing, cut short or
    damaged, or that names anything beyond tensors.
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
        raise WeightsError(f"{path}: there is no such file.") from error
    except _RefusedError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise WeightsError(f"{path}: not a readable PyTorch file ({type(error).__name__}: {error}). {AGAIN}") from error


def _foreign(mapped: mmap.mmap) -> str:
    """What is wrong with a file that begins as no file of PyTorch does."""
    whole = len(mapped) > len(STREAM)  # what was cut to less may have been anything
    if (whole and mapped[:1] == b"\x80") or (mapped[-1:] == b"." and mapped[:1] in b"(]}cl"):
        return (
            "a pickle that torch.save did not write. It is not opened, for a pickle is a program. "
            f"{STATE_DICT} A file of numpy.savez(FILE, **arrays) will do too."
        )
    return f"not a readable PyTorch file: it begins as none does. {AGAIN} Or give a .safetensors, .npz or HDF5 file."


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
    """Stands for what is no tensor: an optimizer's numpy number, say."""

    def __setstate__(self, state: Any) -> None:
        pass


class _RefusedError(ValueError):
    """What is wrong with a file, and the remedy, without the file's name."""


class _Tensors(pickle.Unpickler):
    """Builds dicts, lists, numbers, text and `_Tensor`s. `storages` are those it met, by key."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}
        # Made anew for each file: what a pickle does to a stand-in ends with it.
        self._admitted = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda key, offset, size, stride, *_: _Tensor(
                key, offset, size, stride
            ),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        # Training snapshots hold the states of numpy's generators; no array of theirs is built.
        for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar")):
            for package in ("numpy.core", "numpy._core"):
                self._admitted[f"{package}.{module}", name] = lambda *_: _Ignored()
        for module, name in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            self._admitted[module, name] = lambda *_: _Ignored()

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in DTYPES:
            return name
        if (module, name) not in self._admitted:
            raise _RefusedError(f"it asks for {module}.{name}, which is no tensor. {STATE_DICT}")
        return self._admitted[module, name]

    def persistent_load(self, pid: Any) -> str:
        """("storage", type, key, device, count), in streams and one more for a view of a storage -> the key."""
        kind, name, key, _, numel, *view = pid
        if kind != "storage" or view not in ([], [None]):
            raise _RefusedError(f"its storage {key} is of a kind that is not read. {STATE_DICT}")
        if self.storages.setdefault(key, _Storage(DTYPES[name], numel)) != (DTYPES[name], numel):
            raise _RefusedError(f"its storage {key} is used with two types or sizes. {AGAIN}")
        return key


def _load(file: BinaryIO | mmap.mmap) -> tuple[Any, dict[str, _Storage]]:
    """The next pickle's object, and the storages that it names."""
    start = file.tell()
    for code, argument, place in pickletools.genops(file):
        if code.name.endswith("PUT") and argument > place:  # the unpickler would make room for all numbers below
            raise _RefusedError(f"an absurd number, {argument}, in its pickle. {AGAIN}")
    file.seek(start)
    unpickler = _Tensors(file)
    return unpickler.load(), unpickler.storages


def _archive(file: BinaryIO, mapped: mmap.mmap) -> tuple[Any, dict[str, np.ndarray]]:
    """The zip format: what was saved, and the storages by key."""
    data = np.frombuffer(mapped, np.uint8)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _RefusedError("a zip without NAME/data.pkl: not PyTorch's. Give the checkpoint itself.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise _RefusedError(f"a TorchScript program. {STATE_DICT}")
        for entry in entries.values():  # so that no size can exceed the file's
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise _RefusedError(f"its entry {entry.filename} is compressed or larger than the file. {AGAIN}")
        big = f"{root}byteorder" in entries and archive.read(f"{root}byteorder") == b"big"
        content, named = _load(BytesIO(archive.read(pickles[0])))  # whole, so that its checksum is seen
    storages = {}
    for key, storage in named.items():
        entry = entries.get(f"{root}data/{key}")
        if entry is None:
            raise _RefusedError(f"its storage {key} is missing. {AGAIN}")
        # An entry's bytes follow its local header, whose name and padding have lengths of their own.
        start = entry.header_offset + 30 + sum(struct.unpack_from("<HH", data, entry.header_offset + 26))
        held = data[start : start + entry.file_size]
        storages[key] = _values(key, storage, held, big)
        if zlib.crc32(held) != entry.CRC:
            raise _RefusedError(f"its storage {key} is damaged (checksum). {AGAIN}")
    return content, storages


def _stream(mapped: mmap.mmap) -> tuple[Any, dict[str, np.ndarray]]:
    """The format before 1.6: five pickles (magic number, version, machine, what was saved, keys), then count and
    bytes of each storage in the order of the keys."""
    (_, _), (_, _), (machine, _), (content, named), (keys, _) = (_load(mapped) for _ in range(5))
    data, place = np.frombuffer(mapped, np.uint8), mapped.tell()
    storages = {}
    if not (isinstance(machine, dict) and "little_endian" in machine and isinstance(keys, list)):
        raise _RefusedError(f"it begins as PyTorch's older files do, and goes on as none of them. {STATE_DICT}")
    for key in keys:
        storage = named[key]
        (numel,) = struct.unpack_from("<q", data, place)
        end = place + 8 + storage.numel * storage.dtype.itemsize
        if numel != storage.numel:
            raise _RefusedError(f"its storage {key} holds {numel} numbers and should hold {storage.numel}. {AGAIN}")
        storages[key] = _values(key, storage, data[place + 8 : end], not machine["little_endian"])
        place = end
    return content, storages


def _values(key: str, storage: _Storage, content: np.ndarray, big: bool) -> np.ndarray:
    """A storage's bytes -> its numbers [numel]."""
    if len(content) != storage.numel * storage.dtype.itemsize:
        raise _RefusedError(
            f"its storage {key} holds {len(content)} bytes and should hold {storage.numel} {storage.dtype}. {AGAIN}"
        )
    if big:
        content = content.reshape(-1, storage.dtype.itemsize)[:, ::-1].copy().ravel()
    return content.view(storage.dtype)


def _flatten(content: Any) -> dict[str, _Tensor]:
    """The tensors of nested dicts by their joined keys. A dict is entered once, for it may hold itself."""
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
    """The tensor as a view of its storage. Nothing outside the storage can be reached."""
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
