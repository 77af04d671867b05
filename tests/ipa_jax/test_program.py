"""The program `ipa-jax`: what it lists, runs and refuses."""

import platform
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ipa_jax.__main__ import COMMANDS, main
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
    """Each dependency is pinned exactly in the lock, which `make lock` makes; both files agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locks = [(ROOT / name).read_text().splitlines() for name in ("requirements.txt", "requirements-dev.txt")]
    pinned = [dict(line.split(" ;")[0].split("==") for line in lock) for lock in locks]
    for wanted in project["dependencies"]:
        requirement = Requirement(wanted)
        name = canonicalize_name(requirement.name)
        assert pinned[0][name] in requirement.specifier, wanted
    assert pinned[0].items() <= pinned[1].items()
