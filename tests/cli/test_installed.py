"""The package as others get it: a wheel, installed, and its commands run from a folder that holds nothing else."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("configs", "data_builders", "ipa_jax", "third_party_ports")
FLAGS = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")


def pip(*arguments: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built without the network, from a copy: setuptools writes into the folder that it builds from."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", *FLAGS, "--no-build-isolation", "--wheel-dir", source / "dist", source)
    [file] = (source / "dist").glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder with the installed packages and bin/ipa-jax."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", *FLAGS, "--target", folder, wheel)
    return folder


@pytest.fixture
def run(installed, tmp_path, monkeypatch):
    """Runs the installed program in an empty folder; PYTHONPATH comes before a checkout that is installed too."""
    monkeypatch.chdir(tmp_path)

    def run(*command: str) -> str:
        own = {"PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("ipa_jax-")}
    files = (file for name in PACKAGES for file in (ROOT / name).rglob("*"))
    wanted = {file.relative_to(ROOT).as_posix() for file in files if file.is_file() and "__pycache__" not in file.parts}
    assert held == wanted


def test_the_wheel_names_its_licence_and_extras(wheel):
    archive = zipfile.ZipFile(wheel)
    [folder] = {name.split("/")[0] for name in archive.namelist() if name.startswith("ipa_jax-")}
    metadata = archive.read(f"{folder}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata and "Author: ipa_jax developers" in metadata
    for extra in ("cuda12", "cuda13", "beam", "bench", "dev", "docs", "photos", "tf", "video"):
        assert f"Provides-Extra: {extra}\n" in metadata
    assert {f"{folder}/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= set(archive.namelist())


def test_help_of_every_command(run, installed):
    """In one process: each command's help, from the installed files."""
    program = """
import contextlib, io, json
from ipa_jax import program
texts = {}
for name in program.COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            status = program.main([name, "--help"])
        except SystemExit as end:
            status = end.code
    texts[name] = status, shown.getvalue()
print(json.dumps([program.__file__, texts]))
"""
    file, texts = json.loads(run(sys.executable, "-c", program))
    assert file == str(installed / "ipa_jax" / "program.py")
    listed = run(str(installed / "bin" / "ipa-jax"), "--help")
    for name, (status, text) in texts.items():
        assert not status and f"ipa-jax {name}" in text, name
        assert f"  {name} " in listed


def test_from_photos_to_a_page(run, installed):
    """The commands up to training; `--config` names a config that comes with the package."""
    program = str(installed / "bin" / "ipa-jax")
    run(program, "demo-world", "--out=world", "--accounts=6", "--posts=40", "--side=16", "--depth_side=8",
        "--processes=1")  # fmt: skip
    run(program, "build", "--config=full:tiny", "--config.data.depth.side=8", "--raw=world/raw",
        "--features=world/features", "--data_dir=data")  # fmt: skip
    shown = run(program, "inspect", "--data_dir=data", "--split=test", "--html=groups.html")
    assert "test" in shown and "<html" in Path("groups.html").read_text()
