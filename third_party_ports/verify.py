"""Proves the ports against golden fixtures: what the original networks answered, whatever seed and size.

    python -m ipa_jax verify FIXTURE_DIR... [--json | --markdown | --readme FILE]

Prints one row an array: error, kind, limit, pass. A FIXTURE_DIR may also be a folder of fixtures. Times go to stderr.
The exit status is 1 if an array misses its limit, if a fixture cannot be run, lacks an array that its format has, or
holds one that was not compared; the others are run all the same.

--json prints one list of {"fixture", "array", "error", "kind", "limit", "passed", "problem"}. An error that is not
finite (another shape, a NaN) is null, as JSON has no such number; "passed" is false then. A fixture that cannot be run
or is not whole has one more object in which "problem" says why; it is null in all others.
"""

import ast
import importlib
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from third_party_ports.cli import Parser
from third_party_ports.files import write_text

if TYPE_CHECKING:
    from third_party_ports.parity.fixture import Comparison, Fixture

BEGIN, END = "<!-- parity -->", "<!-- /parity -->"  # around the table in a README


class Row(NamedTuple):
    """One array of a fixture, or the problem that kept the fixture from being run."""

    fixture: str
    comparison: "Comparison | None"
    problem: str | None = None

    @property
    def passed(self) -> bool:
        return self.comparison is not None and self.comparison.passed


def verify(folder: Path) -> list[Row]:
    """The rows of one fixture. Whatever goes wrong becomes a row of its own after those that were reached."""
    import jax

    from third_party_ports.checkpoints.weights import some
    from third_party_ports.parity.fixture import REMEDY, Fixture

    rows, problems, absent = [], [], []
    try:
        fixture = Fixture(folder)
        module = parity_module(fixture)
        absent = fixture.absent(module.needed(fixture))
        with jax.default_matmul_precision("highest"):  # accelerators round the factors otherwise
            for comparison in module.compare(fixture):
                rows.append(Row(str(folder), comparison))
        if unread := fixture.unread():
            problems.append(f"{folder}: not compared: {some(unread)}. Nothing in the manifest tells of them.")
    except Exception as error:  # a broken fixture must not keep the others from being run
        if not absent:  # else the array that it stumbled over is among them
            problems.append(problem(folder, error))
    if absent:
        problems.append(f"{folder}: without the arrays {some(absent)}. {REMEDY}")
    if not rows and not problems:
        problems.append(f"{folder}: no array was compared. {REMEDY}")
    return rows + [Row(str(folder), None, text) for text in problems]


def parity_module(fixture: "Fixture") -> ModuleType:
    """The module of third_party_ports/parity for the fixture's format. Raises FixtureError if there is none."""
    from third_party_ports import parity
    from third_party_ports.parity.fixture import FixtureError

    if (fixture.folder / "geometry.json").is_file():
        return importlib.import_module(f"{parity.__name__}.dekr_post")
    if "files" in fixture.manifest:
        return importlib.import_module(f"{parity.__name__}.torch_files")
    model = fixture.manifest.get("model")
    known = models(Path(parity.__path__[0]))
    if not isinstance(model, str) or model not in known:
        raise FixtureError(
            f"{fixture.folder / 'manifest.json'}: no port of model {model!r}; there are {', '.join(sorted(known))} "
            "(and fixtures with a geometry.json, or a field `files`). Correct the field, or add a module with this "
            "name in its MODELS to third_party_ports/parity."
        )
    return importlib.import_module(f"{parity.__name__}.{known[model]}")


def models(folder: Path) -> dict[str, str]:
    """Model -> the name of the module whose MODELS has it. Read, not imported: one network needs no other."""
    found = {}
    for file in sorted(folder.glob("*.py")):
        declared = re.search(r"^MODELS\b[^=]*=\s*(\([^)]*\))", file.read_text(), re.MULTILINE)
        found |= dict.fromkeys(ast.literal_eval(declared[1]) if declared else (), file.stem)
    return found


