"""Tests of finding people in DEKR's maps: where they are drawn, scores, limits, what is stored or refused."""

import numpy as np
import pytest

from data_builders.features.rows import people_row
from third_party_ports.dekr import poses
from third_party_ports.dekr.canvas import Geometry
from third_party_ports.dekr.poses import PoseSettings

GEOMETRY = Geometry(90, 130, 128)  # base canvas 128 x 192, k = 1.42
MIRROR = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
BODY = np.stack([6.0 * (np.arange(17) % 4 - 1.5), 9.0 * (np.arange(17) // 4 - 2)], axis=-1)  # 18 x 36 px of the photo
LEFT, RIGHT = BODY + np.array([35, 45]), BODY + np.array([95, 40])


def drawn(people, scale: float = 1.0, *, height: float = 0.9, mirrored: bool = False, spread: float = 2.5):
    """Returns a perfect network's heat and offset on one canvas for people (17 points each, in the photo's pixels)."""
    rows, columns = (side // 4 for side in GEOMETRY.canvas(scale))
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    heat, offset = np.zeros((rows, columns, 18)), np.zeros((rows, columns, 17, 2))
    nearest = np.full((rows, columns), np.inf)
    for person in people:
        points = (person * GEOMETRY.factor() + GEOMETRY.forward()[:, 2]) * scale / 4
        if mirrored:
            points = points[MIRROR] * (-1, 1) + (columns - 1, 0)
        for j, (px, py) in enumerate([*points, points.mean(axis=0)]):
            distance = (x - px) ** 2 + (y - py) ** 2
            heat[..., j] = np.maximum(heat[..., j], height * np.exp(-distance / (2 * spread**2)))
        owned = distance < nearest
        nearest[owned] = distance[owned]
        offset[owned] = (np.stack([x, y], axis=-1)[:, :, None] - points)[owned]
    return heat.astype(np.float32), offset.reshape(rows, columns, 34).astype(np.float32)


def outputs(people, scale: float = 1.0, flip: bool = True, **options):
    other = drawn(people, scale, mirrored=True, **options) if flip else (None, None)
    return *drawn(people, scale, **options), *other


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("match_hmp", [False, True])
def test_drawn_people_are_found_where_they_are(scales, flip, match_hmp):
    maps = {scale: outputs([LEFT, RIGHT], scale, flip, height=0.9 if scale == 1 else 0.6) for scale in scales}
    found = poses.people(maps, GEOMETRY, PoseSettings(match_hmp=match_hmp))
    assert len(found) == 2
    for person in found:
        keypoints, box, score = person
        true = LEFT if keypoints[:, 0].mean() < 65 else RIGHT
        assert np.abs(keypoints[:, :2] - true).max() < (0.5 if match_hmp else 0.01)
        assert keypoints.dtype == box.dtype == np.float32
        assert score == pytest.approx(keypoints[:, 2].mean()) and 0.4 < score < 0.9
        assert box[0] < keypoints[:, 0].min() and box[3] > keypoints[:, 1].max()


def test_a_photo_without_people():
    empty = (np.zeros((32, 48, 18), np.float16), np.zeros((32, 48, 34), np.float16), None, None)
    assert poses.people({1: empty}, GEOMETRY) == []
    faint = outputs([LEFT], height=0.3)  # 0.3 * 0.3 at best
    assert poses.people({1: faint}, GEOMETRY) == []
    assert len(poses.people({1: faint}, GEOMETRY, PoseSettings(person_score=0.05))) == 1


def test_a_centre_must_be_above_the_threshold():
    heat = np.zeros((32, 48, 18), np.float32)
    heat[4, 4, 17], heat[20, 20, 17] = 0.5, 0.25
    found = [candidates({1: heat}, centre_threshold=threshold).counts for threshold in (0.2, 0.25, 0.5)]
    assert found == [(2,), (1,), (0,)]


def candidates(heats: dict, **settings) -> poses.Candidates:
    maps = {scale: (heat, np.zeros((*heat.shape[:2], 34)), None, None) for scale, heat in heats.items()}
    return poses.candidates(poses.scale_maps(maps, GEOMETRY.base), GEOMETRY.base, PoseSettings(**settings))


def centres(scale: float, *values: float) -> np.ndarray:
    heat = np.zeros((*(side // 4 for side in GEOMETRY.canvas(scale)), 18), np.float32)
    heat[1, 4 : 4 + 5 * len(values) : 5, 17] = values
    return heat


def test_other_scales_are_balanced_against_scale_1():
    found = candidates({0.5: centres(0.5, 0.2), 1: centres(1, 0.4, 0.8), 2: centres(2, 0.25, 0.5)})
    assert found.counts == (2, 2, 1)  # of scales 2, 1, 0.5
    np.testing.assert_allclose(found.centre, [0.72, 0.36, 0.8, 0.4, 0.72])
    # Every pose is one point, the pixel itself; in base pixels a map pixel of scale 2 is 2, of 0.5 it is 8.
    assert found.points[:, 0].tolist() == [[18, 2], [8, 2], [36, 4], [16, 4], [32, 8]]


def test_without_a_peak_at_scale_1_the_reference_is_1():
    found = candidates({1: centres(1, 0.005), 2: centres(2, 0.25, 0.5)}, decrease=0.8)
    np.testing.assert_allclose(found.centre, [0.8, 0.4])


def test_keypoint_scores_are_centre_times_heat():
    found = poses.Candidates(np.zeros((2, 17, 2), np.float32), np.float32([0.5, 0.8]), np.full((2, 17), 0.5), (2,))
    assert poses.kept_poses(found, [1, 0])[:, 3, 2].tolist() == pytest.approx([0.4, 0.25])


def test_the_highest_30_peaks_of_a_scale_and_at_most_30_people():
    plane = np.random.default_rng(0).permutation(np.linspace(0.2, 0.9, 40)).astype(np.float32).reshape(5, 8)
    heat = np.zeros((32, 48, 18), np.float32)
    heat[::6, ::6, 17][:5] = plane
    found = candidates({1: heat})
    assert found.counts == (30,)
    np.testing.assert_array_equal(found.centre, np.sort(plane.ravel())[::-1][:30])
    both = candidates({1: heat, 2: centres(2, *np.linspace(0.3, 0.6, 5))})
    assert both.counts == (5, 30)
    assert len(poses.select(both, PoseSettings())) == 30


def test_the_nms_reaches_further_with_several_scales():
    """Two poses 10 % of the diagonal apart."""
    body = BODY.astype(np.float32)
    apart = np.stack([body, body + np.float32([0.1 * np.hypot(18, 36), 0])])

    def kept(counts, **settings):
        found = poses.Candidates(apart, np.ones(2, np.float32), np.ones((2, 17), np.float32), counts)
        return poses.select(found, PoseSettings(**settings))

    assert kept((2,)) == [0, 1]
    assert kept((1, 1)) == [0]
    assert kept((1, 1), nms_thre=0.05) == [0, 1]
    assert kept((2,), nms_thre=0.15) == [0]
    assert kept((2,), nms_thre=0.15, nms_num_thre=17) == [0, 1]


def test_rescoring_multiplies_scores_before_they_are_compared():
    maps = {1: outputs([LEFT, RIGHT])}
    plain = poses.people(maps, GEOMETRY)
    seen = []

    def rescore(keypoints):
        seen.append(keypoints)
        return np.where(keypoints[:, :, 0].mean(axis=1) < 65, 0.5, 0.1)

    rescored = poses.people(maps, GEOMETRY, rescore=rescore)
    assert seen[0].shape == (2, 17, 3)
    left = next(person for person in plain if person.keypoints[:, 0].mean() < 65)
    assert [person.score for person in rescored] == [pytest.approx(left.score / 2)]
    np.testing.assert_array_equal(rescored[0].keypoints, left.keypoints)


def test_outputs_that_do_not_fit():
    heat, offset, heat_mirrored, offset_mirrored = outputs([LEFT])
    for maps, message in (
        ({2: (heat, offset, None, None)}, r"scale 1"),
        ({1: (heat[1:], offset, None, None)}, r"a map of scale 1 is \(31, 48, 18\).* \(32, 48, 18\)"),
        ({1: (heat, offset[..., 1:], None, None)}, r"needs \(32, 48, 34\)"),
        ({1: (heat, offset, heat_mirrored, None)}, "one map of the mirrored canvas"),
        ({1: (heat, offset, heat_mirrored, offset_mirrored * np.nan)}, "scale 1 is not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            poses.people(maps, GEOMETRY)


def found_at(*people: np.ndarray, keypoint: float = 0.5) -> np.ndarray:
    return np.stack([np.c_[points, np.full(17, keypoint)] for points in people]).astype(np.float32)


def store(keypoints, scores, **settings):
    return poses.stored(keypoints, np.float32(scores), 90, 130, PoseSettings(**settings))


def test_people_are_stored_by_score():
    keypoints = found_at(*(LEFT + np.array([i, 0]) for i in range(4)))
    stored = store(keypoints, [0.25, 0.5, 0.0625, 0.5], person_score=0.25)
    assert [person.score for person in stored] == [0.5, 0.5, 0.25]
    assert [person.keypoints[0, 0] - LEFT[0, 0] for person in stored] == [1, 3, 0]


def test_at_most_eight_are_stored():
    scores = np.linspace(0.2, 0.9, 12)
    keypoints = found_at(*[LEFT] * 12)
    assert [person.score for person in store(keypoints, scores)] == pytest.approx(sorted(scores)[::-1][:8])
    assert len(store(keypoints, scores, max_stored=3)) == 3


def test_a_keypoint_outside_the_photo_gets_no_score():
    keypoints = found_at(LEFT)
    keypoints[0, :5, :2] = [(-0.1, 5), (130, 5), (5, 90), (0, 0), (129.9, 89.9)]
    (person,) = store(keypoints, [0.5])
    assert person.keypoints[:5, 2].tolist() == [0, 0, 0, 0.5, 0.5]
    np.testing.assert_array_equal(person.keypoints[..., :2], keypoints[0, :, :2])
    stored_row = people_row([person], 130, 90, "here")["keypoints"].reshape(17, 3)
    np.testing.assert_array_equal(stored_row, person.keypoints)  # the store sees the same keypoints outside


def test_a_person_needs_three_visible_keypoints():
    """A score equal to the threshold is not above it."""
    keypoints = found_at(LEFT, keypoint=0.05)
    keypoints[0, [3, 5], 2] = 0.06
    assert store(keypoints, [0.5]) == []
    keypoints[0, 7, 2] = 0.06
    (person,) = store(keypoints, [0.5])
    assert person.box[0] > 0 and len(store(keypoints, [0.5], keypoint_score=0.07)) == 0
    keypoints[0, 7, 0] = -3
    assert store(keypoints, [0.5]) == []


def test_the_box_is_the_extent_of_what_is_visible():
    keypoints = found_at(np.full((17, 2), 5.0), keypoint=0.01)
    keypoints[0, :3] = [(40, 30, 0.9), (60, 50, 0.9), (50, 70, 0.9)]
    (person,) = store(keypoints, [0.5])
    assert person.box.tolist() == [36, 26, 64, 74]  # extent 20 x 40: 4 on all sides
    assert person.keypoints[5, 2] == np.float32(0.01)


def test_the_box_is_at_least_a_pixel_wider_and_ends_with_the_photo():
    assert poses.box(np.float32([(40, 30), (44, 32)]), 90, 130).tolist() == [39, 29, 45, 33]
    assert poses.box(np.float32([(1, 2), (129, 88)]), 90, 130).tolist() == [0, 0, 130, 90]
