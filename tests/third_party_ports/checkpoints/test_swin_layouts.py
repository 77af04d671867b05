"""Tests of Swin's names in timm and transformers, and of names that only look like them."""

import numpy as np
import pytest

from tests.helpers import swin_layouts
from third_party_ports.checkpoints.swin_layouts import official_swin
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.swin import KEYS

LAYOUTS = {
    "official": (swin_layouts.official, "official"),
    "timm": (swin_layouts.timm, "timm"),
    "transformers 4": (lambda: swin_layouts.transformers(4), "transformers"),
    "transformers 5": (lambda: swin_layouts.transformers(5), "transformers"),
    "transformers 4, headless": (lambda: swin_layouts.transformers(4, classifier=False), "transformers"),
    "transformers 5, headless": (lambda: swin_layouts.transformers(5, classifier=False), "transformers"),
}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_becomes_the_official_one(name, prefix):
    make, layout = LAYOUTS[name]
    tensors, found = official_swin({prefix + key: tensor for key, tensor in make().items()})
    assert found == layout
    kept = {key: tensor for key, tensor in tensors.items() if KEYS.canonical(key)}
    assert kept.keys() == swin_layouts.needed().keys()
    for key, tensor in swin_layouts.needed().items():
        np.testing.assert_array_equal(kept[key], tensor, err_msg=key)


def test_official_names_do_not_change():
    tensors = swin_layouts.official()
    assert list(official_swin(tensors)[0]) == list(tensors)


def test_the_published_names_of_one_block():
    """Exactly as the libraries spell them."""
    four, five = swin_layouts.transformers(4), swin_layouts.transformers(5)
    assert {"swin.encoder.layers.1.blocks.0.attention.self.query.weight",
            "swin.encoder.layers.1.blocks.0.attention.self.relative_position_bias_table",
            "swin.encoder.layers.1.blocks.0.attention.output.dense.bias",
            "swin.encoder.layers.1.blocks.0.output.dense.weight",
            "swin.encoder.layers.0.downsample.reduction.weight",
            "swin.layernorm.weight", "classifier.weight"} <= four.keys()  # fmt: skip
    assert {"swin.encoder.layers.1.blocks.0.attention.q_proj.weight",
            "swin.encoder.layers.1.blocks.0.attention.relative_position_bias.relative_position_bias_table",
            "swin.encoder.layers.1.blocks.0.attention.o_proj.bias",
            "swin.encoder.layers.1.blocks.0.mlp.fc2.weight"} <= five.keys()  # fmt: skip
    assert {"layers.1.downsample.norm.weight", "layers.2.downsample.norm.weight"} <= swin_layouts.timm().keys()
    assert "layers.0.downsample.norm.weight" not in swin_layouts.timm()


def test_an_encoder_of_another_network_is_left_alone():
    tensors = {"encoder.layers.0.mhatt.attention.fc_q.weight": np.ones((2, 2)), "layernorm.weight": np.ones(2)}
    assert official_swin(tensors) == (tensors, "official")


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_triples_must_be_complete(part):
    tensors = swin_layouts.transformers(4)
    name = f"swin.encoder.layers.0.blocks.0.attention.self.{part}.bias"
    del tensors[name]
    if part == "query":  # then key and value keep names that the network does not know
        assert "layers.0.blocks.0.attn.key.bias" in official_swin(tensors)[0]
    else:
        with pytest.raises(
            WeightsError, match=r"layers\.0\.blocks\.0\.attn\.query\.bias comes without its key or value"
        ):
            official_swin(tensors)
    odd = swin_layouts.transformers(4)
    name = f"swin.encoder.layers.0.blocks.0.attention.self.{part}.weight"
    odd[name] = odd[name][:, :2]
    with pytest.raises(WeightsError, match="differ in width"):
        official_swin(odd)
