"""DEKR's pose NMS: candidates that have most keypoints in common are one person.

Follows HRNet/DEKR (MIT). The rule compares distances; it does not use OKS.
"""

import numpy as np


def neighbours(points: np.ndarray, share: float, count: int) -> np.ndarray:
    """Returns bool [n, n]; row i says which candidates are near i. It is not symmetric.

    Args:
      points: [n, 17, 2].
      share: a keypoint is common if it is nearer than this share of the diagonal of i's extent.
      count: candidates are near if more than this many keypoints are common.
    """
    reach = share * np.linalg.norm(np.ptp(points, axis=1), axis=-1)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return (distance < reach[:, None, None]).sum(-1) > count


def keep(near: np.ndarray, heat: np.ndarray, most: int) -> list[int]:
    """Chooses the candidates that stay, in the order in which they are kept.

    Each candidate that is left forms a group with all candidates near it, including those that are gone already. The
    best of the group by heat (of equals, the first) stays and the group is gone; if the best is gone already, nothing
    happens. This is the original's rule. It can keep two of a chain, and lose what a greedy NMS would keep.

    Args:
      near: bool [n, n] from `neighbours`.
      heat: [n], each candidate's mean keypoint heat.
      most: if more candidates stay, only this many with the highest heat do, descending.
    """
    gone = np.zeros(len(heat), bool)
    kept = []
    for i in range(len(heat)):
        if gone[i]:
            continue
        group = np.flatnonzero(near[i])
        if len(group) == 0:
            group = np.array([i])  # all its points coincide, so it is not even near itself
        best = group[np.argmax(heat[group])]
        if not gone[best]:
            kept.append(int(best))
            gone[group] = True
    if len(kept) > most:
        kept = [kept[k] for k in np.argsort(-heat[kept], kind="stable")[:most]]
    return kept
