"""configs/: locked, one home of defaults, every field read."""

import ast
import importlib
import re
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from configs import full
from ipa_jax.training import workdir
from tests.helpers.paths import ROOT

NAMES = sorted(file.stem for file in (ROOT / "configs").glob("*.py") if file.stem != "__init__")
VARIANTS = [name for name in NAMES if name not in ("full", "demo")]
SIZES = ("full", "demo", "tiny")

CHANGES = {  # what each variant is about, and nothing else
    "basic": {"model.retrieval.enabled": False, "model.depth.enabled": False},
    "basic_retrieval": {"model.depth.enabled": False},
    "concat": {"model.fusion": "concat"},
    "log_likes": {"loss.name": "log_likes"},
    "ours": {"data.retrieval.k": 10},
}
PEERS = {"nima_tuned": "nima", "musiq_tuned": "musiq", "i2pa_tuned": "i2pa", "uhan": "uhan", "xu": "xu",
         "xu_comments": "xu"}  # fmt: skip


def load(name: str, size: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_every_file_loads_at_every_size_with_the_same_fields(name, size):
    config = load(name, size)
    assert config.size == size and config.is_locked
    # The extractors' sizes where they are not the official ones; parameter groups, which are the network's own.
    free = re.compile(r"extract\..*fields(\..*)?|optim\.groups\..*")
    fields, defaults = (
        {field for field in workdir.flat(c) if not free.fullmatch(field)} for c in (config, full.get_config())
    )
    assert fields == defaults


def test_demo_is_full_at_demo_size():
    assert importlib.import_module("configs.demo").get_config().to_dict() == full.get_config("demo").to_dict()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_full_but_for_its_subject(name, size):
    base, config = workdir.flat(full.get_config(size)), workdir.flat(load(name, size))
    changed = {field: value for field, value in config.items() if value != base.get(field)}
    if name in CHANGES:
        assert changed == CHANGES[name]
    assert changed and config["data_dir"] is None
    if name not in ("ours", "light"):  # every row of the paper's trains on the same data set
        assert not any(field.startswith("data.") for field in changed)


@pytest.mark.parametrize("size", SIZES)
def test_light_is_another_backbone_and_profile(size):
    base, config = workdir.flat(full.get_config(size)), workdir.flat(load("light", size))
    changed = {field for field, value in config.items() if value != base.get(field) and "optim.groups" not in field}
    assert changed - {"input.resize", "input.crop"} == {
        "extract.profile", "model.backbone", "model.depth.enabled", "data.depth.side", "data.similarity.pose",
        "data.similarity.background", "data.similarity.caption",
    }  # fmt: skip
    sides = {"full": (292, 260), "demo": (48, 48), "tiny": (24, 24)}
    assert (config["input.resize"], config["input.crop"]) == sides[size]
    assert sum(config[f"data.similarity.{part}"] for part in ("pose", "background", "caption")) == 1
    assert config["model.efficientnet_lite.training"] == ("frozen" if size == "full" else "train")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_its_network_and_recipe(name, size):
    base, config = workdir.flat(full.get_config(size)), workdir.flat(load(name, size))
    network = PEERS[name]
    changed = {field for field, value in config.items() if value != base.get(field)}
    assert config["model.network"] == network
    assert not config["model.retrieval.enabled"] and not config["model.depth.enabled"]
    mine = (f"{network}.", "model.network", "model.retrieval.enabled", "model.depth.enabled", "loss.", "batch.",
            "optim.", "train.epochs", "texts.", "eval.images")  # fmt: skip
    assert {field for field in changed if not field.startswith(mine)} == set()


def test_comments_are_the_only_difference_of_their_row():
    one, other = (workdir.flat(load(name, "full")) for name in ("xu", "xu_comments"))
    assert {field for field in one if one[field] != other[field]} == {"xu.fields"}
    assert set(other["xu.fields"]) - set(one["xu.fields"]) == {"comment"}


def test_an_unknown_size_is_an_error():
    with pytest.raises(ValueError, match="size 'huge' is not one of full, demo, tiny"):
        full.get_config("huge")


@pytest.mark.parametrize("section", [(), ("model",), ("model", "swin"), ("data", "memory"), ("optim", "groups")])
def test_a_misspelt_field_raises(section):
    config = full.get_config()
    for name in section:
        config = config[name]
    first = next(iter(config))
    for change in (lambda: setattr(config, f"{first}x", 1), lambda: config.update({f"{first}x": 1})):
        with pytest.raises((AttributeError, KeyError), match=f"{first}x"):
            change()


def test_a_wrong_type_raises():
    config = full.get_config()
    for section, field, value in ((config, "data_dir", 3), (config.init, "swin", 1.5), (config.loss, "name", 1)):
        with pytest.raises(TypeError):
            section[field] = value


@pytest.mark.parametrize("name", NAMES)
def test_reading_a_config_loads_ml_collections_alone(name):
    program = f"import configs.{name} as c, sys; c.get_config(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"jax", "polars", "flax", "optax", "grain", "tensorflow", "ipa_jax", "data_builders"}
    assert not heavy & set(done.stdout.split())


def names_read() -> set[str]:
    """Attributes, string subscripts and fields of classes: the ways in which the packages read a choice."""
    names = set()
    for package in ("ipa_jax", "data_builders", "third_party_ports"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    names.add(node.attr)
                elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                    names.add(node.slice.value)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    names.add(node.target.id)  # a module's field, given as **config.model.swin
    return names


def test_every_field_is_read():
    """A field that nothing reads is a lie. Group names and weights' names are keys, read by iterating."""
    read = names_read()
    by_iteration = {"swin", "efficientnet_lite", "resnet", "peer", "pose", "background", "caption"}
    fields = [field.split(".") for field in workdir.flat(full.get_config())]
    unread = {".".join(field) for field in fields if field[-1] not in read | by_iteration}
    assert unread == set()
    sections = {name for field in fields for name in field[:-1]} - set(full.get_config().optim.groups)
    assert sections <= read | by_iteration
