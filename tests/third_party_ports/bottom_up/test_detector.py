"""Tests of a tiny bottom-up detector: padding, batches, order of the stages, modes, official names."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.boxes import random_boxes, survivors
from tests.helpers.paths import GOLDEN
from third_party_ports.bottom_up import regions
from third_party_ports.bottom_up.detector import KEYS, BottomUp, check_anchors, region_features
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.parity.bottom_up import in_their_order, network_of

TINY = {
    "stage_sizes": (1, 1, 1),
    "width": 4,
    "blocks": 1,
    "rpn_width": 8,
    "classes": 6,
    "attributes": 5,
    "embedding": 3,
    "attribute_width": 7,
}
FEW = {"proposals": 18, "candidates": 60, "min_boxes": 4, "max_boxes": 9, "chunk": 5}
SIZES, SCALES = np.array([[91, 77], [64, 112]]), np.array([1.25, 0.8], np.float32)
PADDED = (96, 128)


def filled(network: BottomUp) -> dict:
    """Random numbers everywhere, also for biases; positive variances; classes that differ enough to matter."""
    rng = np.random.default_rng(5)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))

    def leaf(path, shape):
        if path[-1].key == "var":
            return rng.uniform(0.5, 1.5, shape.shape).astype(np.float32)
        fan_in = np.prod(shape.shape[:-1]) if path[-1].key == "kernel" else 4
        gain = {"cls_score": 3, "objectness_logits": 2, "anchor_deltas": 0.3}.get(path[-2].key, 1)
        return rng.normal(0, gain / np.sqrt(fan_in), shape.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def photos(sizes: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    images = np.zeros((len(sizes), *canvas, 3), np.float32)
    for n, (height, width) in enumerate(sizes):
        y, x = np.mgrid[:height, :width, :1][:2]
        waves = 80 * np.sin(0.05 * (n + 1) * y + np.arange(3)) * np.cos(0.07 * x) + 30 * np.sin(0.9 * x + 0.4 * y)
        images[n, :height, :width] = waves
    return images


@pytest.fixture(scope="module")
def tiny():
    network = BottomUp(**TINY)
    return network, filled(network), jax.jit(partial(region_features, network, **FEW))


@pytest.fixture(scope="module")
def found(tiny):
    _, variables, apply = tiny
    return apply(variables, photos(SIZES, PADDED), SIZES, SCALES)


def test_padding_and_batch_leave_an_image_as_it_is(tiny, found):
    """An image of a padded batch equals the image alone without padding, in any order."""
    _, variables, apply = tiny
    assert found.features.shape == (2, 9, 128)
    images = photos(SIZES, PADDED)
    alone = apply(variables, images[:1, :91, :77], SIZES[:1], SCALES[:1])
    turned = apply(variables, images[::-1], SIZES[::-1], SCALES[::-1])
    for name, values in found._asdict().items():
        for n, other in ((0, getattr(alone, name)[0]), (0, getattr(turned, name)[1]), (1, getattr(turned, name)[0])):
            np.testing.assert_allclose(other, values[n], rtol=1e-4, atol=2e-4, err_msg=f"{name} {n}")


def test_regions_of_several_images_run_together(tiny, found):
    """As on accelerators: two images at a time, of three."""
    network, variables, _ = tiny
    apply = jax.jit(partial(region_features, network, **FEW, together=2))
    rows = [0, 1, 0]
    three = apply(variables, photos(SIZES, PADDED)[rows], SIZES[rows], SCALES[rows])
    for name, values in found._asdict().items():
        np.testing.assert_allclose(getattr(three, name), values[np.array(rows)], rtol=1e-4, atol=2e-4, err_msg=name)


@pytest.fixture(scope="module")
def described(tiny):
    """Returns each image's proposals in network pixels, with features, logits and all other outputs of the heads."""
    network, variables, _ = tiny

    @jax.jit
    def run(variables, images, sizes, scales):
        _, cells, logits, deltas, _ = network.apply(variables, images, sizes, method="trace")
        assert cells.shape == (2, 2)
        boxes, _, count = jax.vmap(partial(regions.propose, candidates=60, proposals=18))(
            logits, deltas, sizes, cells, scales
        )
        features, logits, out = network.apply(variables, images, boxes, sizes)
        heads = (out[name].reshape(*boxes.shape[:2], -1) for name in ("box_deltas", "attribute_probs"))
        return cells, count, (boxes, features, logits, *heads)

    cells, count, values = run(variables, photos(SIZES, PADDED), SIZES, SCALES)
    assert cells.tolist() == [[6, 5], [4, 7]]
    return [[np.asarray(v[n, : count[n]]) for v in values] for n in range(2)]


