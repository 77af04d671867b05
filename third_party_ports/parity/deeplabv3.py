"""Compares DeepLabV3 with torchvision's on every image of a fixture, and the background vectors that follow."""

from collections.abc import Iterator, Mapping

import jax
import numpy as np

from third_party_ports.deeplabv3 import KEYS, DeepLabV3, background_vector
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.images import normalised, recorded, stored_names

MODELS = ("deeplabv3_resnet101",)
LIMIT = 1e-5  # at most 1.5e-6 was seen; a BatchNorm epsilon of 1e-3 gives 1e-2
EXACT = ("classes", "background_count")
ALWAYS = ("input", "layer4", "aspp", "logits", "upsampled", "background", *EXACT)


def needed(fixture: Fixture) -> set[str]:
    others = {f"{extra['io']}: {name}" for extra in fixture.manifest.get("extra", ()) for name in ALWAYS}
    return {*ALWAYS, *others, *recorded(fixture)}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row per array of io.npz and of the manifest's other files, whose rows begin with the file's name."""
    manifest = fixture.manifest
    tensors = fixture.state_dict()
    network = network_of(tensors)
    shapes = jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    variables = fixture.variables(KEYS, shapes, tensors=tensors)

    @jax.jit
    def answers_of(variables, images):
        logits, layer4, out = network.bind(variables)(images, upsample=True)
        vector, count, classes = background_vector(logits, layer4)
        maps = {name: tap.transpose(0, 3, 1, 2) for name, tap in out.items()}
        return {**maps, "background": vector, "background_count": count, "classes": classes}

    for file, given in [("io.npz", manifest["input"]), *((e["io"], e["input"]) for e in manifest.get("extra", ()))]:
        stored = fixture.arrays(file)
        image = recipe.image(given["name"], tuple(given["shape"]), given["seed"])  # NCHW in [0, 1]
        values = {**answers_of(variables, normalised(fixture, image)), "input": image}
        for name in stored_names(stored):
            if name in EXACT:
                row = fixture.exact(name, values[name], stored)
            else:
                row = fixture.relative(name, values[name], LIMIT, stored)
            yield row if file == "io.npz" else row._replace(array=f"{file}: {name}")


def network_of(tensors: Mapping[str, np.ndarray]) -> DeepLabV3:
    """Returns the network with the sizes of an official state dict, which does not show the dilations."""
    names = [name.split(".")[1:3] for name in tensors if name.startswith("backbone.layer")]

    def blocks(stage: int) -> int:
        return len({block for layer, block in names if layer == f"layer{stage}"})

    return DeepLabV3(
        stage_sizes=(blocks(1), blocks(2), blocks(3), blocks(4)),
        width=len(tensors["backbone.conv1.weight"]),
        head=len(tensors["classifier.1.weight"]),
        classes=len(tensors["classifier.4.weight"]),
    )
