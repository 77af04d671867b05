"""The project's own source as a graph: which file imports which, and where its functions stand."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.helpers.paths import ROOT

PACKAGES = ("ipa_jax", "data_builders", "third_party_ports", "configs")


@cache
def files(*tops: str) -> list[Path]:
    """Python files below the packages, or below `tops`."""
    return [file for top in tops or PACKAGES for file in sorted((ROOT / top).rglob("*.py"))]


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def module(file: Path) -> str:
    """ "a.b" of a/b.py and of a/b/__init__.py."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(file: Path, *, typing: bool = True) -> set[str]:
    """Full names of what a file imports, at its top or in functions; with `typing`, also for type checkers alone."""
    names = set()
    checked = [
        node for node in ast.walk(tree(file)) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    unseen = {part for block in checked for part in ast.walk(block)} if not typing else set()
    for node in ast.walk(tree(file)):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def arrows() -> dict[str, set[str]]:
    """Module -> the project's modules that it imports."""
    known = {module(file) for file in files()}
    found = {}
    for file in files():
        targets = set()
        for name in imported(file):
            while name and name not in known:  # a definition of a module
                name = name.rpartition(".")[0]
            targets |= {name} - {""}
        found[module(file)] = targets - {module(file)}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one circle, in order; empty where the graph has none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if found := walk(target, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