def slow_confidence(boxes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    result = np.zeros(len(boxes), np.float32)
    for c in range(1, probabilities.shape[1]):  # not the background
        for i in survivors(boxes, probabilities[:, c], 0.3):
            result[i] = max(result[i], probabilities[i, c])
    return result


@pytest.mark.parametrize("n", [0, 1])
def test_regions_step_by_step(found, described, n):
    """The choice in original pixels, each region's outputs, and zeros after the last region."""
    boxes, features, logits, _, attributes = described[n]
    boxes = boxes / SCALES[n]
    probabilities = np.asarray(jax.nn.softmax(logits))
    confidence = slow_confidence(boxes, probabilities)
    keep = np.flatnonzero(confidence >= 0.2)
    if not 4 <= len(keep) <= 9:
        keep = np.argsort(-confidence, kind="stable")[: 4 if len(keep) < 4 else 9]
    count = found.count[n]
    assert found.proposals[n, :count].tolist() == keep.tolist()
    np.testing.assert_allclose(found.boxes[n, :count], boxes[keep], atol=1e-3)
    np.testing.assert_allclose(found.features[n, :count], features[keep], rtol=1e-4, atol=1e-4)
    for name, values in (("object", probabilities[keep, 1:]), ("attribute", attributes[keep, 1:])):
        assert getattr(found, f"{name}s")[n, :count].tolist() == values.argmax(1).tolist()
        np.testing.assert_allclose(getattr(found, f"{name}_confidence")[n, :count], values.max(1), rtol=1e-4)
    assert not any(np.asarray(values[n, count:]).any() for values in (found.features, found.boxes, found.objects))


def test_refined_boxes(tiny, described):
    """Mode `bboxes` moves each proposal by its best class, in original pixels, and takes the most confident ones."""
    network, variables, _ = tiny
    apply = jax.jit(partial(region_features, network, **(FEW | {"mode": "bboxes"})))
    found = apply(variables, photos(SIZES, PADDED), SIZES, SCALES)
    boxes, _, logits, deltas, _ = described[1]
    probabilities = np.asarray(jax.nn.softmax(logits))
    refined = []
    for box, row, probability in zip(boxes / SCALES[1], deltas, probabilities, strict=True):
        best = 1 + probability[1:].argmax()
        (dx, dy), stretch = row[4 * best : 4 * best + 2], row[4 * best + 2 : 4 * best + 4]
        sides = box[2:] - box[:2] + 1
        centre = box[:2] + sides / 2 + np.array([dx, dy]) * sides
        reach = sides * np.exp(np.minimum(stretch, np.log(1000 / 16))) / 2
        last = SIZES[1, ::-1] / SCALES[1] - 1
        refined.append(np.clip(np.concatenate([centre - reach, centre + reach]), 0, np.concatenate([last, last])))
    refined = np.array(refined, np.float32)
    keep = np.argsort(-slow_confidence(refined, probabilities), kind="stable")[:9]
    assert found.count[1] == len(keep)
    assert found.proposals[1, : len(keep)].tolist() == keep.tolist()
    np.testing.assert_allclose(found.boxes[1, : len(keep)], refined[keep], atol=1e-2)


def test_an_image_without_proposals(tiny):
    """At this im_scale, the whole image is below the smallest size. The other image of the batch does not change."""
    _, variables, apply = tiny
    found = apply(variables, photos(SIZES, PADDED), SIZES, np.array([9, 0.8], np.float32))
    assert found.count[0] == 0
    assert found.count[1] >= 4
    assert not any(np.asarray(values[0]).any() for values in found)


@pytest.fixture(scope="module")
def whole(tiny):
    """Returns the network's outputs for an image with one region, the whole of it."""
    network, variables, _ = tiny
    return jax.jit(network.apply)(variables, photos(SIZES[:1], (91, 77)))


def test_given_boxes_keep_their_order_and_default_to_the_whole_image(tiny, whole):
    network, variables, _ = tiny
    apply = jax.jit(network.apply)
    boxes = random_boxes(np.random.default_rng(0), 3, 91, 77)
    boxes[1] = [0, 0, 76, 90]
    features, logits, out = apply(variables, photos(SIZES[:1], (91, 77)), boxes[None])
    assert features.shape == (1, 3, 128)
    assert logits.shape == (1, 3, 7)
    assert out["roi_pooled"].shape == (3, 14, 14, 64)
    turned, _, _ = apply(variables, photos(SIZES[:1], (91, 77)), boxes[None, ::-1])
    np.testing.assert_allclose(turned[:, ::-1], features, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(whole[0][0, 0], features[0, 1], rtol=1e-5, atol=1e-5)


def test_the_background_has_attributes_too(tiny):
    """The embedding's row is that of the largest logit (of equals, the first), and comes after the feature."""
    network, variables, _ = tiny
    params = variables["params"]
    rng = np.random.default_rng(1)
    features = rng.uniform(0, 1, (3, 128)).astype(np.float32)
    logits = np.zeros((3, 7), np.float32)
    logits[0, 0], logits[1, 4] = 5, 5  # the last row: all are equal
    found = jax.jit(partial(network.apply, method="attribute_probabilities"))(variables, features, logits)
    for n, best in enumerate([0, 4, 0]):
        x = np.concatenate([features[n], params["cls_embed"]["embedding"][best]])
        x = np.maximum(x @ params["attr_linear1"]["kernel"] + params["attr_linear1"]["bias"], 0)
        x = x @ params["attr_linear2"]["kernel"] + params["attr_linear2"]["bias"]
        np.testing.assert_allclose(found[n], np.exp(x) / np.exp(x).sum(), rtol=1e-4)


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(tiny, whole):
    _, variables, _ = tiny
    half = BottomUp(**TINY, dtype=jnp.bfloat16)
    image = photos(SIZES[:1], (91, 77))
    shapes = jax.eval_shape(half.init, jax.random.key(0), image)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    _, _, out = jax.eval_shape(half.apply, variables, image)
    assert {name for name, tap in out.items() if tap.dtype == jnp.bfloat16} == {
        *("stem", "res2", "res3", "res4", "roi_pooled", "res5")
    }
    features, _, _ = jax.jit(half.apply)(variables, image)
    assert np.linalg.norm(features - whole[0]) < 0.05 * np.linalg.norm(whole[0])


@pytest.mark.parametrize(
    ("choice", "message"),
    [({"mode": "boxes"}, "mode.*'boxes'.*'roi_feats'"), ({"min_boxes": 10}, "min_boxes 10 is more than")],
)
def test_choices_that_do_not_fit(tiny, choice, message):
    network, variables, _ = tiny
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            partial(region_features, network, **(FEW | choice)), variables, photos(SIZES, PADDED), SIZES, SCALES
        )


def official() -> list[list]:
    manifest = GOLDEN / "bottom_up" / "manifest.json"
    return json.loads(manifest.read_text())["tensors"]


def test_official_names():
    """Each has its place in the default network. Names of converted files do not change. Counters are ignored."""
    network = network_of({name: np.empty(shape, np.uint8) for name, shape, _ in official()})
    assert network == BottomUp()
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    names = [KEYS.canonical(name) for name, _, _ in official()]
    kept = [name for name in names if name]
    assert len(set(kept)) == len(kept) == len(jax.tree.leaves(shapes)) == 535
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 65_559_518
    assert [KEYS.canonical(name) for name in kept] == kept
    assert KEYS.canonical("module.backbone.res4.0.shortcut.norm.weight") == "trunk.layer3.0.downsample.1.weight"
    assert KEYS.canonical("backbone.stem.conv1.norm.running_var") == "trunk.bn1.running_var"
    assert KEYS.canonical("proposal_generator.anchor_generator.cell_anchors.0") is None
    assert KEYS.canonical("rpn.anchor_generator.cell_anchors.0") is None


def test_only_neighbours_of_equal_score_may_be_swapped():
    boxes = np.array([[0, 0, 9, 9], [50, 0, 59, 9], [0, 50, 9, 59]], np.float32)
    scores = np.array([0.5, 0.499999, 0.4], np.float32)
    swapped, _ = in_their_order(boxes, scores, boxes[[1, 0, 2]], 0.02)
    np.testing.assert_array_equal(swapped, boxes[[1, 0, 2]])
    kept, _ = in_their_order(boxes, scores, boxes[[0, 2, 1]], 0.02)
    np.testing.assert_array_equal(kept, boxes)
    shorter, _ = in_their_order(boxes[:2], scores[:2], boxes, 0.02)
    assert len(shorter) == 2


def test_anchor_tables_are_compared():
    name = "proposal_generator.anchor_generator.cell_anchors.0"
    table = regions.ANCHORS.astype(np.float32)
    assert check_anchors({}) is None
    assert check_anchors({name: table + 5e-4}) is None
    for wrong in (table + 2e-3, table / 16, table[:9]):
        with pytest.raises(WeightsError, match=r"cell_anchors\.0 differs"):
            check_anchors({name: wrong})
