"""Reads the tensors of .pth and .pt files without PyTorch, and without running anything that a file names.

Such a file is a pickle that describes tensors, together with the bytes of their storages: an uncompressed zip
(`NAME/data.pkl`, `NAME/data/KEY`, ...) since PyTorch 1.6, a single stream before. The pickle is read as data
(`pickled`). PyTorch's torch/serialization.py (BSD-3-Clause) defines the format.
"""

import mmap
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from third_party_ports.checkpoints import pickled, zips
from third_party_ports.checkpoints.collected import AGAIN, Collected, RefusedError
from third_party_ports.checkpoints.pickled import Name, Pickled, Reference
from third_party_ports.checkpoints.torch_tensors import Storage, collect, first_object, storage_of

STREAM = b"\x8a\x0a\x6c\xfc\x9c\x46"  # begins a file from before PyTorch 1.6, after the pickle protocol
ZIP = b"PK"
STATE_DICT = "Only tensors can be read: save the state dict alone with torch.save(network.state_dict(), FILE)."
PROGRAMS = {  # modules whose functions run programs or load more code
    "_io", "asyncio", "bdb", "builtins", "code", "codeop", "commands", "ctypes", "importlib", "io", "marshal",
    "multiprocessing", "nt", "os", "pdb", "pip", "pickle", "_pickle", "cPickle", "posix", "profile", "pty", "runpy",
    "shutil", "socket", "subprocess", "sys", "timeit", "urllib", "webbrowser", "__builtin__", "operator", "_operator",
}  # fmt: skip
HARMLESS = {  # of these modules
    "set", "frozenset", "dict", "list", "tuple", "int", "float", "bool", "complex", "str", "bytes", "bytearray",
    "slice", "range", "xrange", "object", "type", "unicode", "long", "Ellipsis", "NoneType", "BytesIO", "StringIO",
}  # fmt: skip
LOADERS = {"load", "loads", "load_state_dict_from_url", "eval", "exec", "compile", "system", "popen", "run"}


