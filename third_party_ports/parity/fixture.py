"""A golden fixture: a folder with `manifest.json` and arrays that the ORIGINAL network answered.

The weights are not stored: `recipe.tensor` rebuilds each by its official name, so any fixture of these formats will do,
whatever its seed, image size or batch.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np

from third_party_ports.checkpoints.weights import KeyMap, WeightsError, load
from third_party_ports.conversion import convert
from third_party_ports.parity import recipe, torch_zip

REMEDY = "A fixture is manifest.json with the .npz files of its format: copy the whole folder again."


class FixtureError(ValueError):
    """A fixture that is not whole, or of a format that no port serves; the message names file, field and remedy."""


class Fields(dict):
    """A JSON object of `file`. Raises FixtureError for a field that is absent."""

    def __init__(self, file: Path, fields: Mapping[str, Any]):
        super().__init__(fields)
        self.file = file

    def __missing__(self, name: str):
        raise FixtureError(f"{self.file}: there is no field {name!r}. {REMEDY}")


class Stored(Mapping[str, np.ndarray]):
    """The arrays of `file`, which remember those that were looked at. Raises FixtureError for one that is absent."""

    def __init__(self, file: Path, arrays: Mapping[str, np.ndarray]):
        self.file, self._arrays = file, arrays
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise FixtureError(f"{self.file}: there is no array {name!r}. {REMEDY}")
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
    """One array of a fixture against the port's. `error` is ||out - ref|| / ||ref|| ("relative"), max |out - ref|
    ("absolute"), or the number of values that differ ("exact", limit 0); infinite for another shape."""

    array: str
    error: float
    kind: Literal["relative", "absolute", "exact"]
    limit: float

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.limit)  # a NaN fails


@dataclass(frozen=True)
class Fixture:
    """`folder` holds manifest.json and .npz files. Raises FixtureError where one of them or its content is absent."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self.document("manifest.json")

    def document(self, file: str) -> dict[str, Any]:
        """A file that holds one JSON object."""
        path = self.folder / file
        if not path.is_file():
            raise FixtureError(f"{path}: there is no such file. {REMEDY}")
        try:
            document = json.loads(path.read_text(), object_hook=partial(Fields, path))
        except ValueError as error:
            raise FixtureError(f"{path}: not JSON ({error}). {REMEDY}") from error
        if not isinstance(document, dict):
            raise FixtureError(f"{path}: a {type(document).__name__} where an object of fields is needed. {REMEDY}")
        return document

    @cached_property
    def answers(self) -> Stored:
        """The arrays of io.npz."""
        return self.arrays("io.npz")

    @cached_property
    def _files(self) -> dict[str, Stored]:
        return {}

    def arrays(self, file: str) -> Stored:
        """The arrays of an .npz file, read once."""
        path = self.folder / file
        if file not in self._files:
            if not path.is_file():
                raise FixtureError(f"{path}: there is no such file. {REMEDY}")
            try:
                with path.open("rb") as opened, np.load(opened) as stored:  # a broken file is closed too
                    self._files[file] = Stored(path, dict(stored))
            except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
                raise FixtureError(f"{path}: not a readable .npz file ({error}). {REMEDY}") from error
        return self._files[file]

    def absent(self, needed: Iterable[str]) -> list[str]:
        """Those of the names that no file holds: NAME of io.npz, and FILE: NAME of another."""
        found = []
        for name in sorted(needed):
            file, _, array = name.rpartition(": ")
            if not {array, f"tap_{array}"} & set(self.arrays(file or "io.npz")):
                found.append(name)
        return found

    def unread(self) -> list[str]:
        """What nobody looked at so far: arrays as FILE: NAME, and .npz files."""
        files = [path.name for path in sorted(self.folder.glob("*.npz")) if path.name not in self._files]
        arrays = (f"{file}: {name}" for file, stored in self._files.items() for name in stored.keys() - stored.read)
        return [*files, *sorted(arrays)]

    def state_dict(self) -> dict[str, np.ndarray]:
        """All tensors of the manifest by official name."""
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
        """The port's variables for this fixture's weights, sent through the converter as the official file.

        Args:
          shapes: `jax.eval_shape` of the port's init.
          tensors: in place of the manifest's.
          computed: tensors beside them that the official file holds and the manifest does not list.
          write: of the official file, where it is no .pth.
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
                raise FixtureError(f"{self.folder / 'manifest.json'}: its tensors: {text}. {REMEDY}") from error
            return load(converted, keys, shapes)

    def expected(self, name: str, answers: Mapping[str, np.ndarray] | None = None) -> tuple:
        """The stored values of `name`, the positions they were sampled at (None: whole) and the full shape."""
        answers = self.answers if answers is None else answers
        stored = name if name in answers else f"tap_{name}"
        if f"{stored}_index" in answers:
            return answers[stored], answers[f"{stored}_index"], tuple(answers[f"{stored}_shape"])
        return answers[stored], None, answers[stored].shape

    def relative(
        self, name: str, value: np.ndarray, limit: float, answers: Mapping[str, np.ndarray] | None = None
    ) -> Comparison:
        """`value` in the stored layout (NCHW where the fixture says so), full shape."""
        return self._compare(name, value, "relative", limit, answers)

    def absolute(
        self, name: str, value: np.ndarray, limit: float, answers: Mapping[str, np.ndarray] | None = None
    ) -> Comparison:
        return self._compare(name, value, "absolute", limit, answers)

    def exact(self, name: str, value: np.ndarray, answers: Mapping[str, np.ndarray] | None = None) -> Comparison:
        return self._compare(name, value, "exact", 0.0, answers)

    def _compare(self, name: str, value: np.ndarray, kind, limit: float, answers) -> Comparison:
        reference, index, shape = self.expected(name, answers)
        return compare(name, value, reference, kind, limit, index=index, shape=shape)


def compare(
    name: str,
    value: Any,
    reference: Any,
    kind: Any,
    limit: float,
    *,
    index: np.ndarray | None = None,
    shape: Sequence[int] | None = None,
) -> Comparison:
    """Compares `value`, sampled at `index` of its flattened form where given, with `reference`."""
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
