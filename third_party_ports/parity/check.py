"""Runs a golden fixture through the port that it belongs to, and collects the results."""

import ast
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import jax

from third_party_ports.checkpoints.weights import some
from third_party_ports.parity.fixture import REMEDY, Comparison, Fixture, FixtureError

FOLDER = Path(__file__).parent


class Row(NamedTuple):
    """The result for one array of a fixture, or a problem with the fixture."""

    fixture: str
    comparison: Comparison | None
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the array is within its limit; False for a problem."""
        return self.comparison is not None and self.comparison.passed


def verify(folder: Path) -> list[Row]:
    """Runs one fixture. Raises nothing: whatever goes wrong becomes a row after those that were computed."""
    rows, problems, absent = [], [], []
    try:
        fixture = Fixture(folder)
        module = parity_module(fixture)
        absent = fixture.absent(module.needed(fixture))
        with jax.default_matmul_precision("highest"):  # accelerators would round the factors
            for comparison in module.compare(fixture):
                rows.append(Row(str(folder), comparison))
        if unread := fixture.unread():
            problems.append(
                f"{folder}: these arrays were not compared: {some(unread)}. The manifest does not mention them: remove "
                "them, or add them to the manifest."
            )
    except Exception as error:  # a broken fixture must not stop the others
        if not absent:  # otherwise the array that it failed on is one of the absent ones
            problems.append(problem(folder, error))
    if absent:
        problems.append(f"{folder}: the arrays {some(absent)} are missing. {REMEDY}")
    if not rows and not problems:
        problems.append(f"{folder}: no array was compared. {REMEDY}")
    return rows + [Row(str(folder), None, text) for text in problems]


def parity_module(fixture: Fixture) -> ModuleType:
    """Returns the module of third_party_ports/parity for the fixture's format. Raises FixtureError if none fits."""
    if (fixture.folder / "geometry.json").is_file():
        name = "dekr_post"
    elif "files" in fixture.manifest:
        name = "torch_files"
    else:
        model = fixture.manifest.get("model", fixture.manifest.get("network"))
        known = models(FOLDER)
        if not isinstance(model, str) or model not in known:
            raise FixtureError(
                f"{fixture.folder / 'manifest.json'}: no port of model {model!r}. Known models are "
                f"{', '.join(sorted(known))}. Correct the field, or add a module whose MODELS has this name to "
                "third_party_ports/parity."
            )
        name = known[model]
    return importlib.import_module(f"third_party_ports.parity.{name}")


def models(folder: Path) -> dict[str, str]:
    """Finds the modules that serve a model, by the model's name.

    The modules' MODELS are read and not imported, so that one network's fixture loads no other network.
    """
    found = {}
    for file in sorted(folder.glob("*.py")):
        declared = re.search(r"^MODELS\b[^=]*=\s*(\([^)]*\))", file.read_text(), re.MULTILINE)
        found |= dict.fromkeys(ast.literal_eval(declared[1]) if declared else (), file.stem)
    return found


def problem(folder: Path, error: Exception) -> str:
    """Says why a fixture cannot be run: the folder, the field or file, and what to do."""
    text = " ".join(str(error).split())
    if isinstance(error, FixtureError):
        return text
    if isinstance(error, KeyError):
        text = f"the port has nothing called {text}, which the fixture stores or asks for"
    elif not isinstance(error, ValueError | OSError):
        text = f"{type(error).__name__}: {text}"
    return f"{text if str(folder) in text else f'{folder}: {text}'}".rstrip(".") + f". {REMEDY}"


def fixtures(folder: Path) -> list[Path]:
    """Returns the folder if it is a fixture, otherwise the fixtures in it, or the folder itself if it has none."""
    if (folder / "manifest.json").is_file():
        return [folder]
    return sorted(manifest.parent for manifest in folder.glob("*/manifest.json")) or [folder]
