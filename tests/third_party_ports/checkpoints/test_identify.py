"""Tests of identifying files by a few names and shapes."""

import numpy as np
import pytest

from third_party_ports.checkpoints import identify, zoo


def empty(shape) -> np.ndarray:
    return np.broadcast_to(np.float32(0), [1 if side is None else side for side in shape])


@pytest.mark.parametrize("row", [row for row in zoo.CHECKPOINTS.values() if row.module])
def test_each_row_is_identified(row):
    """Rows of one network that differ only in values are named together."""
    tensors = {f"module.{name}": empty(shape) for name, shape in row.signature.items()}
    rows = identify.looks_like(tensors).split(" or ")
    assert row.name in rows
    assert {zoo.checkpoint(name).module for name in rows} == {row.module}


def test_layouts_are_identified():
    tensors = {"layers.1.downsample.norm.weight": empty((512,)), "layers.2.blocks.17.norm1.weight": empty((512,)),
               "layers.0.blocks.0.attn.relative_position_bias_table": empty((529, 4)),
               "head.fc.weight": empty((21841, 1024))}  # fmt: skip
    assert identify.looks_like(tensors) == "swin_base_384_22k in the timm layout"
    published = {"swin.encoder.layers.2.blocks.17.layernorm_before.weight": empty((512,)), "swin.encoder.layers.0"
                 ".blocks.0.attention.self.relative_position_bias_table": empty((169, 4)),
                 "classifier.weight": empty((1000, 1024))}  # fmt: skip
    assert identify.looks_like(published) == "swin_base_22kto1k or swin_base_1k in the transformers layout"


def test_other_networks_are_identified():
    crowd = dict(zoo.checkpoint("dekr_w32").signature) | {"head_heatmap.1.weight": (15, 32, 1, 1)}
    assert "CrowdPose" in identify.looks_like({name: empty(shape) for name, shape in crowd.items()})
    assert identify.looks_like({"backbone.res4.35.conv1.weight": empty((256, 1024, 1, 1))}).endswith("ResNet152")
    assert identify.looks_like({"a": empty((3,))}) == ""
    wrapped = {f"model.{name}": empty(shape) for name, shape in zoo.checkpoint("dekr_w48").signature.items()}
    assert identify.looks_like(wrapped) == "dekr_w48, under the key 'model'"
