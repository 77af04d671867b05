"""Compares MUSIQ with its fixture: the patches, and the network with weights from an .npz file as published."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.images import recorded, stored_names
from third_party_ports.peers.musiq import KEYS, MUSIQ, score
from third_party_ports.peers.musiq_patches import Layout, Tokens, batch, resize, resized_size, scaled, sequence

MODELS = ("musiq",)
LIMITS = (  # full match of an array's name without its photo: the limit
    (r"input|spatial|scale|mask", 0.0),
    (r"resized\d+|patches", 5e-6),
    (r"conv_root", 1e-4),
    (r"root_pool|block1", 1e-5),
    (r"embedding|tokens_in", 2e-5),
    (r"block_0", 3e-5),
    (r"block_\d+", 1e-4),
    (r"encoded|cls", 5e-5),
    (r"logits", 2e-4),
    (r"score", 1e-4),
)


def needed(fixture: Fixture) -> set[str]:
    names = {"input", "patches", "spatial", "scale", "mask", "conv_root", "root_pool", "block1", "embedding"}
    names |= {"tokens_in", "encoded", "cls", "logits", "score", *recorded(fixture)}
    names |= {f"resized{side}" for side in fixture.manifest["config"]["longer_sides"]}
    return {f"{photo['tag']}_{name}" for photo in fixture.manifest["inputs"] for name in names}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row for each stored array. All photos run in one batch, padded to the longest."""
    given = fixture.manifest["config"]
    layout = Layout(tuple(given["longer_sides"]), given["native"], patch=given["patch"], grid=given["grid"])
    images = {photo["tag"]: decoded(photo) for photo in fixture.manifest["inputs"]}
    tokens = {tag: sequence(image, layout) for tag, image in images.items()}
    values = network_values(fixture, tokens)
    for tag, image in images.items():
        values |= {f"{tag}_input": image, f"{tag}_patches": tokens[tag].patches}
        values |= {f"{tag}_{name}": getattr(tokens[tag], name) for name in ("spatial", "scale", "mask")}
        for side in layout.longer_sides:
            values[f"{tag}_resized{side}"] = resize(scaled(image), resized_size(image.shape[:2], side))
    for name in stored_names(fixture.answers):
        limit = next(limit for pattern, limit in LIMITS if re.fullmatch(f".+?_({pattern})", name))
        yield fixture.absolute(name, values[name], limit) if limit else fixture.exact(name, values[name])


def decoded(photo: Mapping[str, Any]) -> np.ndarray:
    """Returns the photo [H, W, 3] uint8, as if decoded from an image file."""
    image = recipe.image(photo["name"], tuple(photo["shape"]), photo["seed"])
    return np.round(image * 255).astype(np.uint8).transpose(1, 2, 0)


def network_values(fixture: Fixture, tokens: Mapping[str, Tokens]) -> dict[str, np.ndarray]:
    """Returns the network's values by stored name, in the stored layout: without the padding of the batch."""
    given = fixture.manifest["config"]
    tensors = fixture.state_dict()
    network = MUSIQ(
        given["num_classes"],
        given["hidden"],
        given["layers"],
        given["heads"],
        given["mlp"],
        given["grid"],
        given["scales"],
        given["patch"],
        tensors[f"{fixture.manifest['prefix']}conv_root/kernel"].shape[-1],
        given["groups"],
    )
    inputs = batch(tokens.values())
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    variables = fixture.variables(KEYS, shapes, tensors=tensors, write=write)
    logits, cls, out = jax.tree.map(np.asarray, jax.jit(network.apply)(variables, *inputs))
    values = {}
    for i, (tag, own) in enumerate(tokens.items()):
        length = len(own.mask)
        values |= {f"{tag}_logits": logits[i], f"{tag}_cls": cls[i], f"{tag}_score": score(logits[i])}
        for name, tap in out.items():
            if name in ("conv_root", "root_pool", "block1"):
                values[f"{tag}_{name}"] = tap[i, :length]
            else:
                values[f"{tag}_{name}"] = tap[i : i + 1, : length + (name != "embedding")]
    return {name: np.asarray(value) for name, value in values.items()}


def write(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file of the parameters and of an optimizer's state, whose types must not be loaded."""
    arrays: dict[str, Any] = {"opt/state/step": np.array(7), "opt/state/param_states/cls": np.array([None])}
    with path.open("wb") as file:
        np.savez(file, **tensors, **arrays)
