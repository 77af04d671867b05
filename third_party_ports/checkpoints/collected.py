"""What every reader of checkpoint files shares: the tensors that it collects, and how much a file may ask for."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

AGAIN = "Download the file again."
SPARE = 64 << 20  # bytes that a file of any size may fill
GROWTH = 10  # bytes in memory for a byte of the file: weights hardly compress, so real files stay far below
MOST = 100_000  # tensors
LONGEST_NAME = 1000  # characters
LONGEST_SIDE = 1 << 48
READABLE = "biuf"  # NumPy's kinds: truth values, whole numbers, floats
WIDE = "Give the file that holds the weights as float32, float16 or bfloat16."


class RefusedError(ValueError):
    """Says what is wrong with a file and what to do, without the file's name."""


class Unreadable(NamedTuple):
    """Stands for a tensor that cannot be read; `reason` completes "its tensor NAME ..."."""

    reason: str


class Collected:
    """The tensors of one file by name, within what a file of its size may ask for.

    Attributes:
      tensors: arrays, and `Unreadable` for those that only matter if the network needs them.
    """

    def __init__(self, file_size: int):
        self.tensors: dict[str, np.ndarray | Unreadable] = {}
        self._left = SPARE + GROWTH * file_size

    def make_room(self, name: str, shape: Sequence[Any], itemsize: int) -> int:
        """Counts a tensor before it is read. A number counts as four bytes or more: a conversion writes float32.

        Returns:
          The tensor's size in numbers.
        Raises:
          RefusedError: the shape is impossible, or the file asks for more than it can honestly hold.
        """
        if len(shape) > 64 or not all(type(side) is int and 0 <= side <= LONGEST_SIDE for side in shape):
            raise RefusedError(f"its tensor {name} has an impossible size. {AGAIN}")
        size = math.prod(shape)
        self._left -= size * max(4, itemsize)
        if self._left < 0 or len(self.tensors) >= MOST:
            raise RefusedError(
                f"up to its tensor {name} it asks for far more memory than a file of its size holds. It is damaged or "
                f"made to do harm. {AGAIN}"
            )
        return size

    def add(self, name: str, tensor: np.ndarray | Unreadable) -> None:
        """Adds a tensor. Raises RefusedError for a second one of that name."""
        if name in self.tensors:
            raise RefusedError(f"it holds two tensors called {name}. Give a file with one network.")
        if len(name) > LONGEST_NAME:
            raise RefusedError(f"a tensor's name has {len(name)} characters: {name[:40]}... {AGAIN}")
        if isinstance(tensor, np.ndarray) and not is_readable(tensor.dtype):
            tensor = Unreadable(f"holds values of the type {tensor.dtype}. {WIDE}")
        self.tensors[name] = tensor


def is_readable(dtype: np.dtype) -> bool:
    """Whether values of this type mean what they say: 8-bit floats need a scale, others are no numbers."""
    return (dtype.kind in READABLE or dtype.name == "bfloat16") and not dtype.name.startswith("float8")
