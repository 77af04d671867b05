"""Compares the bottom-up detector with its fixture, stage by stage.

A stage starts from the recorded output of the one before, if that is stored whole.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from third_party_ports.bottom_up import regions
from third_party_ports.bottom_up.detector import KEYS, BottomUp
from third_party_ports.bottom_up.input import MEANS, region_input
from third_party_ports.parity import recipe
from third_party_ports.parity.fixture import Comparison, Fixture
from third_party_ports.parity.fixture import compare as compared
from third_party_ports.parity.images import nchw

MODELS = ("bottom_up",)
LIMIT = 2e-5  # of networks; 1e-6 was seen, and an epsilon of 1e-3 gives 6e-4 and more
DECODED, RESIZED = 1e-5, 1e-5
BOXES, SCORES = 2e-3, 1e-6  # px and probability, from recorded maps; 1.2e-4 and 1.2e-7 were seen
OWN_BOXES, OWN_SCORES = 0.02, 1e-5  # from our own maps
HEADS = ("roi_pooled", "res5", "roi_feature", "class_logits", "box_deltas", "attribute_probs")
CASES = (  # how the arrays' names begin, the manifest's list, how they end
    ("rpn_case", "rpn_cases", ("_boxes", "_scores")),
    ("select", "select_cases", ("_keep",)),
    ("select_boost", "select_boost_cases", ("_keep",)),
    ("preprocess", "preprocess_cases", ("", "_scale")),
)
SWAPPED = 1e-5  # relative difference of scores whose order is left to rounding


def needed(fixture: Fixture) -> set[str]:
    trunk = {"stem", "res2", "res3", "res4", "rpn_logits", "rpn_deltas", "proposals", "proposal_scores"}
    heads = {*HEADS, "decoded_boxes", "decode_case"}
    chosen = {f"e2e_{name}" for name in ("keep", "features", "max_prob", "bbox")}
    chosen |= {f"e2e_{kind}_{what}" for kind in ("objects", "attrs") for what in ("id", "conf")}
    cases = {
        f"{start}{i}{end}" for start, field, ends in CASES for i in range(len(fixture.manifest[field])) for end in ends
    }
    return trunk | heads | chosen | cases


def compare(fixture: Fixture) -> Iterator[Comparison]:
    """Yields a row for each stored array, and rows for the proposals from our own maps."""
    tensors = fixture.state_dict()
    network = network_of(tensors)
    given, answers = fixture.manifest["input"], fixture.answers
    seed, scale = fixture.manifest["seed"], np.float32(given["im_scale"])
    image = recipe.image(given["name"], tuple(given["shape"]), given.get("seed", seed)).transpose(1, 2, 0)
    image = (image[None, :, :, ::-1] * np.float32(255) - MEANS).astype(np.float32)
    size = np.array(image.shape[1:3])
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)
    anchors = {"proposal_generator.anchor_generator.cell_anchors.0": regions.ANCHORS}
    variables = fixture.variables(KEYS, shapes, tensors=tensors, computed=anchors)

    maps, cells, logits, deltas, out = jax.jit(lambda v, x: network.apply(v, x, method="trace"))(variables, image)
    for name in ("stem", "res2", "res3", "res4"):
        yield fixture.relative(name, nchw(out[name]), LIMIT)
    yield fixture.relative("rpn_logits", nchw(logits), LIMIT)
    yield fixture.relative("rpn_deltas", nchw(deltas), LIMIT)
    yield from _proposals(fixture, "proposals", logits[0], deltas[0], size, scale, OWN_BOXES, OWN_SCORES, " (own maps)")
    logits, deltas = answers["rpn_logits"][0].transpose(1, 2, 0), answers["rpn_deltas"][0].transpose(1, 2, 0)
    yield from _proposals(fixture, "proposals", logits, deltas, size, scale, BOXES, SCORES)
    yield from _proposal_cases(fixture)

    heads = jax.jit(lambda v, x, boxes, cells: _heads(network, v, x, boxes, cells))
    fixed = np.array(fixture.manifest["fixed_boxes"], np.float32)
    described = heads(variables, maps[0], fixed, cells[0])
    for name in HEADS:
        yield fixture.relative(name, nchw(described[name]), LIMIT)
    decoded = _decoded(described["box_deltas"], fixed)
    yield fixture.relative("decoded_boxes", decoded, DECODED)
    yield _decode_case(fixture, fixed, described["box_deltas"].shape)

    yield from _end_to_end(fixture, lambda boxes: heads(variables, maps[0], boxes, cells[0]), len(fixed), scale)
    yield from _selections(fixture, network.classes)
    yield from _inputs(fixture)


def network_of(tensors: Mapping[str, np.ndarray]) -> BottomUp:
    """Returns the network with the sizes of these official tensors."""

    def blocks(stage: str) -> int:
        return len({m[1] for name in tensors if (m := re.match(rf"{stage}\.(\d+)\.", name))})

    head = "roi_heads.box_predictor"
    return BottomUp(
        stage_sizes=tuple(blocks(rf"backbone\.res{s}") for s in (2, 3, 4)),
        width=len(tensors["backbone.stem.conv1.weight"]),
        blocks=blocks(r"roi_heads\.res5"),
        rpn_width=len(tensors["proposal_generator.rpn_head.conv.weight"]),
        classes=len(tensors[f"{head}.cls_score.weight"]) - 1,
        attributes=len(tensors[f"{head}.attr_linear2.weight"]) - 1,
        embedding=tensors[f"{head}.cls_embed.weight"].shape[1],
        attribute_width=len(tensors[f"{head}.attr_linear1.weight"]),
    )


def _heads(network: BottomUp, variables: Any, features: jax.Array, boxes: jax.Array, cells: jax.Array) -> dict:
    """Returns all that is computed for the boxes, by the fixture's names."""
    bound, pooled = network.bind(variables), regions.pool(features, boxes, cells)
    feature, logits, out = bound.describe(pooled)
    out["box_deltas"] = bound.box_deltas(feature)
    out["attribute_probs"] = bound.attribute_probabilities(feature, logits)
    return out | {"roi_pooled": pooled}


