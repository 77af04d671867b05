"""Two repairs of tensorflow-datasets 4.9.10 as a writer: equal bytes in every build, spilling without TensorFlow.

Both replace private names, which is why requirements.txt pins the version exactly; a renamed one raises here.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tensorflow_datasets.core import example_serializer, shuffle

_KEY_AND_SIZE = struct.Struct("<QQQ")  # hash key, high and low half; length of the record


class DeterministicSerializer(example_serializer.ExampleSerializer):
    """tf.Example holds a protobuf map, whose order changes from process to process unless asked not to."""

    def serialize_example(self, example: Any) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)


class PlainBucket:
    """A bucket of the shuffler in a plain file; the original goes through tf.io.gfile.

    The file is opened anew for each record: a thousand buckets held open pass the usual limit of 1024 files, and a
    record is a group of photos, beside which opening costs nothing.
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


@contextlib.contextmanager
def repaired() -> Iterator[None]:
    """While it is open, splits are serialized with equal bytes and buckets are plain files."""
    with (
        mock.patch.object(example_serializer, "ExampleSerializer", DeterministicSerializer),
        mock.patch.object(shuffle, "_Bucket", PlainBucket),
    ):
        yield
