"""Compares ResNet with torchvision's, for a fixture of any depth, width, image size and batch."""

import re
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.images import nchw, normalised, recorded, stored_names, unit_images
from third_party_ports.resnet import KEYS, ResNet

MODELS = ("resnet50",)
LIMIT = 1e-5  # about 1e-6 was seen; a BatchNorm epsilon of 1e-3 gives 7e-4 and more
INPUT_LIMIT = 1e-6  # the recipe on another machine


def needed(fixture: Fixture) -> set[str]:
    stages = stage_sizes(name for name, *_ in fixture.manifest["tensors"])
    layers = {f"layer{s}" for s in range(1, len(stages) + 1)}
    return {"input", "stem", "pooled", "logits", *layers, *recorded(fixture)}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields rows for the image, every tap (NCHW), the pooled vectors, and the logits of the classifier.

    The port has no classifier: its product is computed here.
    """
    tensors = fixture.state_dict()
    resnet = ResNet(stage_sizes(tensors), len(tensors["conv1.weight"]))
    units = unit_images(fixture)
    images = normalised(fixture, units)
    shapes = jax.eval_shape(lambda key: resnet.init(key, images, train=False), jax.random.key(0))
    variables = fixture.variables(KEYS, shapes, tensors=tensors)
    pooled, out = jax.jit(lambda v, x: resnet.apply(v, x, train=False))(variables, images)
    for name in stored_names(fixture.answers):
        if name == "input":
            yield fixture.absolute(name, units, INPUT_LIMIT)
        elif name == "logits":
            yield fixture.relative(name, np.asarray(pooled) @ tensors["fc.weight"].T + tensors["fc.bias"], LIMIT)
        else:
            yield fixture.relative(name, nchw(out[name]), LIMIT)


def stage_sizes(names: Iterable[str]) -> tuple[int, ...]:
    """Returns the number of blocks of each stage, from the tensors' names."""
    blocks = {(int(m[1]), int(m[2])) for name in names if (m := re.match(r"layer(\d+)\.(\d+)\.", name))}
    return tuple(1 + max(b for s, b in blocks if s == stage) for stage in sorted({s for s, _ in blocks}))
