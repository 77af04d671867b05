"""The house: who may import whom, what a command loads before its work, and what is never done anywhere."""

import ast
import json
import subprocess
import sys

import pytest

from ipa_jax.program import COMMANDS
from tests.helpers import source
from tests.helpers.paths import ROOT

# Rooms from the top floor down: a room may import those of lower floors and of its own, as long as there is no circle.
# A room is a folder or a file right below its package; "*" stands for all that is not named.
FLOORS = {
    "ipa_jax": [
        {"__main__"},
        {"program", "main", "rank", "serve", "thumbnail", "select_photos", "para", "figures"},
        {"experiments"},
        {"leakage", "report"},
        {"train", "evaluate", "average", "applications", "baselines"},
        {"training", "peers", "human_study"},
        {"input", "local_page"},
        {"models", "metrics", "losses", "paper", "drawing", "page_templates"},
    ],
    "data_builders": [
        {"build", "extract", "inspect", "fetch_images"},
        {"top3000", "demo_world"},
        {"retrieval"},
        {"features"},
        {"posts", "groups", "photos", "photo_formats", "photo_colours", "videos", "dataset"},
        {"options", "cli", "frames", "bounds", "group_record"},
    ],
    "third_party_ports": [
        {"fetch", "convert", "verify"},
        {"parity"},
        {"*"},  # the networks
        {"layers", "checkpoints", "imagenet"},
        {
            "files",
            "seals",
            "checksums",
            "reading",
            "cli",
            "disks",
            "stopping",
            "first_moments",
            "worker_process",
            "utf8",
        },
    ],
}
BELOW = {  # package: the packages that it may import
    "ipa_jax": {"data_builders", "third_party_ports", "configs"},
    "data_builders": {"third_party_ports", "configs"},
    "third_party_ports": set(),
    "configs": set(),
}
# Packages that are not always installed, or that only one way of running needs: imported where they are used.
OPTIONAL = {"apache_beam", "tensorflow", "tensorflow_datasets", "clu", "torch", "jax", "scenic"}
LAZY = {f"data_builders.features.{part}" for part in ("pose", "background", "caption", "depth", "light")}
HEAVY = {"jax", "flax", "optax", "orbax", "grain", "clu", "polars", "tensorflow_datasets", "tensorflow", "matplotlib"}
LONGEST = 60  # lines of a function


def room(module: str) -> tuple[str, str]:
    """(package, room) of a module; a package's own __init__ is the room ""."""
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0]


def floor(package: str, name: str) -> int:
    """0 is the top floor."""
    floors = FLOORS[package]
    for number, rooms in enumerate(floors):
        if name in rooms:
            return number
    return next(number for number, rooms in enumerate(floors) if "*" in rooms)


def test_every_room_has_a_floor():
    for package, floors in FLOORS.items():
        rooms = {room(source.module(file))[1] for file in source.files(package)} - {""}
        known = set().union(*floors)
        assert "*" in known or rooms <= known, rooms - known


def test_packages_import_downwards():
    for module, targets in source.arrows().items():
        package = room(module)[0]
        ours = {room(target)[0] for target in targets}
        assert ours <= BELOW[package] | {package}, module


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_downwards(package):
    wrong = []
    for module, targets in source.arrows().items():
        here = room(module)
        for target in targets:
            there = room(target)
            ours = here[0] == there[0] == package and here[1] and there[1] and here != there
            if ours and floor(*here) > floor(*there):
                wrong.append(f"{module} -> {target}")
    assert not wrong, wrong


def test_few_files_import_modules_by_name():
    """Such an import goes unseen here: only the list of commands, registries, configs and parity checks need it."""
    known = {"ipa_jax.program", "third_party_ports.checkpoints.checkpoint", "ipa_jax.experiments.runs",
             "third_party_ports.parity.check"}  # fmt: skip
    assert {source.module(file) for file in source.files() if "import_module" in file.read_text()} == known


def test_no_circle_of_files():
    assert not source.circle(source.arrows())


def test_no_circle_of_rooms():
    rooms: dict[str, set[str]] = {}
    for module, targets in source.arrows().items():
        here = ".".join(room(module))
        rooms.setdefault(here, set()).update({".".join(room(target)) for target in targets} - {here})
    assert not source.circle(rooms)


def test_a_circle_is_found():
    assert source.circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert not source.circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_configs_import_ml_collections_alone():
    for file in source.files("configs"):
        names = {name for name in source.imported(file)}
        assert all(name.startswith(("ml_collections", "configs.full", "configs.xu")) for name in names), (file, names)


def test_libraries_import_at_their_top():
    """Commands import inside main(), so that --help is quick; libraries do so only for what may not be installed."""
    late = set()
    for file in source.files():
        command = any(function.name == "main" for function in source.functions(file))
        if command or source.module(file) in LAZY:
            continue
        for function in source.functions(file):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                    late |= {source.module(file) for name in names if name.split(".")[0] not in OPTIONAL}
    assert not late, late


