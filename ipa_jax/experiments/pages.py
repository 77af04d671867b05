"""Pages of results: marked parts of a Markdown page, and how figures and differences are printed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ipa_jax.experiments.statistics import UNDECIDED, verdict
from ipa_jax.metrics.registry import METRICS
from third_party_ports import files

NONE = "-"


def require(file: Path, part: str) -> None:
    """Raises ValueError if the page exists and has no place for the part: before hours of runs, not after them."""
    if file.is_file():
        _around(file, file.read_text(), part)


def fill(file: Path, part: str, command: str, lines: Sequence[str]) -> None:
    """Prints a part of a page and writes it between its marks, <!-- part --> and <!-- /part -->.

    The rest of the page stays as it is. A page that does not exist becomes this part alone.

    Args:
      file: the page.
      part: the name in the marks.
      command: the command that makes this part; it is printed above the lines.
      lines: the part, as lines of Markdown.
    Raises:
      ValueError: the page has no such marks.
    """
    begin, end = _marks(part)
    before, after = _around(file, file.read_text() if file.is_file() else f"{begin}\n{end}\n", part)
    inside = [*made_by(command), *lines]
    print("\n" + "\n".join(inside))
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(file, before + "\n".join([begin, "", *inside, "", end]) + after)
    print(f"wrote {file}")


def made_by(command: str) -> list[str]:
    """The command that makes a page again, as a code block."""
    return ["```sh", command, "```", ""]


def _marks(part: str) -> tuple[str, str]:
    return f"<!-- {part} -->", f"<!-- /{part} -->"


def _around(file: Path, text: str, part: str) -> tuple[str, str]:
    """The text before and after a part."""
    begin, end = _marks(part)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{file}: needs one line {begin} and, below it, one line {end}; the table goes between them")
    return text.split(begin)[0], text.split(end)[1]


def line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def number(value: float | None, metric: str) -> str:
    """A metric with the digits of a table, percentages without the percent sign; a dash for None."""
    if value is None:
        return NONE
    row = METRICS[metric]
    return f"{(100 if row.percent else 1) * value:.{row.table_digits}f}"


def interval(values: Sequence[float] | None, metric: str) -> str:
    """ "low to high" in the digits of `number`; a dash for None."""
    return " to ".join(number(value, metric) for value in values) if values else NONE


def points(found: Mapping[str, Any]) -> str:
    """A difference in accuracy with its 95 % interval, in points: "+1.0 (-0.2 to +2.1)".

    Args:
      found: "difference" and "interval", fractions; the interval is None where there are too few accounts for one.
    """
    if found["interval"] is None:
        return f"{100 * found['difference']:+.1f} (too few accounts for an interval)"
    low, high = (100 * value for value in found["interval"])
    return f"{100 * found['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def difference(found: Mapping[str, Any] | None) -> str:
    """The difference as `points`, marked as undecided if its interval does not exclude 0; a dash for None."""
    if found is None:
        return NONE
    return points(found) + (f", {UNDECIDED}" if verdict(found["interval"]) == UNDECIDED else "")