_propose = jax.jit(regions.propose)
_confidence = jax.jit(regions.confidence)
_choose = jax.jit(regions.choose, static_argnames=("min_boxes", "max_boxes"))


def _proposals(
    fixture: Fixture, name: str, logits, deltas, size, scale, box_limit: float, score_limit: float, note: str = ""
) -> Iterator[Comparison]:
    """Yields rows for boxes and scores. `name` is "proposals", or what stands before "_boxes" in an array's name."""
    cells = np.array(logits.shape[:2])
    boxes, scores, count = (np.asarray(v) for v in _propose(logits, deltas, size, cells, scale))
    stored = {"proposals": ("proposals", "proposal_scores")}.get(name, (f"{name}_boxes", f"{name}_scores"))
    reference, their_scores = (fixture.answers[array] for array in stored)
    boxes, scores = in_their_order(boxes[:count], scores[:count], reference, box_limit)
    yield compared(stored[0] + note, boxes, reference, "absolute", box_limit)
    yield compared(stored[1] + note, scores, their_scores, "absolute", score_limit)


def in_their_order(
    boxes: np.ndarray, scores: np.ndarray, theirs: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns our boxes [R, 4] and scores [R] by descending score, in their order where only rounding decides it.

    A box without one of theirs within `limit` px stays where it is, and counts as an error.
    """
    if boxes.shape != theirs.shape:
        return boxes, scores
    order = np.arange(len(boxes))
    for i in range(len(order)):
        for j in range(i + 1, len(order)):
            a, b = scores[order[i]], scores[order[j]]
            if abs(a - b) > SWAPPED * abs(a) or np.abs(boxes[order[i]] - theirs[i]).max() <= limit:
                break
            if np.abs(boxes[order[j]] - theirs[i]).max() <= limit:
                order[[i, j]] = order[[j, i]]
    return boxes[order], scores[order]


def _proposal_cases(fixture: Fixture) -> Iterator[Comparison]:
    """Compares the selection alone, on maps made by the manifest's `rpn_formula`."""
    seed, anchors = fixture.manifest["seed"], len(regions.ANCHORS)
    for i, case in enumerate(fixture.manifest["rpn_cases"]):
        h, w = case["map"]
        logits = recipe._rng(seed, "rpn_case_logits").normal(0, case["logit_std"], [2 * anchors, h, w])
        logits[anchors:] += case["ramp"] * np.arange(w) / (w - 1) - case["offset"]
        deltas = recipe._rng(seed, "rpn_case_deltas").normal(0, case["delta_std"], [anchors, 4, h, w])
        deltas[:, 2:] += case["size_shift"]
        logits, deltas = (v.reshape(-1, h, w).transpose(1, 2, 0).astype(np.float32) for v in (logits, deltas))
        size, scale = np.array(case["image"]), np.float32(case["im_scale"])
        yield from _proposals(fixture, f"rpn_case{i}", logits, deltas, size, scale, BOXES, SCORES)


@jax.jit
def _decoded(deltas: jax.Array, boxes: jax.Array) -> jax.Array:
    """Deltas [R, 4 C] of boxes [R, 4] -> [R, 4 C]."""
    return regions.decode(deltas.reshape(len(boxes), -1, 4), boxes[:, None]).reshape(deltas.shape)


def _decode_case(fixture: Fixture, boxes: np.ndarray, shape: tuple[int, ...]) -> Comparison:
    case = fixture.manifest["decode_case"]
    deltas = recipe._rng(fixture.manifest["seed"], "decode_deltas").normal(0, case["delta_std"], shape)
    decoded = _decoded(deltas.astype(np.float32), boxes / np.float32(case["im_scale"]))
    return fixture.relative("decode_case", decoded, DECODED)


def _end_to_end(fixture: Fixture, heads, chunk: int, scale: np.float32) -> Iterator[Comparison]:
    """Runs the recorded proposals through the heads, `chunk` at a time, and compares the choice among them."""
    proposals = fixture.answers["proposals"]
    rows = np.pad(proposals, [(0, -len(proposals) % chunk), (0, 0)]).reshape(-1, chunk, 4)
    wanted = ("roi_feature", "class_logits", "attribute_probs")
    parts = []
    for part in rows:
        described = heads(part)
        parts.append([np.asarray(described[name]) for name in wanted])
    features, logits, attributes = (np.concatenate(part)[: len(proposals)] for part in zip(*parts, strict=True))
    boxes, probabilities = proposals / scale, np.asarray(jax.nn.softmax(logits))[:, 1:]
    keep = _keep(boxes, probabilities, {})
    yield fixture.relative("e2e_max_prob", probabilities.max(1), LIMIT)
    yield fixture.exact("e2e_keep", keep)
    yield fixture.relative("e2e_features", features[keep], LIMIT)
    yield fixture.relative("e2e_bbox", boxes[keep], DECODED)
    for name, values in (("objects", probabilities[keep]), ("attrs", attributes[keep, 1:])):
        yield fixture.exact(f"e2e_{name}_id", values.argmax(1))
        yield fixture.relative(f"e2e_{name}_conf", values.max(1), LIMIT)


def _keep(boxes: np.ndarray, probabilities: np.ndarray, case: Mapping[str, Any]) -> np.ndarray:
    """Returns the indices of the chosen boxes, in order."""
    confidence = _confidence(boxes, probabilities, len(boxes))
    limits = {"min_boxes": case.get("min_boxes", 10), "max_boxes": case.get("max_boxes", 100)}
    keep, count = _choose(confidence, np.int32(len(boxes)), **limits)
    return np.asarray(keep)[: int(count)]


def _selections(fixture: Fixture, classes: int) -> Iterator[Comparison]:
    """Compares the choice alone, for the recorded proposals and logits made by `select_logits_formula`."""
    proposals = fixture.answers["proposals"]
    for name in ("select", "select_boost"):
        for i, case in enumerate(fixture.manifest[f"{name}_cases"]):
            draw = recipe._rng(fixture.manifest["seed"], "select_logits").normal(0, 1, [len(proposals), classes + 1])
            logits = draw * case["logit_std"]
            logits[:, 0] += case.get("background_boost", 0)
            logits[:, 1] += case.get("class1_boost", 0)
            probabilities = np.asarray(jax.nn.softmax(logits.astype(np.float32)))[:, 1:]
            boxes = proposals / np.float32(case["im_scale"])
            yield fixture.exact(f"{name}{i}_keep", _keep(boxes, probabilities, case))


def _inputs(fixture: Fixture) -> Iterator[Comparison]:
    """Compares the detector's input, made from 8-bit photos."""
    for i, case in enumerate(fixture.manifest["preprocess_cases"]):
        photo = recipe.image(case["name"], (3, case["h"], case["w"]), case["seed"]).transpose(1, 2, 0)
        values, _, scale = region_input(np.rint(photo * 255).astype(np.uint8))
        yield fixture.relative(f"preprocess{i}", values.transpose(2, 0, 1), RESIZED)
        yield fixture.exact(f"preprocess{i}_scale", np.array(scale))
