"""Object Keypoint Similarity (OKS) between the people of two images: exact for single pairs, or rough for all of them.

A ranking needs the exact value of few pairs of images only. The rough values, in float32 by matrix products, say which.
"""

from dataclasses import dataclass

import numpy as np

from data_builders.features.features import Features

# COCO's keypoint sigmas: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
BLOCK = 1 << 16  # person pairs compared at once: the buffers stay in a core's cache
FLOOR = -700.0  # the least exponent: np.exp is several times slower where it underflows
ROUGH_FLOOR = -126.0  # the same for np.exp2 in float32
UNSEEN = -1000.0  # rough exponent of a keypoint that one of the two people lacks, or less
UNIT = 2.0**-24  # float32 rounds by this share at most
FAR, LEAST_AREA, MOST_AREA = 1e3, 1e-9, 1e6  # beyond these, float32 could overflow


@dataclass(frozen=True)
class _People:
    """The N people of some images in one list. Lengths are in units of the image's longer side.

    Attributes:
      image: [N], the image of each person, ascending.
      xy: [N, 17, 2], keypoints relative to the centre of the person's box.
      visible: bool [N, 17].
      area: [N], of the box.
      first, count: [images], where the people of an image begin, and how many they are.
    """

    image: np.ndarray
    xy: np.ndarray
    visible: np.ndarray
    area: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def where(self, kept: np.ndarray) -> "_People":
        image, count = self.image[kept], np.bincount(self.image[kept], minlength=len(self.count))
        return _People(image, self.xy[kept], self.visible[kept], self.area[kept], np.cumsum(count) - count, count)

    def finite(self) -> bool:
        return bool(np.isfinite(self.xy[self.visible]).all())


