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


def imported(file: Path, *, loaded: bool = False) -> set[str]:
    """Full names of what a file imports: at its top, in functions, for type checkers.

    loaded: only what importing the file loads.
    """
    unseen: set[ast.AST] = set()
    if loaded:
        inner = [*functions(file), *(n for n in ast.walk(tree(file)) if isinstance(n, ast.If) and _for_checkers(n))]
        unseen = {part for block in inner for part in ast.walk(block)}
    names = set()
    for node in ast.walk(tree(file)):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _for_checkers(block: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.unparse(block.test)


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


def public_functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions at the top of a file, and methods of its classes, that others may call."""
    bodies = [tree(file).body, *(node.body for node in tree(file).body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if named and (not node.name.startswith("_") or node.name == "__init__"):
            yield node