def read(path: Path) -> Collected:
    """Reads all tensors by name. Dots join the keys of nested dicts; anything that is not a tensor is left out.

    Returns:
      Read-only views of the mapped file, with the file's dtypes (bfloat16 is ml_dtypes'). Unused tensors, for example
      an optimizer's, cost no memory.

    Raises:
      RefusedError: the file is damaged or holds no tensors; the message says what to do.
      Exception: it is damaged; what is raised depends on the damage.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        old = mapped[:1] == b"\x80" and mapped[2 : 2 + len(STREAM)] == STREAM
        if not old and not mapped[:2] == ZIP:
            raise RefusedError(_foreign(mapped))
        content, storages = _stream(mapped) if old else _archive(file, mapped)
    found = Collected(len(mapped))
    collect(content, storages, found)
    if not found.tensors and (of := first_object(content)) is not None:
        raise RefusedError(f"it holds an object of {str(of)[:200]} and no state dict. {STATE_DICT}")
    return found


def _foreign(mapped: mmap.mmap) -> str:
    """Says what is wrong with a file whose first bytes PyTorch never writes."""
    whole = len(mapped) > 8  # a shorter rest may have been any format
    if (whole and mapped[:1] == b"\x80") or (mapped[-1:] == b"." and mapped[:1] in b"(]}cl"):
        return (
            "a pickle that torch.save did not write. It is not opened, because a pickle is a program. "
            f"{STATE_DICT} A file of numpy.savez(FILE, **arrays) works too."
        )
    return (
        f"not a readable PyTorch file: its first bytes are of no known format. {AGAIN} Or give a .safetensors, .npz or "
        "HDF5 file."
    )


def _load(source: bytes | mmap.mmap) -> Pickled:
    """Reads a pickle. One that would run a program is refused by name, although nothing here runs it."""
    found = pickled.read(source)
    for name in sorted(found.names):
        if _runs(name):
            raise RefusedError(
                f"it asks for {str(name)[:200]}, which is no tensor but runs code. Nothing was run. Do not open the "
                f"file with PyTorch, and take the weights from their authors. {STATE_DICT}"
            )
    return found


def _runs(name: Name) -> bool:
    package, last = name.module.split(".")[0], name.name.split(".")[-1]
    if package in PROGRAMS:
        return name.name not in HARMLESS and not name.name.endswith(("Error", "Exception", "Warning"))
    return "__" in name.name or last in LOADERS or name.module.startswith(("torch.hub", "torch.jit", "torch.package"))


def _storages(references: list[Reference]) -> dict[str, Storage]:
    """The storages that a pickle names, by key."""
    named: dict[str, Storage] = {}
    for reference in references:
        storage = storage_of(reference)
        if named.setdefault(storage.key, storage) != storage:
            raise RefusedError(f"its storage {storage.key[:50]} is used with two types or sizes. {AGAIN}")
    return named


def _archive(file: BinaryIO, mapped: mmap.mmap) -> tuple[Any, dict[str, np.ndarray]]:
    """Reads the zip format: the saved object, and the storages by key."""
    data = np.frombuffer(mapped, np.uint8)
    with zips.opened(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise RefusedError("a zip without NAME/data.pkl, so PyTorch did not write it. Give the checkpoint itself.")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries:
            raise RefusedError(f"this is a TorchScript program. {STATE_DICT}")
        for entry in entries.values():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise RefusedError(f"its entry {entry.filename[:200]} is compressed. {AGAIN}")
        if sum(entry.file_size for entry in entries.values()) > len(data):  # then entries share bytes
            raise RefusedError(f"its entries are larger than the file. {AGAIN}")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
        if order not in (b"little", b"big"):
            raise RefusedError(f"its byteorder is {order[:20]!r}, neither little nor big. {AGAIN}")
        content = _load(archive.read(pickles[0]))  # reading it whole checks its checksum
    storages = {}
    for key, storage in _storages(content.references).items():
        entry = entries.get(f"{root}data/{key}")
        if entry is None:
            raise RefusedError(f"its storage {key[:50]} is missing. {AGAIN}")
        # An entry's bytes follow its local header, which has its own lengths of name and padding.
        if entry.header_offset < 0 or mapped[entry.header_offset : entry.header_offset + 4] != b"PK\x03\x04":
            raise RefusedError(f"its storage {key[:50]} is not where the directory says. {AGAIN}")
        start = entry.header_offset + 30 + sum(struct.unpack_from("<HH", mapped, entry.header_offset + 26))
        held = data[start : start + entry.file_size]
        storages[key] = _values(storage, held, order == b"big")
        if zlib.crc32(held.data) != entry.CRC:
            raise RefusedError(f"its storage {key[:50]} is damaged (checksum). {AGAIN}")
    return content.value, storages


def _stream(mapped: mmap.mmap) -> tuple[Any, dict[str, np.ndarray]]:
    """Reads the format before 1.6: five pickles (magic number, version, machine, saved object, keys), then the count
    and the bytes of each storage in the order of the keys."""
    _, _, machine, content, keys = (_load(mapped) for _ in range(5))
    data, place = np.frombuffer(mapped, np.uint8), mapped.tell()
    if not (isinstance(machine.value, dict) and "little_endian" in machine.value and isinstance(keys.value, list)):
        raise RefusedError(f"it starts like PyTorch's older files, but what follows is unknown. {STATE_DICT}")
    named, storages = _storages(content.references), {}
    for key in keys.value:
        storage = named[key]
        (numel,) = struct.unpack_from("<q", mapped, place)
        if numel != storage.numel:
            raise RefusedError(f"its storage {key[:50]} holds {numel} numbers and should hold {storage.numel}. {AGAIN}")
        end = place + 8 + storage.numel * storage.dtype.itemsize
        storages[key] = _values(storage, data[place + 8 : end], not machine.value["little_endian"])
        place = end
    return content.value, storages


def _values(storage: Storage, content: np.ndarray, big: bool) -> np.ndarray:
    """Turns a storage's bytes into its numbers [numel]."""
    itemsize = storage.dtype.itemsize
    if len(content) != storage.numel * itemsize:
        raise RefusedError(
            f"its storage {storage.key[:50]} holds {len(content)} bytes and should hold {storage.numel} "
            f"{storage.dtype}. {AGAIN}"
        )
    if big and itemsize > 1:
        content = content.reshape(-1, itemsize)[:, ::-1].copy().ravel()
    return content.view(storage.dtype)
