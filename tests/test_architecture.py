"""The folder rules: who imports whom, what a command loads before its work, what is never called."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

ALLOWED = {  # package: the project's packages that it may import
    "ipa_jax": {"ipa_jax", "data_builders", "third_party_ports", "configs"},
    "data_builders": {"data_builders", "third_party_ports", "configs"},
    "third_party_ports": {"third_party_ports"},
    "configs": {"configs"},
}
FILES = {package: sorted((ROOT / package).rglob("*.py")) for package in ALLOWED}
COMMANDS = ("train", "evaluate", "report", "baselines", "demo", "tables",
            "choices",
            "checklist", "near-duplicates", "protocols",
            "human-study", "zero-shot",
            "build", "extract", "inspect", "demo-world",
            "planted-build",
            "convert", "fetch", "verify")  # fmt: skip


def imported(file: Path) -> set[str]:
    """Full names of the modules that a file imports, at its top or inside its functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_downwards(package):
    assert FILES[package]
    for file in FILES[package]:
        ours = {name.split(".")[0] for name in imported(file)} & ALLOWED.keys()
        assert ours <= ALLOWED[package], file


def test_configs_import_ml_collections_alone():
    for file in FILES["configs"]:
        assert {name.split(".")[0] for name in imported(file)} <= {"configs", "ml_collections"}, file


def test_networks_and_losses_know_no_commands():
    """Commands -> train, evaluate -> steps, state, batches -> models, losses, metrics; never upwards."""
    above = ("main", "train", "evaluate", "export", "report", "checkpoints", "demo", "steps", "state", "batches",
             "preflight", "workdirs", "writers")  # fmt: skip
    below = [ROOT / f"ipa_jax/{name}.py" for name in ("losses", "metrics", "packing", "photos", "train_metrics")]
    below += (ROOT / "ipa_jax/models").glob("*.py")
    for file in below:
        assert not imported(file) & {f"ipa_jax.{name}" for name in above}, file


def test_readers_of_batches_never_load_jax():
    """Reading processes import these; jax would cost each of them a second and its memory."""
    for name in ("batches", "packing", "photos"):
        assert not {n.split(".")[0] for n in imported(ROOT / f"ipa_jax/{name}.py")} & {"jax", "flax", "optax"}, name


def test_no_file_is_called_utils():
    assert not [file for files in FILES.values() for file in files if file.stem in ("utils", "util", "helpers", "misc")]


def test_nothing_is_evaluated_or_unpickled():
    """Two files read pickles, through an Unpickler of their own that looks every name up in a table."""
    readers = {ROOT / f"third_party_ports/{name}.py" for name in ("torch_files", "vocabulary")}
    for file in (file for files in FILES.values() for file in files):
        loaded = imported(file)
        picklers = {name.split(".")[0] for name in loaded} & {"pickle", "cloudpickle", "dill", "marshal"}
        assert picklers <= ({"pickle"} if file in readers else set()), file
        assert not any(name.startswith("pickle.") for name in loaded), file
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                assert node.attr in ("Unpickler", "UnpicklingError"), file
            if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases):
                own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                assert {"find_class", "persistent_load"} <= own, file
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "pickle.Unpickler", file  # it admits every name
                assert not (isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")), file
                assert not any(k.arg == "allow_pickle" for k in node.keywords), file


@pytest.mark.parametrize("command", COMMANDS)
def test_help_comes_without_the_heavy_libraries(command):
    program = f"""
import json, runpy, sys
sys.argv = ["{command}", "--help"]
try:
    runpy.run_module("{command}", run_name="__main__", alter_sys=True)
except SystemExit as end:
    print("\\nLOADED", json.dumps([end.code, sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "LOADED" in done.stdout, done.stderr
    shown, loaded = done.stdout.split("\nLOADED ")
    code, modules = json.loads(loaded)
    assert code in (0, 1) and len(shown) > 100  # absl's --help ends with 1
    heavy = {
        "jax",
        "flax",
        "optax",
        "orbax",
        "grain",
        "clu",
        "polars",
        "tensorflow_datasets",
        "tensorflow",
        "matplotlib",
    }
    assert not heavy & set(modules)


def test_every_command_is_covered():
    """A module that can be run has its line above."""
    runs = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for files in FILES.values()
        for file in files
        if file.stem == "__main__" or 'if __name__ == "__main__":' in file.read_text()
    }
    assert runs <= set(COMMANDS)
