"""DEKR's scoring net: the check values, features by hand, official names, batches."""

import jax
import numpy as np
import pytest

from tests.helpers.paths import GOLDEN
from third_party_ports.checkpoints import weights
from third_party_ports.dekr.rescoring import FEATURES, KEYS, Rescorer, pose_features, rescorer
from third_party_ports.parity import recipe

SHAPES = {"l1": (256, 74), "l2": (256, 256), "l3": (1, 256)}


@pytest.fixture(scope="module")
def factors():
    """The net with the recipe's weights, loaded by their official names."""
    tensors = {}
    for layer, (outputs, inputs) in SHAPES.items():
        for name, shape in ((f"{layer}.weight", (outputs, inputs)), (f"{layer}.bias", (outputs,))):
            tensors[name] = recipe.tensor(name, shape, seed=0)
    shapes = jax.eval_shape(Rescorer().init, jax.random.key(0), np.zeros((1, FEATURES), np.float32))
    return rescorer(weights.from_state_dict(KEYS, tensors, shapes))


@pytest.mark.parametrize(
    ("case", "features", "outputs", "finals"),
    [
        ("two", (0.0141245, -0.0070623, 0.0157917, 0.0769368), (0.0536841, 0.0702099), (0.0292118, 0.0292537)),
        (
            "three_flip",
            (0.0213300, 0.0046421, 0.0218293, 0.0981218),
            (0.0661631, 0.0713419, 0.1340645),
            (0.0450239, 0.0298987, 0.0316622),
        ),
    ],
)
def test_check_values(factors, case, features, outputs, finals):
    with np.load(GOLDEN / f"dekr_post/{case}.npz") as stored:
        keypoints, scores = stored["final_poses"], stored["scores"]
    np.testing.assert_allclose(pose_features(keypoints)[0, [0, 1, 38, 39]], features, atol=1e-6)
    ours = factors(keypoints)
    np.testing.assert_allclose(ours, outputs, atol=1e-6)
    np.testing.assert_allclose(ours * scores, finals, atol=1e-6)


def test_features_by_hand():
    """Hips 20 and 30 below the shoulders: the unit is 25."""
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, :, 2] = np.arange(17) / 17
    keypoints[0, [11, 12], 1] = 20, 30
    keypoints[0, 0, :2] = 3, 4  # the nose, end of limbs 0 and 1
    features = pose_features(keypoints)[0]
    assert features.shape == (74,) and features.dtype == np.float32
    vectors, lengths, scores = features[:38].reshape(19, 2), features[38:57], features[57:]
    np.testing.assert_allclose(vectors[:3], [(0.12, 0.16), (0.12, 0.16), (0, 0)], rtol=1e-6)
    np.testing.assert_allclose(lengths[[0, 2, 9, 11, 14]], [0.2, 0, 0.8, 1.2, 0.4], rtol=1e-6)
    np.testing.assert_allclose(vectors[[9, 11, 14, 15], 1], [-0.8, -1.2, -0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(scores, keypoints[0, :, 2])


def test_the_unit_is_a_pixel_at_least():
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 0, 0] = 0.5
    assert pose_features(keypoints)[0, 0] == 0.5


def test_a_person_does_not_depend_on_the_others(factors):
    keypoints = np.random.default_rng(0).uniform(0, 300, (35, 17, 3)).astype(np.float32)
    together = factors(keypoints)
    assert together.shape == (35,)
    np.testing.assert_allclose(factors(keypoints[7:8]), together[7:8], rtol=1e-5, atol=1e-6)
    assert factors(keypoints[:0]).shape == (0,)


def test_a_nan_is_no_score():
    network = Rescorer(widths=(4,))
    features = np.zeros((2, FEATURES), np.float32)
    features[0, 3] = np.nan
    shapes = jax.eval_shape(network.init, jax.random.key(0), features)
    scores, out = network.apply(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes), features)
    assert scores.tolist() == [0, 0] and out["l1"].shape == (2, 4)
