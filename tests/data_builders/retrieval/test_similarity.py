"""Eq. 1 and its three parts."""

import dataclasses
import math
import random

import numpy as np
import pytest

from data_builders.retrieval import pose as poses
from data_builders.retrieval import similarity
from tests.helpers import slow_reference
from tests.helpers.random_accounts import as_features, draw_image

NOSE, LEFT_HIP = 0, 11
THIRDS = {"pose": 1 / 3, "background": 1 / 3, "caption": 1 / 3}


def person(box, **points):
    """A person with only the given keypoints (index -> x, y, score)."""
    keypoints = [(0.0, 0.0, 0.0)] * 17
    for name, point in points.items():
        keypoints[{"nose": NOSE, "hip": LEFT_HIP}[name]] = point
    return keypoints, box


def image(*people, width=100, height=80, background=(1.0, 0.0), caption=(1.0, 0.0)):
    return {"width": width, "height": height, "people": people, "background": background, "caption": caption}


# Box 40 x 40 of an image 100 long: area 0.16, centre (40, 40).
QUERY = person((20, 20, 60, 60), nose=(50, 30, 0.9), hip=(40, 60, 0.9))
# The same at twice the size about (100, 50), the hip 0.1 of the longer side further right.
MOVED = person((60, 10, 140, 90), nose=(120, 30, 0.9), hip=(120, 90, 0.9))
HIP = 0.5054157  # exp(-0.1 ** 2 / (2 * 0.16 * 0.214 ** 2)), the hip's k being 2 * 0.107


def pose(query, retrieved, threshold=0.05):
    return poses.pose_similarity(as_features([query]), as_features([retrieved]), threshold)[0, 0]


def test_oks_by_hand():
    """The noses coincide (1), the hips are 0.1 apart. Lengths are in units of the longer side of each image."""
    assert pose(image(QUERY), image(QUERY)) == 1
    assert pose(image(QUERY), image(MOVED, width=200, height=100)) == pytest.approx((1 + HIP) / 2, abs=1e-6)


def test_keypoints_that_the_other_lacks_count_nothing():
    only_nose = person((20, 20, 60, 60), nose=(50, 30, 0.9))
    assert pose(image(QUERY), image(only_nose)) == 0.5
    assert pose(image(only_nose), image(QUERY)) == 1, "not symmetric"
    only_hip = person((20, 20, 60, 60), hip=(40, 60, 0.9))
    assert pose(image(only_nose), image(only_hip)) == 0


def test_keypoints_far_apart_count_nothing():
    """A person 2 pixels high in an image of 100: the hip gives exp(-6554), the nose less, and both count as 0."""
    small = person((40, 40, 42, 42), nose=(41, 41, 0.9), hip=(41, 41, 0.9))
    wide = person((0, 0, 82, 82), nose=(90, 41, 0.9), hip=(41, 90, 0.9))
    assert pose(image(small), image(wide)) == 0
    half = person((0, 0, 82, 82), nose=(41, 41, 0.9), hip=(41, 90, 0.9))
    assert pose(image(small), image(half)) == 0.5


def test_visible_is_above_the_threshold():
    at = person((20, 20, 60, 60), nose=(50, 30, 0.05), hip=(40, 60, 0.9))
    assert pose(image(QUERY), image(at)) == 0.5
    assert pose(image(at), image(QUERY)) == 1
    assert pose(image(at), image(QUERY), threshold=0.04) == 1
    assert pose(image(QUERY), image(at), threshold=0.04) == 1


def test_people_of_the_query_weigh_by_area_and_take_their_best_match():
    """Area 0.16 finds itself (1); area 0.04 finds a hip 0.1 away: exp(-0.01 / (2 * 0.04 * 0.214 ** 2))."""
    small = person((70, 30, 90, 50), hip=(80, 40, 0.9))
    far_hip = person((20, 20, 60, 60), nose=(50, 30, 0.9), hip=(50, 40, 0.9))
    away = math.exp(-0.01 / (2 * 0.04 * 0.214**2))
    near = math.exp(-0.05 / (2 * 0.16 * 0.214**2))
    assert pose(image(small), image(far_hip)) == pytest.approx(away)
    both = pose(image(QUERY, small), image(far_hip))
    assert both == pytest.approx((0.16 * (1 + near) / 2 + 0.04 * away) / 0.2)
    assert pose(image(QUERY, small), image(far_hip, QUERY, small)) == 1


