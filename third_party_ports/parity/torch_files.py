"""Compares every tensor that `torch_files` reads from files written by PyTorch, in value and dtype."""

from collections.abc import Iterator

import numpy as np

from third_party_ports.checkpoints import files
from third_party_ports.checkpoints.wrappers import KEYS
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.fixture import compare as compare_values

MODELS: tuple[str, ...] = ()  # the format is known by the manifest's "files"


def needed(fixture: Fixture) -> set[str]:
    return {f"expected.npz: {name}" for name in fixture.manifest["dtypes"]}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row, "FILE NAME", for each file and each tensor in it.

    A file of parameters holds `p`, and buffers of ones that expected.npz does not list. Other files hold all the rest.
    """
    expected = fixture.arrays("expected.npz")
    for file in sorted({*fixture.manifest["files"], *(path.name for path in fixture.folder.glob("*.pth"))}):
        read = files.read(fixture.folder / file, KEYS).tensors
        parameters = "p" in read
        names = {name for name in expected if (name == "p") == parameters}
        for name in sorted(names | read.keys()):
            reference = expected.get(name)
            if name not in read or (reference is None and not parameters):
                yield Comparison(f"{file} {name}", float("inf"), "exact", 0.0)  # missing, or unknown
                continue
            value = read[name]
            if reference is None:
                reference = np.ones_like(value)
            dtype = fixture.manifest["dtypes"].get(name, f"torch.{value.dtype}").removeprefix("torch.")
            if value.dtype.name != dtype:
                yield Comparison(f"{file} {name}", float("inf"), "exact", 0.0)
                continue
            yield compare_values(f"{file} {name}", value.astype(reference.dtype), reference, "exact", 0.0)
