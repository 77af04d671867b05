"""Two repairs of tensorflow-datasets 4.9.10 as a writer: equal bytes in every build, and spilling without TensorFlow.

TFDS has no option for either, so `repaired` swaps two of its classes while a build runs. One of them is private, which
is why pyproject.toml keeps to this release. If a release renames a class, the build stops with an AttributeError.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_datasets.core import example_serializer, shuffle

_KEY_AND_SIZE = struct.Struct("<QQQ")  # hash key, high and low half; length of the record


class DeterministicSerializer(example_serializer.ExampleSerializer):
    """Writes the same bytes in every process: tf.Example holds a protobuf map, whose order otherwise varies."""

    def serialize_example(self, example: Any) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)


class PlainBucket:
    """A bucket of the shuffler in a plain file; the original goes through tf.io.gfile.

    It opens the file for each record, because a thousand open buckets exceed the usual limit of 1024 files. A record is
    a group of photos, so writing it takes far longer than opening the file.
    """

    def __init__(self, path: os.PathLike):
        self._path = Path(os.fspath(path))
        self._length = 0
        self.size = 0

    def __len__(self) -> int:
        return self._length

    def add(self, key: int, data: bytes) -> None:
        with open(self._path, "ab") as file:
            file.write(_KEY_AND_SIZE.pack(key >> 64, key & (2**64 - 1), len(data)))
            file.write(data)
        self._length += 1
        self.size += len(data)

    def read_values(self) -> Iterator[tuple[int, bytes]]:
        """(hash key, record) in the order of `add`."""
        if not self._length:
            return
        with open(self._path, "rb") as file:
            while header := file.read(_KEY_AND_SIZE.size):
                high, low, size = _KEY_AND_SIZE.unpack(header)
                yield high << 64 | low, file.read(size)

    def del_file(self) -> None:
        self._path.unlink(missing_ok=True)


_REPAIRS = (
    (example_serializer, "ExampleSerializer", DeterministicSerializer),
    (shuffle, "_Bucket", PlainBucket),
)


@contextlib.contextmanager
def repaired() -> Iterator[None]:
    """TFDS writes splits with equal bytes and keeps buckets in plain files while the block runs.

    Raises:
      AttributeError: this release of TFDS has no class of that name.
    """
    originals = [(module, name, getattr(module, name)) for module, name, _ in _REPAIRS]
    try:
        for module, name, repair in _REPAIRS:
            setattr(module, name, repair)
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
