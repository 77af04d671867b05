"""Compares I2PA with torchvision's network and the released preprocessing, for any photo, depth and width."""

from collections.abc import Iterator

import jax

from third_party_ports import imagenet
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.images import nchw, photo, recorded, stored_names
from third_party_ports.parity.resnet50 import stage_sizes
from third_party_ports.peers.i2pa import I2PA, KEYS, scaled

MODELS = ("i2pa",)
LIMITS = {"pooled": 1e-5, "score": 1e-5}  # 9e-7 and 2e-7 were seen; ImageNet's mean and deviation give 4e-3
MAP = 5e-5  # of the maps; 4e-6 was seen


def needed(fixture: Fixture) -> set[str]:
    stages = stage_sizes(name for name, *_ in fixture.manifest["tensors"])
    layers = {f"layer{s}" for s in range(1, len(stages) + 1)}
    return {"input", "resized", "maxpool", "pooled", "score", *layers, *recorded(fixture)}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields rows for the photo, the resized one, the maps (NCHW), the pooled vector and the score."""
    tensors, side = fixture.state_dict(), fixture.manifest["config"]["image"]
    original = photo(fixture)
    small = imagenet.resize(original, (side, side))[None]
    network = I2PA(stage_sizes(tensors), len(tensors["conv1.weight"]))
    shapes = jax.eval_shape(lambda key: network.init(key, scaled(small), train=False), jax.random.key(0))
    variables = fixture.variables(KEYS, shapes, tensors=tensors)
    score, out = jax.jit(lambda v, x: network.apply(v, x, train=False))(variables, scaled(small))
    out |= {"maxpool": out["stem"], "score": score[:, None]}
    for name in stored_names(fixture.answers):
        if name in ("input", "resized"):
            yield fixture.exact(name, original if name == "input" else small.transpose(0, 3, 1, 2))
        else:
            yield fixture.absolute(name, nchw(out[name]), LIMITS.get(name, MAP))
