"""The similarity of two images: their poses, backgrounds and captions (eq. 1, section 3.2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_builders.features.features import Features

# COCO's keypoint sigmas: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
BLOCK = 1 << 15  # person pairs compared at once: the buffers stay in a core's cache
FLOOR = -700.0  # the least exponent: np.exp is several times slower where it underflows


@dataclass(frozen=True)
class _People:
    """The N people of some images in one list. Lengths are in units of the image's longer side.

    Attributes:
      image: [N], the image of each person, ascending.
      xy: [N, 17, 2], keypoints relative to the centre of the person's box.
      visible: bool [N, 17].
      area: [N], of the box.
    """

    image: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    area: np.ndarray

    def rows(self, index: np.ndarray) -> "_People":
        return _People(self.image[index], self.xy[index], self.visible[index], self.area[index])


def similarity(query: Features, bank: Features, weights: Mapping[str, float], threshold: float) -> np.ndarray:
    """S(q, r) and its three parts (eq. 1).

    Args:
      query: features of Q images.
      bank: features of M images.
      weights: of "pose", "background" and "caption" (`config.data.similarity`), each 0 or more; they sum to 1.
      threshold: a keypoint is visible above this score (`config.data.pose.keypoint_threshold`).

    Returns:
      f64 [4, Q, M]: S, pose, background, caption. A part that is not stored is 0.

    Raises:
      ValueError: the weights do not sum to 1, a part has a weight but is not stored, or features are not finite.
    """
    shares = [weights["pose"], weights["background"], weights["caption"]]
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"config.data.similarity is {dict(weights)}: set weights of 0 or more that sum to 1")
    result = np.zeros((4, len(query), len(bank)))
    for slot, part in enumerate(("pose", "background", "caption"), start=1):
        stored = "keypoints" if part == "pose" else part
        a, b = getattr(query, stored), getattr(bank, stored)
        if a is None or b is None:
            if weights[part] > 0:
                raise ValueError(f"no {part} features: set config.data.similarity.{part} ({weights[part]}) to 0")
            continue
        result[slot] = pose_similarity(query, bank, threshold) if part == "pose" else cosine_similarity(a, b)
        if not np.all(np.isfinite(result[slot])):
            raise ValueError(f"{part} similarity is not finite: a {part} feature of the store is NaN or infinite")
        result[0] += weights[part] * result[slot]
    return result


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of vectors a [Q, D] and b [M, D], clipped to [0, 1], f64 [Q, M]; 0 for a zero vector."""
    return np.clip(_unit(a) @ _unit(b).T, 0.0, 1.0)


def pose_similarity(query: Features, bank: Features, threshold: float) -> np.ndarray:
    """Object Keypoint Similarity between the people of two images, f64 [Q, M]. It is not symmetric.

    Each person of the query takes the best match among the people of the other image; the result is their mean,
    weighted by box area. It is 0 where either image has no people. People of the query without area or without a
    visible keypoint do not count.
    """
    asked, candidates = _people(query, threshold), _people(bank, threshold)
    asked = asked.rows((asked.area > 0) & asked.visible.any(axis=1))
    pose = np.zeros((len(query), len(bank)))
    if len(asked.image) == 0 or len(candidates.image) == 0:
        return pose
    query_images, query_starts = np.unique(asked.image, return_index=True)
    bank_images, bank_starts = np.unique(candidates.image, return_index=True)
    best = _best_match(asked, candidates, bank_starts)  # [people of the query, images of the bank with people]
    weighted = np.add.reduceat(best * asked.area[:, None], query_starts, axis=0)
    pose[np.ix_(query_images, bank_images)] = weighted / np.add.reduceat(asked.area, query_starts)[:, None]
    return pose


def _best_match(asked: _People, candidates: _People, starts: np.ndarray) -> np.ndarray:
    """The best match of each person a with the people of each image of the bank, whose people begin at `starts`."""
    # An invisible keypoint is put infinitely far away, so that it counts exp(-inf) = 0.
    a = np.where(asked.visible[..., None], asked.xy, -np.inf)
    b = np.ascontiguousarray(np.where(candidates.visible[..., None], candidates.xy, np.inf).transpose(1, 2, 0))
    factor = -1 / (2 * asked.area[:, None] * (2 * SIGMAS) ** 2)  # [N, 17]
    seen = asked.visible.sum(axis=1)
    best = np.empty((len(a), len(starts)))
    step = max(1, BLOCK // b.shape[2])
    total, squares, other = (np.empty((step, b.shape[2])) for _ in range(3))
    for begin in range(0, len(a), step):
        rows = slice(begin, begin + step)
        size = len(a[rows])
        oks, d2, dy2 = total[:size], squares[:size], other[:size]
        oks[:] = 0
        for i in range(len(SIGMAS)):
            np.subtract(a[rows, i, 0, None], b[i, 0], out=d2)
            np.multiply(d2, d2, out=d2)
            np.subtract(a[rows, i, 1, None], b[i, 1], out=dy2)
            np.multiply(dy2, dy2, out=dy2)
            d2 += dy2
            d2 *= factor[rows, i, None]
            np.maximum(d2, FLOOR, out=d2)
            oks += np.exp(d2, out=d2)
        best[rows] = np.maximum.reduceat(oks, starts, axis=1) / seen[rows, None]
    best[best < np.exp(FLOOR / 2)] = 0  # every term was at FLOOR
    return best


def _people(features: Features, threshold: float) -> _People:
    assert features.keypoints is not None and features.boxes is not None and features.people is not None  # one part
    image, person = np.nonzero(np.arange(features.keypoints.shape[1]) < features.people[:, None])
    keypoints = features.keypoints[image, person]
    boxes = features.boxes[image, person].astype(np.float64)
    side = np.maximum(features.width, features.height)[image].astype(np.float64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return _People(
        image=image,
        xy=(keypoints[..., :2] - centre[:, None]) / side[:, None, None],
        visible=keypoints[..., 2] > np.float32(threshold),  # float32, as stored
        area=np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) / side**2,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
