"""Compares M2 Transformer with its fixture: encoder, decoder, caption vectors, beam search, greedy decoding and text.

A fixture holds the answers of up to three models that share an encoder: the one in the manifest, and two with a tiny
vocabulary whose searches reach `eos` ("small" and "batch").
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from third_party_ports.m2_transformer.beam_search import greedy_captions, search_captions
from third_party_ports.m2_transformer.network import KEYS, M2Transformer, caption_vector
from third_party_ports.m2_transformer.text import text
from third_party_ports.m2_transformer.vocabulary import read_vocabulary
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Comparison, Fixture

MODELS = ("m2_transformer",)
LIMITS = (  # full match of an array's name: its limits
    (r"(masked_)?(projection|encoder_layer\d+|decoder_layer\d+_step0)", {"relative": 1e-5}),
    (r"(masked_|small_)?(first_step|teacher)_logprobs", {"relative": 2e-6, "absolute": 5e-5}),
    (r"(masked_|batch_)?caption_feature", {"relative": 5e-6, "absolute": 1e-6}),
    (r"(small_|batch_)?beam\d*_logprobs", {"absolute": 5e-5}),
    (r"(small_|batch_)?beam\d*_scores", {"absolute": 5e-4}),
    (r"(small_|batch_)?(beam\d*|greedy)_tokens|attention_mask_any", {"exact": 0.0}),
)


def _compiled(method: str):
    return jax.jit(lambda network, *arguments: network.apply(*arguments, method=method), static_argnums=0)


CALL, ENCODE, DECODE = map(_compiled, ("__call__", "encode", "decode"))
VECTOR = jax.jit(caption_vector)


def needed(fixture: Fixture) -> set[str]:
    found = (re.match(r"(en|de)coder\.layers\.(\d+)\.", name) for name, *_ in fixture.manifest["tensors"])
    layers = {f"{m[1]}coder_layer{m[2]}{'_step0' * (m[1] == 'de')}" for m in found if m}
    encoded = {"projection", "attention_mask_any", "teacher_logprobs", *layers}
    vectors = {f"{prefix}{name}" for prefix in ("", "masked_") for name in ("first_step_logprobs", "caption_feature")}
    last = f"encoder_layer{sum(name.startswith('encoder') for name in layers) - 1}"
    names = encoded | vectors | {f"masked_{last}", "greedy_tokens", *_searched("beam")}
    if "small_vocab" in fixture.manifest:
        beams = {*_searched("small_beam"), "small_beam3_tokens", "small_beam3_logprobs"}
        names |= {"small_first_step_logprobs", *beams}
    if "batch" in fixture.manifest:
        names |= {"batch_caption_feature", "batch_greedy_tokens", *_searched("batch_beam")}
    return names


def _searched(name: str) -> set[str]:
    return {f"{name}_{field}" for field in ("tokens", "logprobs", "scores")}


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row for each stored array and each of its limits, and one for the text if its words are known (from the
    manifest, or from a vocab.pkl beside it)."""
    # The searches of the full model come within 4e-4 of another decision: reduced precision could take it.
    with jax.default_matmul_precision("highest"):
        outputs = _outputs(fixture)
    for stored in fixture.answers:
        if stored.startswith("tap_") and stored.endswith(("_index", "_shape")):
            continue
        name = stored.removeprefix("tap_")
        limits = next(limits for pattern, limits in LIMITS if re.fullmatch(pattern, name))
        for kind, limit in limits.items():
            if kind == "exact":
                yield fixture.exact(name, outputs[name])
            else:
                yield getattr(fixture, kind)(name, outputs[name], limit)
    yield from _texts(fixture, outputs["beam_tokens"])


def _outputs(fixture: Fixture) -> dict[str, np.ndarray]:
    """Returns all of the port's answers by name, in the stored layout."""
    manifest, answers = fixture.manifest, fixture.answers
    tensors = fixture.state_dict()
    regions, valid = _regions(manifest, tensors, [(manifest["input"]["name"], manifest["input"]["valid"])])

    network, variables = _model(fixture, tensors, manifest["eos_idx"])
    levels, logprobs, taps = CALL(network, variables, regions)
    outputs = {name + "_step0" * name.startswith("decoder"): tap for name, tap in taps.items()}
    outputs["attention_mask_any"] = (np.asarray(taps["projection"]).sum(-1) == 0).any()
    outputs["first_step_logprobs"] = logprobs
    outputs["teacher_logprobs"] = DECODE(network, variables, np.array([manifest["teacher_seq"]]), levels)
    outputs["caption_feature"] = np.asarray(VECTOR(levels, valid))[0]
    outputs |= _beams(network, variables, levels, "beam", answers["beam_tokens"].shape, 0)
    outputs["greedy_tokens"] = _greedy(network, variables, levels, len(answers["greedy_tokens"]))[0]

    masking = replace(network, mask_padding=True)
    masked, logprobs, taps = CALL(masking, variables, regions, None, valid)
    outputs |= {f"masked_{name}": tap for name, tap in taps.items()}
    outputs["masked_first_step_logprobs"] = logprobs
    outputs["masked_caption_feature"] = np.asarray(VECTOR(masked, valid))[0]

    if "small_vocab" in manifest:
        given = manifest["small_vocab"]
        network, variables = _model(fixture, _replaced(manifest, tensors, given), given["eos_idx"])
        start = np.full((1, 1), network.bos)
        outputs["small_first_step_logprobs"] = DECODE(network, variables, start, levels)
        outputs |= _beams(network, variables, levels, "small_beam", answers["small_beam_tokens"].shape, 0)
        steps = len(answers["small_beam3_tokens"])
        outputs |= _beams(network, variables, levels, "small_beam3", (3, steps), (0, 0))

    if "batch" in manifest:
        given = manifest["batch"]
        network, variables = _model(fixture, _replaced(manifest, tensors, given), given["eos_idx"])
        regions, valid = _regions(manifest, tensors, given["inputs"])
        levels = ENCODE(network, variables, regions)
        outputs["batch_caption_feature"] = VECTOR(levels, valid)
        outputs |= _beams(network, variables, levels, "batch_beam", answers["batch_beam_tokens"].shape[1:], ...)
        outputs["batch_greedy_tokens"] = _greedy(network, variables, levels, answers["batch_greedy_tokens"].shape[-1])
    return {name: np.asarray(value) for name, value in outputs.items()}


