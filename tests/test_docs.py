"""What the README and the pages of docs/ point at: files, headings, commands, flags and fields of the config."""

import functools
import importlib
import re
from pathlib import Path

import pytest

from configs import full
from ipa_jax.program import COMMANDS
from tests.helpers.paths import ROOT

PAGES = [file for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "third_party_ports/README.md",
                         *sorted((ROOT / "docs").glob("*.md"))) if file.is_file()]  # fmt: skip
FOLDERS = ("benchmarks", "configs", "data_builders", "docs", "ipa_jax", "tests", "third_party_ports")
FIELDS = full.get_config().to_dict()
# The parts of a config that pages name without "config." before them.
PARTS = "|".join(name for name, value in FIELDS.items() if isinstance(value, dict))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _blocks(text: str) -> list[str]:
    """The code blocks of a page, their continued lines joined."""
    return [block.replace("\\\n", " ") for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)]


def _prose(text: str) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def _spans(text: str) -> list[str]:
    """What stands between backticks outside of code blocks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _prose(text))]


@functools.cache
def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", _prose(page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text())):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in _anchors(file), f"{page.name} links to {target}; its headings: {sorted(_anchors(file))}"


@each_page
def test_every_page_of_docs_is_in_the_index(page):
    if page.parent == ROOT / "docs" and page.name != "index.md":
        assert f"]({page.name})" in (page.parent / "index.md").read_text(), f"docs/index.md does not list {page.name}"


@each_page
def test_files_that_are_named_exist(page):
    """A path from the root, with * and :SIZE allowed; or the bare name of a Python file, which is in some folder."""
    names = {file.name for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    for span in _spans(page.read_text()):
        path, _, _ = span.partition(":")
        if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./*-]*", path):
            assert any(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}, which does not exist"
        elif re.fullmatch(r"\w+\.py", path):
            assert path in names, f"{page.name} names {path}, which does not exist"


def _commands(text: str) -> list[tuple[str, str]]:
    """(command, what follows it) of each command line of a page. In a table the whole row belongs to its first one."""
    lines = [line.split(" #")[0] for block in _blocks(text) for line in block.splitlines()]
    rows = [" ".join(_spans(line)) for line in text.splitlines() if line.startswith("| `ipa-jax ")]
    found = [re.match(r"(?:\$ )?(?:ipa-jax|python -m ipa_jax) (\S+)(.*)", line) for line in lines + rows + _spans(text)]
    return [(match[1], match[2]) for match in found if match and match[1] not in ("COMMAND", "NAME", "--help")]


@functools.cache
def _help(command: str, *words: str) -> str:
    with pytest.raises(SystemExit) as stopped, pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr(
            "argparse.ArgumentParser._print_message", lambda self, message, file=None: printed.append(message)
        )
        importlib.import_module(COMMANDS[command].module).main([*words, "--help"])
    assert stopped.value.code == 0
    return "".join(printed)


@each_page
def test_commands_and_flags_exist(page):
    for command, rest in _commands(page.read_text()):
        assert command in COMMANDS, f"{page.name}: ipa-jax {command} is not a command"
        words = rest.split()[:1] if command == "human-study" else []
        text = _help(command, *words)
        for flag in re.findall(r"(?<!\S)\[?(--[\w.-]+)", rest):
            if not flag.startswith("--config."):
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", text), f"{page.name}: ipa-jax {command} has no {flag}"


def _has_field(path: str) -> bool:
    """Whether the config has a field of that name; "PART.*" is a part and all of its fields."""
    value = FIELDS
    for name in path.removesuffix(".*").split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


@each_page
def test_fields_of_the_config_exist(page):
    text = page.read_text()
    spans = [span for span in _spans(text) if not re.search(r"\.(py|md|json|csv|parquet|html)$", span)]
    named = re.findall(rf"^((?:{PARTS})\.[a-z_]+[a-z_.]*\*?)(?=\W|$)", "\n".join(spans), re.M)
    named += re.findall(r"--config\.([a-z][\w.]*)", text)
    named += re.findall(r"--set ((?:init|model|optim|train)\.\w+)", text)
    for path in named:
        assert _has_field(path), f"{page.name} names the field {path}, which configs/full.py does not have"
