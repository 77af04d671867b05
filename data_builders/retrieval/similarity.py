"""The similarity of two images: their poses, backgrounds and captions (eq. 1, section 3.2.1)."""

from collections.abc import Mapping

import numpy as np

from data_builders.features.features import Features
from data_builders.retrieval.pose import PoseComparison

PARTS = ("pose", "background", "caption")
ROWS = 32  # vectors made float64 at once: they stay in a core's cache


class Comparison:
    """S(q, r) and its three parts (eq. 1) for Q and M images. A part that is not stored is 0.

    Args:
      query: features of Q images.
      bank: features of M images.
      weights: of "pose", "background" and "caption" (`config.data.similarity`), each 0 or more; they sum to 1.
      threshold: a keypoint is visible above this score (`config.data.pose.keypoint_threshold`).

    Raises:
      ValueError: the weights do not sum to 1, a part has a weight but is not stored, or features are not finite.
    """

    def __init__(self, query: Features, bank: Features, weights: Mapping[str, float], threshold: float):
        shares = [weights[part] for part in PARTS]
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"config.data.similarity is {dict(weights)}: set weights of 0 or more that sum to 1")
        self._shape, self._weights = (len(query), len(bank)), weights
        self._pose: PoseComparison | None = None
        self._cosines: dict[str, np.ndarray] = {}
        for part in PARTS:
            stored = "keypoints" if part == "pose" else part
            a, b = getattr(query, stored), getattr(bank, stored)
            if a is None or b is None:
                if weights[part] > 0:
                    raise ValueError(f"no {part} features: set config.data.similarity.{part} ({weights[part]}) to 0")
            elif part == "pose":
                self._pose = PoseComparison(query, bank, threshold)
            else:
                self._cosines[part] = cosine_similarity(a, b)
                if not np.all(np.isfinite(self._cosines[part])):
                    raise ValueError(
                        f"{part} similarity is not finite: a {part} feature of the store is NaN or infinite"
                    )

    def exact(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """S, pose, background, caption of N pairs of images, f64 [4, N]: row of the query, column of the bank."""
        result = np.zeros((1 + len(PARTS), len(rows)))
        for slot, part in enumerate(PARTS, start=1):
            if part in self._cosines:
                result[slot] = self._cosines[part][rows, columns]
            elif part == "pose" and self._pose:
                result[slot] = self._pose.exact(rows, columns)
            result[0] += self._weights[part] * result[slot]
        return result

    def rough(self) -> tuple[np.ndarray, np.ndarray]:
        """S of all pairs, f64 [Q, M], and how far each query's may be from the exact one, f64 [Q].

        Only the pose is rough, because its exact value takes most of the time (see pose.PoseComparison.rough).
        """
        score, margin = np.zeros(self._shape), np.full(self._shape[0], 1e-12)
        for part, cosine in self._cosines.items():
            score += self._weights[part] * cosine
        if self._pose and self._weights["pose"] > 0:
            pose, pose_margin = self._pose.rough()
            score += self._weights["pose"] * pose
            margin += self._weights["pose"] * pose_margin
        return score, margin


def similarity(query: Features, bank: Features, weights: Mapping[str, float], threshold: float) -> np.ndarray:
    """S and its three parts of all pairs of images, f64 [4, Q, M]. Arguments and errors are those of Comparison."""
    rows, columns = np.indices((len(query), len(bank))).reshape(2, -1)
    return (
        Comparison(query, bank, weights, threshold).exact(rows, columns).reshape(1 + len(PARTS), len(query), len(bank))
    )


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of vectors a [Q, D] and b [M, D], clipped to [0, 1], f64 [Q, M]; 0 for a zero vector."""
    cosine = _unit(a) @ _unit(b).T
    return np.clip(cosine, 0.0, 1.0, out=cosine)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit = np.empty(np.shape(vectors))
    for begin in range(0, len(unit), ROWS):
        rows = np.asarray(vectors[begin : begin + ROWS], np.float64)
        length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        np.divide(rows, np.where(length > 0, length, 1.0), out=unit[begin : begin + ROWS])
    return unit