def test_functions_are_short():
    long = set()
    for file in source.files():
        for function in source.functions(file):
            if (function.end_lineno or function.lineno) - function.lineno + 1 > LONGEST:
                long.add(f"{source.module(file)}.{function.name}")
    assert not long, long


def test_public_functions_are_annotated():
    bare = []
    for file in source.files():
        for function in source.public_functions(file):
            arguments = function.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            unknown = [a.arg for a in every if a.annotation is None and a.arg not in ("self", "cls")]
            if unknown or (function.returns is None and function.name != "__init__"):
                bare.append(f"{source.module(file)}.{function.name}: {', '.join(unknown) or 'what it returns'}")
    assert not bare, bare


def test_no_file_is_called_utils():
    assert not [file for file in source.files() if file.stem in ("utils", "util", "helpers", "misc", "common")]


def test_nothing_is_evaluated_or_unpickled():
    """One file reads a pickle, through an Unpickler of its own that looks every name up in a table."""
    readers = {"third_party_ports.m2_transformer.vocabulary"}
    for file in source.files():
        loaded = source.imported(file)
        picklers = {name.split(".")[0] for name in loaded} & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
        assert picklers <= ({"pickle"} if source.module(file) in readers else set()), file
        assert not any(name.startswith("pickle.") for name in loaded), file
        for node in ast.walk(source.tree(file)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                assert node.attr in ("Unpickler", "UnpicklingError"), file
            if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases):
                own = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                assert {"find_class", "persistent_load"} <= own, file
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "pickle.Unpickler", file  # it admits every name
                assert not (isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")), file
                assert not any(k.arg == "allow_pickle" for k in node.keywords), file


def test_files_are_written_and_held_in_one_place():
    """Replacing a file and locking a folder is what third_party_ports/files.py is for; nothing patches the product."""
    for file in source.files():
        names = {name.split(".")[0] for name in source.imported(file)}
        assert "fcntl" not in names, file
        assert not any("mock" in name for name in source.imported(file)), file
        if source.module(file) != "third_party_ports.files":
            assert "filelock" not in names and "os.replace(" not in file.read_text(), file


def test_photos_are_opened_in_one_place():
    """What one reader opens, all others open, in the same colours and the same way up."""
    decoders = {"cv2", "imageio", "simplejpeg", "pyvips", "imagecodecs", "skimage", "pillow_heif", "av"}
    known = {"data_builders.photos", "data_builders.videos"}  # and what checks a port:
    known |= {"third_party_ports.parity.efficientnet_lite"}
    for file in source.files():
        if source.module(file) not in known:
            assert not {name.split(".")[0] for name in source.imported(file)} & decoders, file
            assert "Image.open(" not in file.read_text(), file


def test_tests_do_not_import_tests():
    """They share tests/helpers; the campaigns of tests/faults are a program, whose files share more."""
    for file in source.files("tests"):
        shared = ("tests.helpers", *["tests.faults"] * (file.parent.name == "faults"))
        names = [n for n in source.imported(file) if n.startswith("tests.") and not n.startswith(shared)]
        assert not names, file
        assert not [n for n in names if n.split(".")[0].startswith("test_")], file


@pytest.mark.parametrize("command", COMMANDS)
def test_help_comes_without_the_heavy_libraries(command):
    program = f"""
import json, sys
from ipa_jax.program import main
try:
    status = main(["{command}", "--help"])
except SystemExit as end:
    status = end.code
print("\\nLOADED", json.dumps([status, sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert "LOADED" in done.stdout, done.stderr
    shown, loaded = done.stdout.split("\nLOADED ")
    status, modules = json.loads(loaded)
    assert status == 0 and f"ipa-jax {command}" in shown
    assert not HEAVY & set(modules)


def test_every_command_is_listed():
    """A module that can be run has its row in COMMANDS."""
    runs = {source.module(file) for file in source.files() if 'if __name__ == "__main__":' in file.read_text()}
    assert runs - {"ipa_jax.__main__"} == {command.module for command in COMMANDS.values()}


def test_reading_processes_load_no_jax():
    """jax would cost each of them a second and its memory. (grain loads it by itself, where it makes no processes.)"""
    seen, left = set(), {f"ipa_jax.input.{name}" for name in ("batches", "fields", "photos", "packing")}
    left |= {"data_builders.dataset", "data_builders.photos", "data_builders.features.inputs"}
    while left:
        seen |= left
        left = set().union(*(source.arrows()[module] for module in left)) - seen
    for file in source.files():
        if source.module(file) in seen and source.module(file) not in LAZY:
            assert not {name.split(".")[0] for name in source.imported(file, loaded=True)} & {
                "jax",
                "flax",
                "optax",
            }, file
