"""Hook of mkdocs: adds the pages that are not in docs/, and rewrites the links between pages for the site.

Pages that are elsewhere in the tree (README.md, the ports' page) get a page in the site. Each folder of a package gets
one too, which mkdocstrings fills from the docstrings.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
ELSEWHERE = {  # a file of the project: its page in the site
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "third_party_ports/README.md": "ports.md",
    "configs/full.py": "full_config.md",
}
PACKAGES = ("ipa_jax", "data_builders", "third_party_ports")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def folders(package: str) -> Iterator[Path]:
    """The package's folders that hold modules, the package first."""
    return (folder for folder in sorted([ROOT / package, *(ROOT / package).rglob("*/")]) if any(folder.glob("*.py")))


def api_page(folder: Path) -> str:
    """The page about a folder's own modules; mkdocstrings replaces the lines that start with `:::`."""
    name = ".".join(folder.relative_to(ROOT).parts)
    modules = (file.stem for file in sorted(folder.glob("*.py")) if not file.stem.startswith("__"))
    return "\n\n".join([f"# {name}", *(f"::: {name}.{module}" for module in modules)])


def on_config(config: Any) -> Any:
    """Appends the section "API" to the navigation."""
    pages = {
        package: [f"api/{'.'.join(folder.relative_to(ROOT).parts)}.md" for folder in folders(package)]
        for package in PACKAGES
    }
    config.nav.append({"API": [{package: pages[package]} for package in PACKAGES]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages from elsewhere in the tree, and the pages of the API."""
    for source, page in ELSEWHERE.items():
        text = (ROOT / source).read_text()
        if source.endswith(".py"):
            text = f"# {source}\n\n```python\n{text}```\n"
        files.append(File.generated(config, page, content=text))
    for package in PACKAGES:
        for folder in folders(package):
            name = ".".join(folder.relative_to(ROOT).parts)
            files.append(File.generated(config, f"api/{name}.md", content=api_page(folder)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Points each relative link at a page of the site. A link to a file that has no page becomes plain text."""
    sources = {name: source for source, name in ELSEWHERE.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def rewritten(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        path, mark, anchor = target.partition("#")
        if not path or "://" in target:
            return link[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        name = ELSEWHERE.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
        if name is None or name.startswith("runs/"):
            return text
        return f"{image}[{text}]({posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or '.')}{mark}{anchor})"

    return LINK.sub(rewritten, markdown.replace("<details>", '<details markdown="1">'))