def _model(fixture: Fixture, tensors: dict[str, np.ndarray], eos: int) -> tuple[M2Transformer, dict[str, Any]]:
    """Returns the network that these official tensors fit, and its variables on the device."""
    vocabulary, width = tensors["decoder.word_emb.weight"].shape
    network = M2Transformer(
        vocabulary,
        width,
        layers=len([name for name in tensors if re.fullmatch(r"encoder\.layers\.\d+\.mhatt\.attention\.m_k", name)]),
        memories=tensors["encoder.layers.0.mhatt.attention.m_k"].shape[1],
        hidden=tensors["encoder.layers.0.pwff.fc1.weight"].shape[0],
        positions=tensors["decoder.pos_emb.weight"].shape[0],
        pad=fixture.manifest["pad_idx"],
        bos=fixture.manifest["bos_idx"],
        eos=eos,
    )
    # The shapes are the same for any `eos`. A flax module can be hashed; its types do not say so.
    same = replace(network, eos=0)
    shapes = _shapes(same, tensors["encoder.fc.weight"].shape[1])  # pyright: ignore[reportArgumentType]
    state = {name: np.zeros((0, width), np.float32) for name in fixture.manifest["computed"]}  # of a decoding run
    return network, jax.device_put(fixture.variables(KEYS, shapes, tensors=tensors, computed=state))


@lru_cache
def _shapes(network: M2Transformer, features: int) -> dict[str, Any]:
    """Returns the shapes of the network's variables."""
    return jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 1, features), jnp.float32))


def _replaced(manifest: dict[str, Any], tensors: dict[str, np.ndarray], given: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the tensors of a model with another vocabulary."""
    gain = given.get("gain", manifest["gain"])
    changed = {
        name: recipe.tensor(name, (given["vocab_size"], *tensors[name].shape[1:]), "float32", manifest["seed"], gain)
        for name in given["replaces"]
    }
    return tensors | changed


def _regions(manifest: dict[str, Any], tensors: dict[str, np.ndarray], inputs: list) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of (name, real rows) -> features [B, R, C] float32 with zero rows at the end, and the counts [B] int32."""
    rows, width = manifest["input"]["regions"], tensors["encoder.fc.weight"].shape[1]
    features = np.zeros((len(inputs), rows, width), np.float32)
    for n, (name, valid) in enumerate(inputs):
        image = recipe.image(name, (1, valid, width), manifest["seed"])[0]
        features[n, :valid] = np.maximum(image - np.float32(0.5), 0) * 8
    return features, np.array([valid for _, valid in inputs], np.int32)


def _beams(network, variables, levels, name: str, size: tuple[int, ...], part) -> dict[str, np.ndarray]:
    """Returns one search's results by name. `size` is (beams, steps); `part` indexes the images (and beams)."""
    beams, steps = size
    found = search_captions(network, variables, levels, beams=beams, steps=steps)
    return {f"{name}_{field}": np.asarray(value)[part] for field, value in found._asdict().items()}


def _greedy(network, variables, levels, steps: int) -> np.ndarray:
    """Returns the greedy words [B, T], which do not depend on `eos`."""
    return np.asarray(greedy_captions(network, variables, levels, steps=steps)[0])


def _texts(fixture: Fixture, tokens: np.ndarray) -> Iterator[Comparison]:
    """Compares the beams of the manifest's model, as text, with the stored text."""
    expected = fixture.manifest.get("beam_text")
    if expected is None:
        return
    sources = {}
    if "words" in expected:
        sources["beam_text"] = {int(index): word for index, word in expected["words"].items()}
    if (fixture.folder / "vocab.pkl").is_file():
        sources["beam_text (vocab.pkl)"] = dict(enumerate(read_vocabulary(fixture.folder / "vocab.pkl")))
    for name, words in sources.items():
        words = {index: words.get(index, "?") for index in set(tokens.ravel().tolist())}
        texts = [text(row, words, fixture.manifest["eos_idx"]) for row in tokens]
        different = sum(ours != theirs for ours, theirs in zip(texts, expected["text"], strict=True))
        yield Comparison(name, float(different), "exact", 0.0)
