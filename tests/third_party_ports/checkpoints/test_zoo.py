"""Tests of the zoo's rows against the fixtures' manifests and the published numbers of parameters."""

import json
import re

import jax
import pytest

from tests.helpers.paths import GOLDEN
from third_party_ports.checkpoints import zoo
from third_party_ports.checkpoints.checkpoint import attribute
from third_party_ports.checkpoints.weights import KeyMap, WeightsError

FIXTURES = {"swin_base_22k": "swin_b", "resnet50_v2": "resnet50", "deeplabv3_resnet101": "deeplabv3",
            "adabins_nyu": "adabins", "dekr_w32": "dekr", "dekr_w48": "dekr_w48", "bottom_up_r101": "bottom_up",
            "m2_transformer": "m2_transformer", "musiq_ava": "musiq", "i2pa": "i2pa"}  # fmt: skip
ROWS = list(zoo.CHECKPOINTS.values())


def test_names():
    assert list(zoo.CHECKPOINTS) == [row.name for row in ROWS]
    assert len({row.file for row in ROWS}) == len(ROWS)
    with pytest.raises(WeightsError, match=r"'swin'.*Choose one of swin_base_22k, "):
        zoo.checkpoint("swin")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_is_complete(row):
    for text in (row.file, row.licence, row.preprocessing, row.size):
        assert text
    for link in (row.page, row.url or row.page):
        assert link.startswith("https://")
    assert row.sha256 is None or re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", row.sha256)
    if hashed := re.search(r"-([0-9a-f]{8})\.pth$", row.file):
        assert row.sha256 == hashed[1]
    if row.url is not None:
        assert row.url.endswith("/" + row.file)
    if row.module is not None:
        assert isinstance(row.key_map(), KeyMap)
        network = row.network()
        assert {name: getattr(network, name) for name in row.fields} == dict(row.fields)
        assert set(row.optional) <= row.signature.keys()
    for path in (row.layouts, row.check):
        assert path is None or callable(attribute(path))


@pytest.mark.parametrize("name", FIXTURES)
def test_signatures_are_those_of_the_original(name):
    """The original network's state dict has these names and shapes, and this wrapper."""
    manifest = json.loads((GOLDEN / FIXTURES[name] / "manifest.json").read_text())
    wrapper, prefix = manifest.get("wrapper"), manifest.get("prefix", "module.")
    official = {key.removeprefix(prefix).replace("/", "."): tuple(shape) for key, shape, _ in manifest["tensors"]}
    row = zoo.checkpoint(name)
    assert row.signature.items() <= official.items()
    assert wrapper is None or wrapper in row.key_map().wrappers
    assert row.file in manifest.get("checkpoint", row.file)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("swin_base_384_22k", 86_878_584),
        ("dekr_rescore", 85_249),
        ("m2_transformer", 38_439_424),
        ("musiq_ava", 27_129_290),
        ("musiq_koniq", 27_125_825),
        ("nima_aesthetic", 3_239_114),  # with the statistics
        ("nima_vgg", 14_714_688 + 250_890),
        ("i2pa", 23_510_081 + 53_120),
        ("efficientnet_lite2", 6_092_072 + 58_096),
    ],
)
def test_the_networks_have_the_published_size(name, numbers):
    assert sum(leaf.size for leaf in jax.tree.leaves(zoo.checkpoint(name).shapes())) == numbers


def test_fields_can_be_replaced():
    """This makes the tiny networks for tests and random weights."""
    assert zoo.checkpoint("dekr_w48").network(width=4).width == 4
    assert zoo.checkpoint("swin_base_384_22k").network(depths=(1,)).window == 12