def problem(folder: Path, error: Exception) -> str:
    """Why a fixture cannot be run: the folder, the field or file, the remedy."""
    from third_party_ports.parity.fixture import REMEDY, FixtureError

    text = " ".join(str(error).split())
    if isinstance(error, FixtureError):
        return text
    if isinstance(error, KeyError):
        text = f"nothing in its port is called {text}, which is stored or asked for"
    elif not isinstance(error, ValueError | OSError):
        text = f"{type(error).__name__}: {text}"
    return f"{text if str(folder) in text else f'{folder}: {text}'}".rstrip(".") + f". {REMEDY}"


def fixtures(folder: Path) -> list[Path]:
    """The folder itself if it is a fixture, else the fixtures in it; if there are none, itself, to be reported."""
    if (folder / "manifest.json").is_file():
        return [folder]
    return sorted(manifest.parent for manifest in folder.glob("*/manifest.json")) or [folder]


def text_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Rows for the screen."""
    for row in rows:
        if row.comparison is None:
            yield f"{row.fixture:<28} {row.problem}  FAIL"
        else:
            c = row.comparison
            yield (
                f"{row.fixture:<28} {c.array:<44} {number(c.error):>8} {c.kind:<9} {number(c.limit):>7}  "
                f"{'pass' if row.passed else 'FAIL'}"
            )


def markdown_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Rows as a Markdown table."""
    yield "| fixture | array | error | kind | limit | |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        name, c = Path(row.fixture).name, row.comparison
        if c is None:
            yield f"| {name} | {row.problem} | | | | **FAIL** |"
        else:
            mark = "pass" if row.passed else "**FAIL**"
            yield f"| {name} | {c.array} | {number(c.error)} | {c.kind} | {number(c.limit)} | {mark} |"


def number(value: float) -> str:
    return f"{value:.1e}" if value % 1 else f"{value:g}"


def json_objects(rows: Iterable[Row]) -> list[dict]:
    """Rows as the module's docstring tells."""
    return [
        {
            "fixture": row.fixture,
            **dict.fromkeys(("array", "error", "kind", "limit")),
            **(row.comparison._asdict() if row.comparison else {}),
            "passed": row.passed,
            "problem": row.problem,
        }
        for row in rows
    ]


def with_table(readme: str, table: Iterable[str]) -> str:
    """The text with the lines between the markers replaced. Raises ValueError if it has not exactly one of each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"needs one line {BEGIN} and, below it, one line {END}; the table goes between them")
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    return before + "\n".join([BEGIN, *table, END]) + after


def main(arguments: list[str] | None = None) -> int:
    parser = Parser("verify", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FIXTURE_DIR", help="folder with manifest.json")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a list of objects on stdout, nothing else")
    form.add_argument("--markdown", action="store_true", help="a Markdown table")
    form.add_argument("--readme", type=Path, metavar="FILE", help=f"write the table into FILE, between {BEGIN} lines")
    options = parser.parse_args(arguments)
    if options.readme:
        try:
            readme = options.readme.read_text()
            with_table(readme, [])
        except (OSError, ValueError) as error:
            parser.error(f"--readme {options.readme}: {error}")

    rows = []
    for folder in (fixture for given in options.folders for fixture in fixtures(given)):
        start = time.monotonic()
        found = verify(folder)
        rows += found
        print(f"{folder}: {len(found)} rows in {time.monotonic() - start:.1f} s", file=sys.stderr)
        if not (options.json or options.markdown or options.readme):
            print("\n".join(text_lines(found)), flush=True)
    failed = sum(not row.passed for row in rows)
    if options.json:
        import orjson

        print(orjson.dumps(json_objects(rows), option=orjson.OPT_INDENT_2).decode())
    elif options.markdown:
        print("\n".join(markdown_lines(rows)))
    elif options.readme and not failed:
        write_text(options.readme, with_table(readme, markdown_lines(rows)))
    elif options.readme:
        print("\n".join([*text_lines(row for row in rows if not row.passed), "The table is left as it was."]))
    print(f"{len(rows)} rows, {failed} fail", file=sys.stderr)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
