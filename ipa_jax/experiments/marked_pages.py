"""Tables within a page of prose: each stands between <!-- name --> and <!-- /name -->; only that part is written."""

from collections.abc import Sequence
from pathlib import Path


def require(file: Path, name: str) -> None:
    """Raises ValueError where the page is there and could not be filled: before hours of runs."""
    if file.is_file():
        _parts(file, file.read_text(), name)


def fill(file: Path, name: str, lines: Sequence[str]) -> None:
    """Replaces what stands between the marks; a page that is not there becomes that part alone. Raises as `require`."""
    begin, end = _marks(name)
    before, after = _parts(file, file.read_text() if file.is_file() else f"{begin}\n{end}\n", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(before + "\n".join([begin, "", *lines, "", end]) + after)
    temporary.rename(file)
    print(f"wrote {file}")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def _parts(file: Path, text: str, name: str) -> tuple[str, str]:
    begin, end = _marks(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{file}: needs one line {begin} and, below it, one line {end}; the table goes between them")
    return text.split(begin)[0], text.split(end)[1]
