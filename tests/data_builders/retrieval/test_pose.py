"""The rough similarity of poses bounds the exact one, and the Top-K that it helps to find is the exact one."""

import dataclasses
import random

import numpy as np
import pytest

from data_builders.retrieval import pose, top_k
from data_builders.retrieval.similarity import similarity
from tests.helpers.random_accounts import as_arrays, as_features, draw_account, draw_choices, draw_image, plain_choices


def crowd(images, seed, scale=1.0):
    """Features of images with 0 to 9 people anywhere; `scale` shrinks their boxes, not the distances between people."""
    rng = np.random.default_rng(seed)
    features = as_features([draw_image(random.Random(seed + number)) for number in range(images)])
    size, corner = scale * rng.uniform(20, 500, (images, 9, 2)), rng.uniform(0, 500, (images, 9, 2))
    points = corner[:, :, None] + size[:, :, None] * rng.uniform(0, 1, (images, 9, 17, 2))
    return dataclasses.replace(
        features,
        keypoints=np.concatenate([points, rng.uniform(0, 1, (images, 9, 17, 1))], axis=3).astype(np.float32),
        boxes=np.concatenate([corner, corner + size], axis=2).astype(np.float32),
        people=rng.integers(0, 10, images).astype(np.int32),
        width=np.full(images, 1000, np.int32),
        height=np.full(images, 800, np.int32),
    )


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-3, 1e-6], ids=str)
def test_the_rough_similarity_is_within_its_margin(scale):
    """Small people have steep exponents: the margin grows with these, up to 1."""
    query, bank = crowd(30, 1, scale), crowd(40, 2, scale)
    compared = pose.PoseComparison(query, bank, 0.3)
    rough, margin = compared.rough()
    exact = pose.pose_similarity(query, bank, 0.3)
    assert (np.abs(rough - exact) <= margin[:, None]).all()
    if scale == 1:
        assert margin.max() < 2e-4 and exact.max() > 0.2, "so few candidates are left"


@pytest.mark.parametrize("shift", [1e4, 1e9, 1e30], ids=str)
def test_keypoints_far_outside_of_the_photo(shift):
    query = crowd(10, 3)
    query.keypoints[::2, :, :, 0] += np.float32(shift)
    compared = pose.PoseComparison(query, crowd(10, 4), 0.3)
    rough, margin = compared.rough()
    assert (np.abs(rough - pose.pose_similarity(query, crowd(10, 4), 0.3)) <= margin[:, None]).all()


def test_single_pairs_have_the_bits_of_all_pairs(monkeypatch):
    query, bank = crowd(12, 5), crowd(15, 6)
    all_pairs = pose.pose_similarity(query, bank, 0.3)
    rows, columns = np.nonzero(np.random.default_rng(0).random(all_pairs.shape) < 0.3)
    monkeypatch.setattr(pose, "BLOCK", 1)
    np.testing.assert_array_equal(pose.PoseComparison(query, bank, 0.3).exact(rows, columns), all_pairs[rows, columns])


@pytest.mark.parametrize("field", ["keypoints", "boxes"])
def test_poses_must_be_finite(field):
    query = crowd(4, 7)
    people = int(query.people.argmax())
    getattr(query, field)[people, 0] = np.nan if field == "boxes" else np.inf
    with pytest.raises(ValueError, match="pose feature of the store is NaN or infinite"):
        similarity(crowd(4, 8), query, {"pose": 1.0, "background": 0.0, "caption": 0.0}, 0.05)


def brute_force(images, features, options):
    """(image, S) of the k best of every query, by sorting all of them."""
    exact = similarity(features, features, options["similarity"], options["pose"]["keypoint_threshold"])
    bank = np.flatnonzero(top_k.in_bank(images, options["split"]["by"]))
    seen = top_k.visible(images, images.rows(bank), options["memory"], options["split"]["by"])
    found = []
    for query in range(len(images)):
        rows = bank[seen[query]] if images.group[query] >= 0 else bank[:0]
        order = np.lexsort((images.image_id[rows], -images.time[rows], -np.round(exact[0, query, rows], 6)))
        kept, posts = [], set()
        for row in rows[order].tolist():
            if images.post[row] not in posts and len(kept) < options["retrieval"]["k"]:
                posts.add(images.post[row])
                kept.append((row, *exact[:, query, row]))
        found.append(kept)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_top_k_finds_what_sorting_everything_finds(seed):
    """Some people are too small for float32, and several images are copies that tie."""
    rng = random.Random(seed)
    options = plain_choices() if seed < 3 else draw_choices(rng, "all", "post", "account", None, True)
    options["similarity"] = {"pose": 0.8, "background": 0.1, "caption": 0.1}
    images, _, plain = as_arrays("gus", draw_account(rng, "all"), options)
    poses = crowd(len(images), seed, scale=(1.0, 1e-3, 1e-6)[seed % 3])
    features = dataclasses.replace(poses, background=plain.background, caption=plain.caption)
    features = features.rows(np.sort(np.random.default_rng(seed).integers(0, len(images), len(images))))
    found = top_k.retrieve(images, features, options)
    for query, expected in enumerate(brute_force(images, features, options)):
        slots = np.flatnonzero(found.mask[query])
        assert found.index[query, slots].tolist() == [row[0] for row in expected]
        if expected:
            np.testing.assert_allclose(found.similarity[query, slots], [row[1:] for row in expected], atol=1e-12)