class PoseComparison:
    """The poses of Q and of M images, ready to be compared. It is not symmetric.

    Each person of the query takes the best match among the people of the other image; the result is their mean,
    weighted by box area. It is 0 where either image has no people. People of the query without area or without a
    visible keypoint do not count.

    Args:
      query: features of Q images, with the part pose.
      bank: features of M images, with the part pose.
      threshold: a keypoint is visible above this score.

    Raises:
      ValueError: keypoints or boxes are NaN or infinite.
    """

    def __init__(self, query: Features, bank: Features, threshold: float):
        asked, self._candidates = _people(query, threshold), _people(bank, threshold)
        self._asked = asked.where((asked.area > 0) & asked.visible.any(axis=1))
        self._shape = len(query), len(bank)
        some = len(self._asked.image) and len(self._candidates.image)
        if some and not (self._asked.finite() and self._candidates.finite() and np.isfinite(self._asked.area).all()):
            raise ValueError("pose similarity is not finite: a pose feature of the store is NaN or infinite")
        # An invisible keypoint is put infinitely far away, so that it counts exp(-inf) = 0.
        self._a = _by_keypoint(self._asked, -np.inf)
        self._b = _by_keypoint(self._candidates, np.inf)
        self._areas = np.zeros(len(query))
        queries = np.flatnonzero(self._asked.count)
        if len(queries):
            self._areas[queries] = np.add.reduceat(self._asked.area, self._asked.first[queries])
        self._factor = np.ascontiguousarray((-1 / (2 * self._asked.area[:, None] * (2 * SIGMAS) ** 2)).T)  # [17, N]

    def exact(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The similarity of N pairs of images, f64 [N]: row of the query, column of the bank.

        A pair has the same bits whatever pairs are beside it.
        """
        pose = np.zeros(len(rows))
        pairs = self._asked.count[rows] * self._candidates.count[columns]
        some = np.flatnonzero(pairs)
        blocks = np.flatnonzero(np.diff(np.cumsum(pairs[some]) // BLOCK)) + 1
        for part in np.split(some, blocks):
            if len(part):
                pose[part] = self._block(rows[part], columns[part])
        return pose

    def _block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """As `exact`, at once, for images that have people."""
        people, others = self._asked.count[rows], self._candidates.count[columns]
        a, starts = _spread(self._asked.first[rows], people)
        b, best_starts = _spread(np.repeat(self._candidates.first[columns], people), np.repeat(others, people))
        each = np.repeat(a, np.repeat(others, people))
        oks = np.zeros(len(b))
        for i in range(len(SIGMAS)):
            d2, dy2 = (self._a[i, axis].take(each) - self._b[i, axis].take(b) for axis in (0, 1))
            d2 *= d2
            dy2 *= dy2
            d2 += dy2
            d2 *= self._factor[i].take(each)
            np.maximum(d2, FLOOR, out=d2)
            oks += np.exp(d2, out=d2)
        best = np.maximum.reduceat(oks, best_starts) / self._asked.visible.sum(axis=1)[a]
        best[best < np.exp(FLOOR / 2)] = 0  # every term was at FLOOR
        weighted = np.add.reduceat(best * self._asked.area[a], starts)
        return weighted / self._areas[rows]

    def rough(self) -> tuple[np.ndarray, np.ndarray]:
        """The similarity of all pairs, f32 [Q, M], and how far each query's may be from the exact ones, f64 [Q]."""
        pose, margin = np.zeros(self._shape, np.float32), np.zeros(self._shape[0])
        asked, others = self._asked, self._candidates
        if not len(asked.image) or not len(others.image):
            return pose, margin
        far = max(np.abs(people.xy[people.visible]).max(initial=0) for people in (asked, others))
        if far > FAR or asked.area.min() < LEAST_AREA or asked.area.max() > MOST_AREA:
            return pose, np.ones(self._shape[0])
        images = np.argsort(-others.count, kind="stable")[: np.count_nonzero(others.count)]
        queries = np.flatnonzero(asked.count)
        share = asked.area / self._areas[asked.image]
        best = self._rough_best(images) * share[:, None].astype(np.float32)
        pose[np.ix_(queries, images)] = np.add.reduceat(best, asked.first[queries], axis=0)
        margin[queries] = np.add.reduceat(self._person_margin() * share, asked.first[queries])
        return pose, margin + 128 * UNIT

    def _rough_best(self, images: np.ndarray) -> np.ndarray:
        """The best match of each asked person with the people of `images` (most people first), f32 [N, images]."""
        asked, others = self._asked, self._candidates
        counts = [int(np.count_nonzero(others.count > person)) for person in range(others.count[images[0]])]
        # First person of every image, then the second one of those that have two, and so on: the best of an image's
        # people is then a maximum of blocks.
        columns = np.concatenate([others.first[images[:count]] + person for person, count in enumerate(counts)])
        a, b = self._factors(columns)
        best = np.empty((len(asked.image), counts[0]), np.float32)
        step = max(1, BLOCK // len(columns))
        total, power = (np.empty((step, len(columns)), np.float32) for _ in range(2))
        floor = np.full((step, len(columns)), ROUGH_FLOOR, np.float32)  # np.maximum is slower with a number
        seen = asked.visible.sum(axis=1, keepdims=True).astype(np.float32)
        for begin in range(0, len(best), step):
            rows = slice(begin, begin + step)
            size = len(best[rows])
            oks, exponent = total[:size], power[:size]
            oks[:] = 0
            for i in range(len(SIGMAS)):
                np.matmul(a[i, rows], b[i], out=exponent)
                np.maximum(exponent, floor[:size], out=exponent)
                oks += np.exp2(exponent, out=exponent)
            best[rows] = oks[:, : counts[0]]
            begin_of = counts[0]
            for count in counts[1:]:
                np.maximum(best[rows, :count], oks[:, begin_of : begin_of + count], out=best[rows, :count])
                begin_of += count
            best[rows] /= seen[rows]
        return np.clip(best, 0, 1, out=best)

    def _factors(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f32 [17, N, 4] and [17, 4, columns], whose products are the exponents -f |a - b|^2 of 2."""
        f = -self._factor / np.log(2)
        a, seen = self._asked.xy.transpose(1, 0, 2), self._asked.visible.T
        left = np.stack([-f * (a**2).sum(axis=2), 2 * f * a[..., 0], 2 * f * a[..., 1], -f], axis=2)
        left = np.where(seen[..., None], left, [UNSEEN, 0, 0, 0])
        b, seen = self._candidates.xy[columns].transpose(1, 2, 0), self._candidates.visible[columns].T[:, None]
        right = np.concatenate([np.ones_like(b[:, :1]), b, (b**2).sum(axis=1, keepdims=True)], axis=1)
        unseen = np.array([1, 0, 0, -UNSEEN / f.min()])[:, None]
        return left.astype(np.float32), np.where(seen, right, unseen).astype(np.float32)

    def _person_margin(self) -> np.ndarray:
        """How far the rough match of each asked person may be from the exact one, f64 [N].

        The four products of an exponent E = -f |a - b|^2 sum up to at most f (|a| + |b|)^2 without their signs, and
        float32 rounds each of them and their sums by 8 UNIT at most. With u = -E and F = f |a|^2, this is at most
        (2 sqrt(F) + sqrt(u))^2, so that e^-u times it is below 4 F + 1.72 sqrt(F) + 0.37. (In powers of e. Those of 2
        round the same.)
        """
        size = -self._factor * (self._asked.xy**2).sum(axis=2).T
        size = np.where(self._asked.visible.T, size, 0)
        error = 8 * UNIT * (4 * size + 1.72 * np.sqrt(size) + 0.37)
        mean = error.sum(axis=0) / self._asked.visible.sum(axis=1)
        # Beyond 0.1, an error of an exponent is no longer about one of its power; the match itself is at most 1.
        return np.where(error.max(axis=0) < 0.1, 1.1 * mean, 1.0)


def pose_similarity(query: Features, bank: Features, threshold: float) -> np.ndarray:
    """The OKS of all pairs of images, f64 [Q, M]. Arguments and errors are those of PoseComparison."""
    rows, columns = np.indices((len(query), len(bank))).reshape(2, -1)
    return PoseComparison(query, bank, threshold).exact(rows, columns).reshape(len(query), len(bank))


def _spread(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """first[0], first[0] + 1, ... (count[0] of them), then those of first[1], ...; and where each of these begins."""
    starts = np.cumsum(count) - count
    return np.arange(count.sum()) + np.repeat(first - starts, count), starts


def _by_keypoint(people: _People, unseen: float) -> np.ndarray:
    """f64 [17, 2, N], the keypoints, with `unseen` for an invisible one."""
    return np.ascontiguousarray(np.where(people.visible[..., None], people.xy, unseen).transpose(1, 2, 0))


def _people(features: Features, threshold: float) -> _People:
    assert features.keypoints is not None and features.boxes is not None and features.people is not None  # one part
    image, person = np.nonzero(np.arange(features.keypoints.shape[1]) < features.people[:, None])
    keypoints = features.keypoints[image, person]
    boxes = features.boxes[image, person].astype(np.float64)
    side = np.maximum(features.width, features.height)[image].astype(np.float64)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    count = np.bincount(image, minlength=len(features))
    return _People(
        image=image,
        xy=(keypoints[..., :2] - centre[:, None]) / side[:, None, None],
        visible=keypoints[..., 2] > np.float32(threshold),  # float32, as stored
        area=np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) / side**2,
        first=np.cumsum(count) - count,
        count=count,
    )