def test_nobody_counts_0():
    flat = person((20, 20, 60, 20), nose=(50, 30, 0.9))
    unseen = person((20, 20, 60, 60))
    assert pose(image(), image(QUERY)) == 0
    assert pose(image(QUERY), image()) == 0
    assert pose(image(flat), image(flat)) == 0, "a person without area is left out of the query"
    assert pose(image(unseen), image(QUERY)) == 0
    assert pose(image(QUERY, flat, unseen), image(QUERY)) == 1, "and out of the mean"
    inside = person((30, 40, 50, 40), nose=(50, 30, 0.9), hip=(40, 60, 0.9))
    assert pose(image(QUERY), image(inside)) == 1, "among the retrieved every person is a candidate"


def test_cosine_by_hand():
    vectors = np.array([[3, 4], [-3, -4], [0, 0], [4, 3]], np.float32)
    expected = [[1, 0, 0, 0.96], [0, 1, 0, 0], [0, 0, 0, 0], [0.96, 0, 0, 1]]
    np.testing.assert_allclose(similarity.cosine_similarity(vectors, vectors), expected, atol=1e-15)


def test_eq_1_by_hand():
    query = as_features([image(QUERY, background=(3, 4), caption=(1, 0))])
    bank = as_features([image(MOVED, width=200, background=(4, 3), caption=(3, 4))])
    total, oks, background, caption = similarity.similarity(query, bank, THIRDS, 0.05)[:, 0, 0]
    assert (oks, background, caption) == pytest.approx(((1 + HIP) / 2, 0.96, 0.6), abs=1e-6)
    assert total == pytest.approx((0.7527079 + 0.96 + 0.6) / 3, abs=1e-6)
    weights = {"pose": 0.0, "background": 0.25, "caption": 0.75}
    assert similarity.similarity(query, bank, weights, 0.05)[0, 0, 0] == pytest.approx(0.69)


def test_agrees_with_the_slow_reference_in_any_block(monkeypatch):
    rng = random.Random(3)
    queries, bank = [draw_image(rng) for _ in range(25)], [draw_image(rng) for _ in range(40)]
    options = {"similarity": THIRDS, "pose": {"keypoint_threshold": 0.05}}
    slow = np.array([[slow_reference.parts(q, r, options) for r in bank] for q in queries])
    assert (slow[..., 1] > 0.1).sum() > 50, "poses meet often enough to be compared"
    for block in (1, 100, poses.BLOCK):
        monkeypatch.setattr(poses, "BLOCK", block)
        fast = similarity.similarity(as_features(queries), as_features(bank), THIRDS, 0.05)
        np.testing.assert_allclose(fast, np.moveaxis(slow, -1, 0), rtol=1e-9, atol=1e-12)


def test_a_part_that_is_not_stored_must_weigh_nothing():
    features = dataclasses.replace(as_features([image(QUERY)] * 2), keypoints=None, boxes=None, people=None)
    with pytest.raises(ValueError, match=r"no pose features: set config\.data\.similarity\.pose \(0\.3.*\) to 0"):
        similarity.similarity(features, features, THIRDS, 0.05)
    weights = {"pose": 0.0, "background": 0.5, "caption": 0.5}
    result = similarity.similarity(features, features, weights, 0.05)
    np.testing.assert_allclose(result[:, 0, 0], [1, 0, 1, 1])


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.5), (-0.5, 1.0, 0.5)])
def test_weights_are_shares(weights):
    features = as_features([image(QUERY)])
    with pytest.raises(ValueError, match=r"config\.data\.similarity"):
        similarity.similarity(features, features, dict(zip(THIRDS, weights, strict=True)), 0.05)


def test_features_must_be_finite():
    features = as_features([image(QUERY, caption=(math.nan, 1.0))])
    with pytest.raises(ValueError, match="caption similarity is not finite"):
        similarity.similarity(features, features, THIRDS, 0.05)


def test_rows():
    features = as_features([image(QUERY, background=(n, 1.0)) for n in range(4)])
    assert features.rows(np.array([2, 0])).background[:, 0].tolist() == [2, 0]
    assert len(features.rows(slice(1, 3))) == 2
    assert dataclasses.replace(features, caption=None).rows(np.array([1])).caption is None
