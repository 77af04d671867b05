"""Our Object Keypoint Similarity against pycocotools' own, where the definitions coincide.

COCO compares a detection with an annotation of the same photo. Ours compares people of two photos, so that it differs:

- Ours centres each person on its box, COCO takes places as they are: equal where both boxes have one centre.
- Ours measures in longer sides of each photo: equal for photos of one size (the unit cancels), whatever it is.
- The area is that of the query's box; COCO's is the annotation's segment's: equal where the box's is given.
- A keypoint that the retrieved person lacks counts 0; COCO never looks at a detection's scores.
- A query without visible keypoint is left out; COCO then takes the distance to the annotation's doubled box.
- COCO matches people one to one afterwards; ours takes each query person's best match, weighted by area.
"""

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from data_builders.retrieval.pose import SIGMAS, pose_similarity
from tests.helpers.random_accounts import as_features

WIDTH, HEIGHT = 120, 90
BOX = (20.0, 10.0, 80.0, 70.0)


def coco_oks(keypoints: np.ndarray, others: list[np.ndarray], box=BOX) -> list[float]:
    """OKS of an annotation, keypoints [17, 3] (x, y, visibility 0 to 2), with detections [17, 3] (x, y, score)."""
    x0, y0, x1, y1 = box
    annotation = {
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
    }
    evaluation = COCOeval(iouType="keypoints")
    evaluation._gts[1, 1] = [annotation]
    # The result is sorted by score, descending.
    evaluation._dts[1, 1] = [{"keypoints": o.ravel().tolist(), "score": -i} for i, o in enumerate(others)]
    return evaluation.computeOks(1, 1)[:, 0].tolist()


def our_oks(keypoints: np.ndarray, others: list[np.ndarray], box=BOX, *, size=(WIDTH, HEIGHT)) -> list[float]:
    """The same for a photo with only the annotated person, against one photo for each of the others."""
    query, bank = as_features([photo(keypoints, box, size)]), as_features([photo(o, box, size) for o in others])
    return pose_similarity(query, bank, 0.05)[0].tolist()


def photo(keypoints: np.ndarray, box, size=(WIDTH, HEIGHT)) -> dict:
    """One person in a photo."""
    people = [(keypoints.tolist(), box)]
    return {"width": size[0], "height": size[1], "people": people, "background": [1.0], "caption": [1.0]}


def person(seed: int, spread: float) -> np.ndarray:
    """Keypoints about the box's centre, all visible."""
    rng = np.random.default_rng(seed)
    place = np.random.default_rng(0).uniform(-25, 25, (17, 2)) + rng.normal(0, spread, (17, 2)) + (50, 40)
    return np.c_[place, np.full(17, 2)].astype(np.float32)


def test_sigmas():
    np.testing.assert_allclose(COCOeval(iouType="keypoints").params.kpt_oks_sigmas, SIGMAS, rtol=1e-15)


@pytest.mark.parametrize("spread", [0, 1, 4, 15])
def test_people_of_whom_all_is_seen(spread):
    others = [person(seed, spread) for seed in range(1, 9)]
    coco = coco_oks(person(0, 0), others)
    assert our_oks(person(0, 0), others) == pytest.approx(coco, abs=1e-9)
    assert (min(coco) == 1) == (spread == 0)


def test_the_unit_of_length_cancels():
    others = [person(seed, 4) for seed in range(1, 9)]
    wide, high = (our_oks(person(0, 0), others, size=size) for size in ((4000, 90), (200, 300)))
    assert wide == pytest.approx(high, abs=1e-9)
    assert wide == pytest.approx(coco_oks(person(0, 0), others), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_keypoints_not_labelled_are_left_out(seed):
    """Visibility 1 (labelled, but covered) counts like 2."""
    asked = person(0, 0)
    asked[:, 2] = np.random.default_rng(seed).permutation(np.arange(17) % 3)
    others = [person(100 + seed + i, 4) for i in range(4)]
    assert our_oks(asked, others) == pytest.approx(coco_oks(asked, others), abs=1e-9)


@pytest.mark.parametrize("box", [(45.0, 35.0, 55.0, 45.0), (0.0, 0.0, 100.0, 80.0), (40.0, 5.0, 60.0, 75.0)])
def test_the_area_sets_the_scale(box):
    others = [person(seed, 3) for seed in range(1, 5)]
    assert our_oks(person(0, 0), others, box) == pytest.approx(coco_oks(person(0, 0), others, box), abs=1e-9)


def test_where_ours_counts_0_and_coco_does_not():
    """The keypoint that the retrieved person lacks: COCO still adds its term, a seventeenth of 1 at the same place."""
    other = person(1, 3)
    other[4] = person(0, 0)[4]
    other[4, 2] = 0
    (ours,), (coco,) = our_oks(person(0, 0), [other]), coco_oks(person(0, 0), [other])
    assert ours == pytest.approx(coco - 1 / 17, abs=1e-9)


def test_where_ours_leaves_out_a_person_and_coco_does_not():
    asked = person(0, 0)
    asked[:, 2] = 0
    assert our_oks(asked, [person(1, 1)]) == [0]
    assert coco_oks(asked, [person(1, 1)]) == [1]  # all within the doubled box


def test_where_ours_follows_the_person_and_coco_does_not():
    """Another place in the photo is another pose to COCO, the same to us."""
    there = person(0, 0) + np.float32([20, 0, 0])
    moved = tuple(np.add(BOX, (20, 0, 20, 0)))
    query, bank = (as_features([photo(points, box)]) for points, box in ((person(0, 0), BOX), (there, moved)))
    assert pose_similarity(query, bank, 0.05) == pytest.approx(1)
    assert coco_oks(person(0, 0), [there])[0] < 0.5
