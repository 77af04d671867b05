"""Runs the short form of every benchmark, a process each, and prints what ran and how long it took: `make bench`.

Run: python -m benchmarks [NAME ...]

A benchmark is a script of this folder: it takes --short, and its docstring begins with what it measures. Packages that
it cannot do without are in its constant NEEDS, those of a reference in PACKAGES. A benchmark that fails is told of,
the others run all the same, and the exit status is 1.
"""

import argparse
import ast
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import machine, program

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Benchmark:
    """A script: its name, what it measures, the packages that it needs, and those that its reference needs."""

    name: str
    text: str
    needs: tuple[str, ...]
    reference: tuple[str, ...]


def benchmarks() -> dict[str, Benchmark]:
    """The scripts of this folder by name; what they share is none of them."""
    found = {}
    for file in sorted(FOLDER.glob("*.py")):
        source = file.read_text()
        if file.stem == "__main__" or 'if __name__ == "__main__":' not in source:
            continue
        tree = ast.parse(source)
        constants = {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id in ("NEEDS", "PACKAGES")
        }
        text = " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())
        needs, reference = (tuple(constants.get(name, ())) for name in ("NEEDS", "PACKAGES"))
        found[file.stem] = Benchmark(file.stem, text, needs, reference)
    return found


def run(benchmark: Benchmark) -> tuple[bool, str, str]:
    """(whether it is fine, seconds, what became of it) of the short form."""
    if lacking := absent(benchmark.needs):
        return True, "", f"not measured: needs {lacking}"
    ran = program("-m", f"benchmarks.{benchmark.name}", "--short")
    seconds = f"{ran.seconds:.0f} s, {ran.cpu:.0f} CPU s"
    if ran.status:
        return False, seconds, f"FAILED with status {ran.status}"
    lacking = absent(benchmark.reference)
    return True, seconds, f"reference not measured: needs {lacking}" if lacking else "done"


def absent(packages: tuple[str, ...]) -> str:
    """Those that are not installed, separated by commas."""
    return ", ".join(package for package in packages if importlib.util.find_spec(package) is None)


def main() -> int:
    known = benchmarks()
    listed = "\n".join(f"  {one.name:15} {one.text}" for one in known.values())
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks", description=__doc__, formatter_class=as_written, epilog=listed)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the list below (default: all)")
    args = parser.parse_args()
    if unknown := set(args.names) - known.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; choose from {', '.join(known)}")

    rows = []
    for name in args.names or known:
        print(f"\n== {name}: {known[name].text}", flush=True)
        rows.append((name, *run(known[name])))
    print(f"\n{machine()}")
    for name, _, seconds, outcome in rows:
        print(f"{name:15} {seconds:18} {outcome}")
    return int(not all(fine for _, fine, *_ in rows))


if __name__ == "__main__":
    sys.exit(main())
