"""The program `ipa-jax`: what it lists, runs and refuses."""

import platform
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ipa_jax.program import COMMANDS, main
from tests.helpers.paths import ROOT


def test_help_lists_every_command(capsys):
    assert main([]) == main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and command.text in shown for name, command in COMMANDS.items())


def test_an_unknown_command_is_refused(capsys):
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "trian" in error and "train" in error


@pytest.mark.parametrize("here", [("Windows", "AMD64"), ("Darwin", "x86_64")])
def test_another_platform_gets_one_sentence(monkeypatch, capsys, here):
    monkeypatch.setattr(platform, "system", lambda: here[0])
    monkeypatch.setattr(platform, "machine", lambda: here[1])
    assert main(["train"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and here[0] in error
    assert main(["--help"]) == 0


def test_pins_are_within_the_ranges():
    """Each dependency is pinned exactly in the lock, with hashes, which `make lock` makes; the files agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locks = [(ROOT / name).read_text().splitlines() for name in ("requirements.txt", "requirements-dev.txt")]
    pinned = [dict(line.split(" ")[0].split("==") for line in lock if not line.startswith(" ")) for lock in locks]
    for wanted in project["dependencies"]:
        requirement = Requirement(wanted)
        name = canonicalize_name(requirement.name)
        assert pinned[0][name] in requirement.specifier, wanted
    assert pinned[0].items() <= pinned[1].items()
    light = (ROOT / "requirements-light.txt").read_text().splitlines()[0].split(" ")[0].split("==")
    assert pinned[1][light[0]] == light[1]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-light.txt"])
def test_every_pin_has_hashes_and_no_index_is_named(name):
    lock = (ROOT / name).read_text()
    for pin in lock.replace(" \\\n ", " ").splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", pin), pin[:80]
    assert not re.search("://|--index|--find-links|/opt", lock)
