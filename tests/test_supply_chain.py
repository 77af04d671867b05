"""Tests of .ci/audit.py: what the project is made of, and under which licences."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.paths import ROOT
from third_party_ports.checkpoints import zoo


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci/audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_port_has_its_licence(audit):
    """Each file or folder with a network of the zoo is named in NOTICE, with where it comes from."""
    found = audit.ports((ROOT / "NOTICE").read_text())
    assert all("erived from" in text or "ritten from" in text or "aken from" in text for text in found.values())
    titles = " ".join(found)
    for row in zoo.CHECKPOINTS.values():
        if row.module:
            folder, *file = row.module.split(":")[0].split(".")[1:]
            wanted = f"peers/{file[0]}.py" if folder == "peers" else f"{folder}/" if file else f"{folder}.py"
            assert wanted in titles, row.name


@pytest.mark.parametrize(
    ("licences", "words"),
    [
        ([{"license": {"id": "MIT"}}], "MIT"),
        ([{"license": {"name": "License :: OSI Approved :: Apache Software License"}}], "Apache-2.0"),
        ([{"license": {"id": "MIT"}}, {"license": {"name": "License :: OSI Approved :: MIT License"}}], "MIT"),
        ([{"expression": "MPL-2.0 AND MIT"}], "MPL-2.0 AND MIT"),
        ([{"license": {"name": "Copyright\nall of a licence's text"}}], "in its own words"),
        ([], "none stated"),
    ],
)
def test_licences_by_their_short_names(audit, licences, words):
    assert audit.licence({"licenses": licences}) == words


def test_without_a_network_nothing_is_claimed(audit, monkeypatch, tmp_path):
    monkeypatch.setattr(audit, "DATABASE", "http://127.0.0.1:9/none")
    assert audit.weaknesses(Path(sys.prefix), tmp_path) == "not checked: no network"
    text = audit.summary({"a 1": "MIT", "b 1": "none stated"}, {"Swin": "MIT"}, "not checked: no network")
    assert "not checked: no network" in text and "b 1" in text
