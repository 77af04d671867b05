"""Tests of I2PA: a slow network's scores, names, the photo, precision (parity: test_verify.py)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import slow_resnet
from third_party_ports import imagenet, resnet
from third_party_ports.checkpoints import conversion, identify, weights
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity import recipe, torch_zip
from third_party_ports.parity.check import verify
from third_party_ports.peers.i2pa import I2PA, KEYS, SIDE, scaled
from third_party_ports.resnet import ResNet

TENSORS = slow_resnet.tensor_list((2, 1), 4, classes=1)
MANIFEST = {
    "model": "i2pa",
    "seed": 5,
    "gain": 1.0,
    "wrapper": None,
    "config": {"image": 38},
    "input": {"name": "odd", "shape": [3, 37, 51], "seed": 3},
    "tensors": TENSORS,
}


@pytest.fixture(scope="module")
def tiny():
    network = I2PA((2, 1), 4)
    images = np.zeros((1, 32, 32, 3), np.float32)
    return network, jax.eval_shape(lambda key: network.init(key, images, train=False), jax.random.key(0))


def test_a_fixture_of_other_sizes(tmp_path):
    """With another photo, seed, depth, width and side."""
    photo = np.round(255 * recipe.image("odd", (3, 37, 51), 3)).astype(np.uint8).transpose(1, 2, 0)
    small = imagenet.resize(photo, (38, 38)).transpose(2, 0, 1)[None]
    taps = slow_resnet.answers(small / 255, recipe.state_dict(MANIFEST))
    taps = {"maxpool": taps["stem"], "score": taps["logits"]} | {n: taps[n] for n in ("layer1", "layer2", "pooled")}
    arrays = {"tap_input": photo, "tap_resized": small} | {name: np.float32(tap) for name, tap in taps.items()}
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    np.savez(tmp_path / "io.npz", **arrays)
    rows = verify(tmp_path)
    assert len(rows) == len(arrays)
    assert not [row for row in rows if not row.passed]


@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_bare_state_dict_with_and_without_counters(tmp_path, tiny, counters, prefix):
    tensors = {n: t for n, t in recipe.state_dict(MANIFEST).items() if counters or "num_batches" not in n}
    torch_zip.write(tmp_path / "a.pth", tensors, prefix=prefix)
    for source, out in (("a.pth", "a.safetensors"), ("a.safetensors", "again.safetensors")):
        conversion.convert(tmp_path / source, tmp_path / out, KEYS, tiny[1])
    variables = weights.load(tmp_path / "again.safetensors", KEYS, tiny[1])
    np.testing.assert_array_equal(variables["params"]["fc"]["kernel"], tensors["fc.weight"].T)
    np.testing.assert_array_equal(variables["batch_stats"]["resnet"]["bn1"]["var"], tensors["bn1.running_var"])


def test_its_trunk_is_a_resnet(tiny):
    """So that it can start from ImageNet's weights."""
    trunk = jax.eval_shape(
        lambda key: ResNet((2, 1), 4).init(key, np.zeros((1, 32, 32, 3), np.float32), train=False), jax.random.key(0)
    )
    variables = weights.from_state_dict(resnet.KEYS, recipe.state_dict(MANIFEST), trunk)
    assert jax.tree.map(np.shape, variables) == {
        kind: jax.tree.map(lambda leaf: leaf.shape, tiny[1][kind]["resnet"]) for kind in ("params", "batch_stats")
    }


def test_a_classifier_is_refused(tiny):
    tensors = recipe.state_dict(MANIFEST | {"tensors": slow_resnet.tensor_list((2, 1), 4, classes=1000)})
    with pytest.raises(WeightsError, match=r"2 misshapen: resnet\.fc|2 misshapen: fc\.weight"):
        weights.from_state_dict(KEYS, tensors, tiny[1])


def test_it_is_not_taken_for_an_imagenet_resnet():
    tensors = {"layer3.5.conv3.weight": (1024, 256, 1, 1), "layer4.2.conv3.weight": (2048, 512, 1, 1)}
    tensors = {name: np.broadcast_to(np.float32(0), shape) for name, shape in tensors.items()}
    for outputs, rows in ((1, "i2pa"), (1000, "resnet50_v1 or resnet50_v2")):
        assert identify.looks_like(tensors | {"fc.weight": np.zeros((outputs, 2048))}) == rows
    assert identify.looks_like(tensors) == "resnet50_v1 or resnet50_v2"  # without a classifier


@pytest.mark.parametrize("kind", [np, jnp])
def test_the_photo_is_neither_cropped_nor_normalised(kind):
    small = imagenet.resize(np.full((300, 401, 3), 51, np.uint8), (SIDE, SIDE))
    values = scaled(kind.asarray(small))
    assert (values.shape, values.dtype) == ((224, 224, 3), np.float32)
    assert isinstance(values, jax.Array) == (kind is jnp)
    np.testing.assert_allclose(values, 0.2, rtol=1e-6)


def test_bfloat16_keeps_variables_and_scores_in_float32():
    half = I2PA((1,), 4, jnp.bfloat16)
    (scores, out), own = jax.eval_shape(
        lambda key: half.init_with_output(key, np.zeros((3, 32, 32, 3)), train=False), jax.random.key(0)
    )
    assert (scores.shape, scores.dtype, out["pooled"].dtype) == ((3,), np.float32, np.float32)
    assert out["layer1"].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(own)} == {np.dtype("float32")}
