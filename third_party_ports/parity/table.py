"""The rows of `ipa-jax verify` as text, Markdown and JSON."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from third_party_ports.parity.check import Row

BEGIN, END = "<!-- parity -->", "<!-- /parity -->"  # the lines around the table in a README


def text_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Formats rows for the screen."""
    for row in rows:
        if row.comparison is None:
            yield f"{row.fixture:<28} {row.problem}  FAIL"
        else:
            c = row.comparison
            yield (
                f"{row.fixture:<28} {c.array:<44} {_number(c.error):>8} {c.kind:<9} {_number(c.limit):>7}  "
                f"{'pass' if row.passed else 'FAIL'}"
            )


def markdown_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Formats rows as a Markdown table."""
    yield "| fixture | array | error | kind | limit | |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        name, c = Path(row.fixture).name, row.comparison
        if c is None:
            yield f"| {name} | {row.problem} | | | | **FAIL** |"
        else:
            mark = "pass" if row.passed else "**FAIL**"
            yield f"| {name} | {c.array} | {_number(c.error)} | {c.kind} | {_number(c.limit)} | {mark} |"


def json_objects(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Turns rows into the objects that `ipa-jax verify --help` describes."""
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
    """Replaces the lines between the marks of a README. Raises ValueError unless it has one of each, in order."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"needs one line {BEGIN} and, below it, one line {END}; the table goes between them")
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    return before + "\n".join([BEGIN, *table, END]) + after


def _number(value: float) -> str:
    return f"{value:.1e}" if value % 1 else f"{value:g}"
