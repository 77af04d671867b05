"""Compares NIMA on MobileNet with its fixture: the released graph, today's Keras (which pads differently), the loss."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.fixture import compare as compared
from third_party_ports.parity.images import photo, recorded, stored_names
from third_party_ports.peers import nima_input
from third_party_ports.peers.nima import KEYS, Nima, deviation, emd, mean_score

MODELS = ("nima",)
TAP, LOGITS, PROBS, SCORE = 5e-5, 2e-5, 5e-6, 5e-5  # limits; 6e-6, 1e-6, 1e-7 and 1e-6 were seen
LOSS, SUM = 1e-6, 1e-5


def needed(fixture: Fixture) -> set[str]:
    both = {f"{prefix}{name}" for prefix in ("", "same_") for name in ("conv1", "pooled", "probs", "mean", "std")}
    loss = {"loss_target", "loss_estimate", "loss_rms_cdf"}
    return {"input", "resized", "logits", *both, *loss, *recorded(fixture)}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields rows for the photo, the taps and votes under both paddings, and the loss of stored votes."""
    answers, original = fixture.answers, photo(fixture)
    small = nima_input.resized(original, fixture.manifest["config"]["image"])
    images = nima_input.scaled(small[None])

    results = {}
    network = Nima(**fields(fixture.manifest))
    shapes = jax.eval_shape(lambda key: network.init(key, images, train=False), jax.random.key(0))
    variables = fixture.variables(KEYS, shapes, tensors=keras_arrays(fixture), write=write_keras)
    for prefix, padding in (("", "symmetric"), ("same_", "same")):
        padded = network.clone(padding=padding)
        votes, out = jax.jit(lambda v, x, padded=padded: padded.apply(v, x, train=False))(variables, images)
        out |= {"mean": mean_score(votes)[0], "std": deviation(votes)[0]}
        results |= {f"{prefix}{name}": value for name, value in out.items()}

    limits = {"logits": LOGITS, "probs": PROBS, "mean": SCORE, "std": SCORE}
    for name in stored_names(answers):
        if name in ("input", "resized"):
            yield fixture.exact(name, original if name == "input" else small)
        elif name == "loss_rms_cdf":
            loss = emd(jnp.asarray(answers["loss_target"]), jnp.asarray(answers["loss_estimate"]))
            yield fixture.absolute(name, loss, LOSS)
        elif name in ("loss_target", "loss_estimate"):  # inputs of the loss: shares that sum to 1
            yield compared(name, answers[name].sum(-1), np.ones(len(answers[name])), "absolute", SUM)
        else:
            yield fixture.absolute(name, results[name], limits.get(name.removeprefix("same_"), TAP))


def fields(manifest: Mapping) -> dict:
    """Returns the network's fields, from the tensors' shapes and the list of the blocks with stride 2."""
    shapes = {name: shape for name, shape, _ in manifest["tensors"]}
    channels = {int(m[1]): shape[0] for name, shape in shapes.items() if (m := re.match(r"conv_pw_(\d+)\.", name))}
    strides = {block: 2 if block in manifest["config"]["strides2"] else 1 for block in channels}
    return {
        "stem": shapes["conv1.weight"][0],
        "blocks": tuple((channels[block], strides[block]) for block in sorted(channels)),
        "outputs": manifest["config"]["outputs"],
    }


def keras_arrays(fixture: Fixture) -> dict[str, np.ndarray]:
    """Returns the arrays of the official file, by their paths in it."""
    tensors = fixture.state_dict()
    return {path: tensors[name].transpose(axes) for path, name, axes in fixture.manifest["file"]}


def write_keras(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a Keras weights file: a group per layer, also for a layer without weights."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.1.6", "tensorflow"
        file.create_group("conv1_relu")
        for name, array in arrays.items():
            file[name] = array
