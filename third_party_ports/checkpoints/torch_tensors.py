"""Finds the tensors in what a PyTorch file's pickle describes (`pickled.Pickled`), and makes arrays of them.

Tensors lie in nested dicts. Whatever else stands beside them (an optimizer's numbers, argparse.Namespace, torch.device,
Counter, datetime, ...) is left out. PyTorch's torch/_utils.py (BSD-3-Clause) defines the calls that rebuild tensors.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from third_party_ports.checkpoints.collected import AGAIN, Collected, RefusedError, Unreadable
from third_party_ports.checkpoints.pickled import Name, Object, Reference

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
    "ComplexFloatStorage": np.dtype(np.complex64),
    "ComplexDoubleStorage": np.dtype(np.complex128),
    "QInt8Storage": np.dtype(np.int8),
    "QUInt8Storage": np.dtype(np.uint8),
    "QInt32Storage": np.dtype(np.int32),
    "UntypedStorage": np.dtype(np.uint8),
}
TORCH_DTYPES = {  # of _rebuild_tensor_v3, whose storages have no type
    name: np.dtype(getattr(ml_dtypes, name, None) or name)
    for name in (
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
        "uint8", "bool", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    )
}  # fmt: skip
DEEPEST = 32  # dicts inside each other
MOST_ENTRIES = 300_000  # of all dicts, each counted as often as it is reached
UTILS, NUMPY = "torch._utils", ("numpy.core", "numpy._core")
VIEWS = {Name(UTILS, f"_rebuild_tensor{version}") for version in ("", "_v2", "_v3")}
PARAMETERS = {Name(UTILS, "_rebuild_parameter"), Name(UTILS, "_rebuild_parameter_with_state")}
SUBCLASS = Name("torch._tensor", "_rebuild_from_type_v2")
DICT = Name("collections", "OrderedDict")


class Storage(NamedTuple):
    """A storage as the pickle names it; `numel` counts elements of `dtype`."""

    key: str
    dtype: np.dtype
    numel: int


def storage_of(reference: Reference) -> Storage:
    """Reads ("storage", type, key, device, count); older files add an item for views of storages."""
    kind, name, key, _, numel, *view = reference.id
    known = isinstance(name, Name) and name.module in ("torch", "torch.storage") and name.name in DTYPES
    if kind != "storage" or not known or view not in ([], [None]) or type(key) is not str or type(numel) is not int:
        raise RefusedError(f"one of its storages is of an unknown kind, {_short(name)}. {AGAIN}")
    return Storage(key, DTYPES[name.name], numel)


def collect(content: Any, storages: Mapping[str, np.ndarray], into: Collected) -> None:
    """Collects the tensors of nested dicts by their joined keys.

    Args:
      content: a pickle's value.
      storages: the numbers of each storage [numel], by key.
      into: receives read-only views of the storages.

    Raises:
      RefusedError: a tensor does not fit its storage, or there are too many.
      TypeError, ValueError, IndexError: the description is damaged.
    """
    for name, item in _leaves(content):
        function = item.function
        if function in VIEWS:
            into.add(name, _view(name, item.arguments, storages, into))
        elif (array := _numpy_parts(item)) is not None:
            into.add(name, _array(name, array, into))
        elif isinstance(function, Name) and function.module == UTILS and function.name.startswith("_rebuild_"):
            into.add(name, Unreadable(f"is stored in a way that has no port ({_short(function)})."))


def first_object(content: Any) -> Name | None:
    """The class of the saved object, or of the first object in the saved dict; None if there is none."""
    for value in (content, *(content.values() if isinstance(content, dict) else ())):
        if isinstance(value, Object) and isinstance(value.function, Name) and value.function != DICT:
            return value.function
    return None


def _leaves(content: Any) -> Iterator[tuple[str, Object]]:
    """What may be a tensor, by name. A dict inside itself is entered once."""
    entries = 0
    waiting: list[tuple[str, Any, tuple[int, ...]]] = [("", content, ())]
    while waiting:
        name, value, above = waiting.pop()
        if len(above) > DEEPEST:
            raise RefusedError(f"its dicts are nested deeper than {DEEPEST}, at {_short(name)}. {AGAIN}")
        value = _unwrapped(value)
        if isinstance(value, Object):
            yield name, value
        items = _items(value)
        entries += len(items)
        if entries > MOST_ENTRIES:
            raise RefusedError(f"its dicts have more than {MOST_ENTRIES:,} entries. {AGAIN}")
        above = (*above, id(value))
        for key, below in reversed(items):
            if isinstance(below, dict | Object) and id(below) not in above:
                waiting.append((f"{name}.{key}"[-2000:] if name else str(key), below, above))


def _unwrapped(value: Any) -> Any:
    """A parameter, or a tensor of a class derived from Tensor, as the plain tensor in it."""
    for _ in range(4):
        if not isinstance(value, Object):
            break
        if value.function in PARAMETERS:
            value = value.arguments[0]
        elif value.function == SUBCLASS and value.arguments[0] != SUBCLASS:
            value = Object(value.arguments[0], value.arguments[2])
        else:
            break
    return value


def _items(value: Any) -> list[tuple[str | int, Any]]:
    """The entries of a dict, or of an object that is derived from dict. Python 2 gives OrderedDict a list of pairs."""
    if isinstance(value, dict):
        return list(value.items())
    if not isinstance(value, Object):
        return []
    pairs = value.arguments[0] if value.function == DICT and value.arguments else []
    named = [pair for pair in pairs if len(pair) == 2 and type(pair[0]) in (str, int)]
    return [(key, below) for key, below in named] + list(value.items.items())


def _view(name: str, arguments: Any, storages: Mapping[str, np.ndarray], into: Collected) -> np.ndarray | Unreadable:
    """A tensor as a view of its storage, checked so that it cannot reach outside. Offset and strides count elements."""
    reference, offset, size, stride = arguments[:4]
    held = storages[storage_of(reference).key]
    if len(arguments) > 6 and isinstance(arguments[6], Name):
        if arguments[6].name not in TORCH_DTYPES:
            return Unreadable(f"has the type {_short(arguments[6])}.")
        held = held.view(TORCH_DTYPES[arguments[6].name])
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise RefusedError(
            f"its tensor {_short(name)} has size {_short(size)}, strides {_short(stride)}, offset {_short(offset)}. "
            f"{AGAIN}"
        )
    count = into.make_room(_short(name), size, held.itemsize)
    if count == 0:
        return np.empty(size, held.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(held):
        raise RefusedError(f"its tensor {_short(name)} reaches beyond its storage: {last + 1} of {len(held)}. {AGAIN}")
    strides = tuple(step * held.itemsize if n > 1 else held.itemsize for n, step in zip(size, stride, strict=True))
    view = np.ndarray(size, held.dtype, held.view(np.uint8).data, offset * held.itemsize, strides)
    view.flags.writeable = False
    return view


class _Parts(NamedTuple):
    shape: Any
    dtype: Any
    fortran: bool
    content: Any


def _numpy_parts(item: Object) -> _Parts | None:
    """What a pickled NumPy array consists of; None for anything else."""
    function = item.function
    if not isinstance(function, Name):
        return None
    package, _, module = function.module.rpartition(".")
    if package not in NUMPY:
        return None
    if (module, function.name) == ("multiarray", "_reconstruct"):
        _, shape, dtype, fortran, content = item.state
        return _Parts(shape, dtype, bool(fortran), content)
    if (module, function.name) == ("numeric", "_frombuffer"):
        content, dtype, shape, order = item.arguments
        return _Parts(shape, dtype, order == "F", content)
    return None


def _array(name: str, parts: _Parts, into: Collected) -> np.ndarray | Unreadable:
    """A pickled array as an array."""
    code, order = parts.dtype.arguments[0], (parts.dtype.state or (3, "|"))[1]
    if not (type(code) is str and re.fullmatch("[biufc][0-9]{1,2}", code) and order in ("<", ">", "|", "=")):
        return Unreadable(f"is a NumPy array of the type {_short(code)}, which may hold anything.")
    dtype = np.dtype(order + code)
    content = parts.content
    if isinstance(content, Object) and content.function == Name("_codecs", "encode"):
        content = content.arguments[0].encode("latin-1")  # how protocol 2 writes bytes
    count = into.make_room(_short(name), parts.shape, dtype.itemsize)
    if type(content) is not bytes or len(content) != count * dtype.itemsize:
        raise RefusedError(f"its array {_short(name)} does not hold what its size says. {AGAIN}")
    return np.frombuffer(content, dtype).reshape(parts.shape, order="F" if parts.fortran else "C")


def _short(value: Any) -> str:
    """A value from the file for a message. Large or nested values are not written out."""
    if isinstance(value, Name):
        value = str(value)
    if type(value) is str:
        return value if len(value) <= 200 else f"{value[:200]}..."
    parts = value if type(value) is tuple else (value,)
    small = len(parts) <= 8 and all(type(p) in (int, float, bool, type(None)) and abs(p or 0) < 1e30 for p in parts)
    return str(value) if small and not any(isinstance(p, float) and math.isnan(p) for p in parts) else "(damaged)"
