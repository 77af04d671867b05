"""DEKR's pose NMS: candidates that have most keypoints in common are one person. A distance rule; OKS plays no part.

Behaviour of HRNet/DEKR (MIT).
"""

import numpy as np


def neighbours(points: np.ndarray, share: float, count: int) -> np.ndarray:
    """Which candidates lie near which: bool [n, n], row i says who is near i. Not symmetric.

    Args:
      points: [n, 17, 2].
      share: of the diagonal of i's extent; a keypoint nearer than that is common.
      count: more than so many keypoints must be common.
    """
    reach = share * np.linalg.norm(np.ptp(points, axis=1), axis=-1)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return (distance < reach[:, None, None]).sum(-1) > count


def keep(near: np.ndarray, heat: np.ndarray, most: int) -> list[int]:
    """The candidates that stay, in the order in which they were kept.

    Each candidate not yet gone speaks for all that are near it, gone ones included: the best of them by heat (the
    first of equals) stays and all are gone; nothing happens where the best is gone. This is the original's rule, which
    can keep two of a chain and lose what a greedy NMS would keep.

    Args:
      near: bool [n, n] of `neighbours`.
      heat: [n], the mean keypoint heat of each.
      most: of more than this many, the ones of the highest heat stay, descending.
    """
    gone = np.zeros(len(heat), bool)
    kept = []
    for i in range(len(heat)):
        if gone[i]:
            continue
        group = np.flatnonzero(near[i])
        if len(group) == 0:
            group = np.array([i])  # all its points are one: not even near itself
        best = group[np.argmax(heat[group])]
        if not gone[best]:
            kept.append(int(best))
            gone[group] = True
    if len(kept) > most:
        kept = [kept[k] for k in np.argsort(-heat[kept], kind="stable")[:most]]
    return kept
