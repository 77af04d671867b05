"""Compares DEKR with the original's maps, for a fixture of any width, image size, batch and seed."""

from collections.abc import Iterator, Mapping

import jax
import numpy as np

from third_party_ports import imagenet
from third_party_ports.dekr.network import DEKR, KEYS, TAPS
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.fixture import compare as compared
from third_party_ports.parity.images import stored_names

MODELS = ("dekr_w32", "dekr_w48")
LIMIT = 2e-5  # about 1e-6 was seen; the smallest known mistake, a BatchNorm epsilon of 1e-3, gives 7e-3
LARGEST = 2e-3  # for each value of the two maps, which go up to about 20; 1e-4 was seen


def needed(fixture: Fixture) -> set[str]:
    maps = {"heatmap", "heatmap_stats", "offset", "offset_stats", "adapt0_offsets", "adapt0_out"}
    branches = {"stage2_branch1", "stage3_branch2", "stage4_branch0", "stage4_branch3"}
    return {"stem", "layer1", *branches, *maps}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row for each stored array (NCHW), and for the two maps a second row with the largest difference."""
    name, shape, *seed = fixture.manifest["input"]
    image = recipe.image(name, tuple(shape), *seed)  # CHW or NCHW in [0, 1]
    canvases = imagenet.normalise(np.moveaxis(image.reshape(-1, *shape[-3:]), 1, -1))
    tensors = fixture.state_dict()
    network = network_of(tensors)
    shapes = jax.eval_shape(network.init, jax.random.key(0), canvases)
    taps = {key: TAPS.T.astype(np.float32) for key in fixture.manifest.get("computed", ())}
    variables = fixture.variables(KEYS, shapes, tensors=tensors, computed=taps)
    _, _, out = jax.jit(network.apply)(variables, canvases)
    for stored in stored_names(fixture.answers):
        value = np.moveaxis(np.asarray(out[stored.removesuffix("_stats")]), -1, 1)
        value = value.reshape(*shape[:-3], *value.shape[1:])  # without a batch axis if the input has none
        if stored.endswith("_stats"):
            wide = value.astype(np.float64)
            statistics = np.stack([wide.mean(), wide.std(), wide.min(), wide.max()])
            yield compared(stored, statistics, fixture.answers[stored], "absolute", LARGEST)
            continue
        yield fixture.relative(stored, value, LIMIT)
        if stored in ("heatmap", "offset"):
            yield fixture.absolute(stored, value, LARGEST)._replace(array=f"{stored}, largest")


def network_of(tensors: Mapping[str, np.ndarray]) -> DEKR:
    """Returns the network with the sizes of an official state dict."""
    stages = [name.split(".")[:2] for name in tensors if name.startswith("stage")]
    modules = {stage: len({m for s, m in stages if s == stage}) for stage, _ in stages}
    keypoints = len(tensors["head_heatmap.1.weight"]) - 1
    return DEKR(
        width=len(tensors["transition1.0.0.weight"]),
        keypoints=keypoints,
        modules=tuple(modules[stage] for stage in sorted(modules)),
        blocks=len({name.split(".")[1] for name in tensors if name.startswith("layer1.")}),
        stem=len(tensors["conv1.weight"]),
        offset_width=len(tensors["transition_offset.0.weight"]) // keypoints,
    )
