"""Compares UHAN with its fixture, with both kinds of gates. No official file exists: the weights go straight through
the key map.
"""

from collections.abc import Iterator

import jax
import numpy as np

from third_party_ports.checkpoints.weights import from_state_dict
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.images import stored_names
from third_party_ports.peers.uhan import KEYS, UHAN

MODELS = ("uhan",)
INPUTS = ("user", "words")
LIMIT, WEIGHT_LIMIT = 1e-5, 1e-6


def needed(fixture: Fixture) -> set[str]:
    weights = {f"{name}_weights" for name in ("text", "image", "modality")}
    parts = {f"{name}_{end}" for name in ("text", "image") for end in ("mean", "attended")}
    return {*INPUTS, "word_states", "merged", "joint", "z", "z_hard_sigmoid", *weights, *parts}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row for each stored array. The two inputs are compared with what the network reads."""
    given, answers = fixture.manifest["config"], fixture.answers
    photo = fixture.manifest["input"]
    inputs = [recipe.image(photo["name"], tuple(photo["shape"]), photo["seed"])]
    inputs += [answers[name].astype(np.int32) for name in ("words", "user")]
    network = UHAN(given["users"], given["words"], given["width"], tuple(given["fc"]))
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    variables = from_state_dict(KEYS, fixture.state_dict(), shapes)
    z, values = jax.jit(network.apply)(variables, *inputs)
    hard, _ = jax.jit(network.clone(gates="hard_sigmoid").apply)(variables, *inputs)
    values |= {"z": z, "z_hard_sigmoid": hard, "words": inputs[1], "user": inputs[2]}
    for name in stored_names(answers):
        if name in INPUTS:
            yield fixture.exact(name, values[name])
        else:
            yield fixture.absolute(name, values[name], WEIGHT_LIMIT if name.endswith("_weights") else LIMIT)
