"""Damage to files, as disks and transfers do it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def flips(file: Path, count: int = 20, seed: int = 0) -> Iterator[str]:
    """Flips a random bit of the file, yields which one, and puts it back; `count` times."""
    content = file.read_bytes()
    for bit in np.random.default_rng(seed).integers(0, 8 * len(content), count).tolist():
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        yield f"{file.name}: bit {bit % 8} of byte {bit // 8}"
    file.write_bytes(content)


def require_noticed(file: Path, load: Callable[[], Any], kind: type[Exception], same: Callable[[Any, Any], bool]):
    """A flip, a cut, an empty and a foreign file: `load` raises `kind` with the file's name, or reads what it read."""
    whole, content = load(), file.read_bytes()
    noticed = 0
    for flip in flips(file):
        try:
            assert same(load(), whole), f"{flip} changed a value"
        except kind as error:
            assert file.name in str(error), flip
            noticed += 1
    assert noticed > 15
    for wrong in (content[: len(content) // 2], content[:-1], b"", b"\0" * len(content), b"PK\3\4 not this format"):
        file.write_bytes(wrong)
        with pytest.raises(kind, match=file.name):
            load()
    file.write_bytes(content)
    assert same(load(), whole)
