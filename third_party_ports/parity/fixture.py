"""A golden fixture: a folder with `manifest.json` and arrays that the original network computed.

Weights are not stored: `recipe.tensor` makes each one again from its official name. So you can use fixtures of any
seed, image size and batch.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from third_party_ports.checkpoints.conversion import convert
from third_party_ports.checkpoints.weights import KeyMap, WeightsError, load
from third_party_ports.parity import recipe, torch_zip

Arrays = Mapping[str, np.ndarray]
Kind = Literal["relative", "absolute", "exact"]
REMEDY = "A fixture is manifest.json with the .npz files of its format. Copy the whole folder again."


class FixtureError(ValueError):
    """A fixture is not complete, or no port serves its format. The message names the file or field, and what to do."""


class Fields(dict):
    """A JSON object of `file`. Looking up a missing field raises FixtureError."""

    def __init__(self, file: Path, fields: Mapping[str, Any]):
        super().__init__(fields)
        self.file = file

    def __missing__(self, name: str) -> NoReturn:
        raise FixtureError(f"{self.file}: the field {name!r} is missing. {REMEDY}")


class Stored(Mapping[str, np.ndarray]):
    """The arrays of `file`. It notes which ones are looked up. Looking up a missing one raises FixtureError."""

    def __init__(self, file: Path, arrays: Mapping[str, np.ndarray]):
        self.file, self._arrays = file, arrays
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise FixtureError(f"{self.file}: the array {name!r} is missing. {REMEDY}")
        self.read.add(name)
        return self._arrays[name]

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Comparison(NamedTuple):
    """An array of a fixture compared with the port's.

    Attributes:
      array: its name.
      error: ||out - ref|| / ||ref|| ("relative"), max |out - ref| ("absolute"), or the number of values that differ
        ("exact"); infinite if the shapes differ.
      kind: of the error.
      limit: the largest error that passes; 0 for "exact".
    """

    array: str
    error: float
    kind: Kind
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit; a NaN is not."""
        return bool(self.error <= self.limit)


@dataclass(frozen=True)
class Fixture:
    """A folder with manifest.json and .npz files. Reading a missing or broken part raises FixtureError."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of manifest.json."""
        return self.document("manifest.json")

    def document(self, file: str) -> dict[str, Any]:
        """Reads a file that holds one JSON object."""
        path = self.folder / file
        if not path.is_file():
            raise FixtureError(f"{path}: this file does not exist. {REMEDY}")
        try:
            document = json.loads(path.read_text(), object_hook=partial(Fields, path))
        except ValueError as error:
            raise FixtureError(f"{path}: not JSON ({error}). {REMEDY}") from error
        if not isinstance(document, dict):
            raise FixtureError(f"{path}: holds a {type(document).__name__}, not an object of fields. {REMEDY}")
        return document

    @cached_property
    def answers(self) -> Stored:
        """The arrays of io.npz."""
        return self.arrays("io.npz")

    @cached_property
    def _files(self) -> dict[str, Stored]:
        return {}

    def arrays(self, file: str) -> Stored:
        """Returns the arrays of an .npz file, which is read once."""
        path = self.folder / file
        if file not in self._files:
            if not path.is_file():
                raise FixtureError(f"{path}: this file does not exist. {REMEDY}")
            try:
                with path.open("rb") as opened, np.load(opened) as stored:  # closes a broken file too
                    self._files[file] = Stored(path, dict(stored))
            except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
                raise FixtureError(f"{path}: not a readable .npz file ({error}). {REMEDY}") from error
        return self._files[file]

    def absent(self, needed: Iterable[str]) -> list[str]:
        """Returns the names that no file holds. A name is NAME for io.npz, and FILE: NAME for another file."""
        found = []
        for name in sorted(needed):
            file, _, array = name.rpartition(": ")
            if not {array, f"tap_{array}"} & set(self.arrays(file or "io.npz")):
                found.append(name)
        return found

    def unread(self) -> list[str]:
        """Returns what was not looked up so far: arrays as FILE: NAME, and .npz files."""
        files = [path.name for path in sorted(self.folder.glob("*.npz")) if path.name not in self._files]
        arrays = (f"{file}: {name}" for file, stored in self._files.items() for name in stored.keys() - stored.read)
        return [*files, *sorted(arrays)]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Makes all tensors of the manifest, by official name."""
        return recipe.state_dict(self.manifest)

    def variables(
        self,
        keys: KeyMap,
        shapes: Mapping[str, Any],
        *,
        tensors: Mapping[str, np.ndarray] | None = None,
        computed: Mapping[str, np.ndarray] | None = None,
        write: Callable[[Path, Mapping[str, np.ndarray]], None] | None = None,
    ) -> dict[str, Any]:
        """Makes the port's variables. The weights go through an official file and the converter, as in real use.

        Args:
          keys: the port's KeyMap.
          shapes: `jax.eval_shape` of the port's init.
          tensors: replace the manifest's.
          computed: more tensors, which the official file holds and the manifest does not list.
          write: writes the official file (path, tensors), if it is not a .pth.

        Returns:
          Nested dicts of numpy arrays.
        """
        official = {**(tensors or self.state_dict()), **(computed or {})}
        with TemporaryDirectory() as folder:
            checkpoint, converted = Path(folder) / "checkpoint", Path(folder) / "port.safetensors"
            wrapper = self.manifest.get("wrapper")
            if write is None:
                torch_zip.write(checkpoint, official, wrapper=wrapper, extra={"epoch": 25} if wrapper else None)
            else:
                write(checkpoint, official)
            try:
                convert(checkpoint, converted, keys, shapes)
            except WeightsError as error:
                text = str(error).removeprefix(f"{checkpoint}: ")
                raise FixtureError(f"{self.folder / 'manifest.json'}: the field 'tensors': {text}. {REMEDY}") from error
            return load(converted, keys, shapes)

    def expected(
        self, name: str, answers: Arrays | None = None
    ) -> tuple[np.ndarray, np.ndarray | None, tuple[int, ...]]:
        """Returns the stored values of `name`, the positions of these samples (None: all values) and the full shape."""
        answers = self.answers if answers is None else answers
        stored = name if name in answers else f"tap_{name}"
        if f"{stored}_index" in answers:
            return answers[stored], answers[f"{stored}_index"], tuple(answers[f"{stored}_shape"])
        return answers[stored], None, answers[stored].shape

    def relative(self, name: str, value: ArrayLike, limit: float, answers: Arrays | None = None) -> Comparison:
        """Compares `value`, whole and in the stored layout (NCHW for maps), by the relative error."""
        return self._compare(name, value, "relative", limit, answers)

    def absolute(self, name: str, value: ArrayLike, limit: float, answers: Arrays | None = None) -> Comparison:
        """Compares `value`, whole and in the stored layout, by the largest difference."""
        return self._compare(name, value, "absolute", limit, answers)

    def exact(self, name: str, value: ArrayLike, answers: Arrays | None = None) -> Comparison:
        """Compares `value`, whole and in the stored layout, by the number of values that differ."""
        return self._compare(name, value, "exact", 0.0, answers)

    def _compare(
        self, name: str, value: ArrayLike, kind: Kind, limit: float, answers: Mapping[str, np.ndarray] | None
    ) -> Comparison:
        reference, index, shape = self.expected(name, answers)
        return compare(name, value, reference, kind, limit, index=index, shape=shape)


def compare(
    name: str,
    value: ArrayLike,
    reference: ArrayLike,
    kind: Kind,
    limit: float,
    *,
    index: np.ndarray | None = None,
    shape: Sequence[int] | None = None,
) -> Comparison:
    """Compares `value` with `reference`.

    Args:
      name: of the array, for the result.
      value, reference: arrays.
      kind, limit: see `Comparison`.
      index: positions in the flattened `value` at which `reference` was sampled; None if it is whole.
      shape: the shape that `value` must have; None if it is that of `reference`.
    """
    value, reference = np.asarray(value), np.asarray(reference)
    if value.shape != (reference.shape if shape is None else tuple(shape)):
        return Comparison(name, float("inf"), kind, limit)
    if index is not None:
        value = value.ravel()[index]
    if kind == "exact":
        return Comparison(name, float((value != reference).sum()), kind, limit)
    difference = value.astype(np.float64) - reference.astype(np.float64)
    if kind == "absolute":
        return Comparison(name, float(np.abs(difference).max(initial=0)), kind, limit)
    scale = np.linalg.norm(reference.astype(np.float64).ravel())
    return Comparison(name, float(np.linalg.norm(difference.ravel()) / max(scale, 1e-30)), kind, limit)
