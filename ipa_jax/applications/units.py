"""Units: photos of one moment that are ranked as one.

A burst is a set of near-duplicates, of which the best is picked. An exposure bracket or a panorama set only makes sense
whole, so all of it is picked.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ipa_jax.applications.shots import SIDE, Shot

SAME_BITS = 4  # of the pHash, at any time
BURST_BITS, BURST_SECONDS = 12, 3.0  # shots within this time may differ by more bits
FLAT = 2.0  # standard deviation of the gray copy, below which a hash says nothing: plain areas are all alike
APART = 65.0  # bits that no two hashes differ by
BRACKET_SECONDS = 2.0  # between two shots of a bracket
PANORAMA_SECONDS, PANORAMA_SHOTS = 5.0, 3  # between two shots of a panorama set, and the fewest of a set
OVERLAP = (0.25, 0.8)  # of a side that two neighbours of a panorama share
ALIKE = 0.7  # least correlation of what they share
ROWS = 256  # hashes compared with all others at once

PHOTO, BURST, BRACKET, PANORAMA = "photo", "burst", "bracket", "panorama"  # kinds of units
WHOLE = (BRACKET, PANORAMA)  # are picked whole


@dataclass(frozen=True)
class Unit:
    """Photos that are ranked as one: their kind, and their positions among all photos, ascending."""

    kind: str
    members: tuple[int, ...]


def find_units(names: Sequence[str], shots: Sequence[Shot]) -> list[Unit]:
    """Divides photos into units; the order of the photos makes no difference.

    Args:
      names: unique names of the photos.
      shots: of the same photos.

    Returns:
      The units, by their first member. Every photo is in one.
    """
    free = sorted(range(len(names)), key=lambda i: names[i])
    units = []
    for kind, linked, fewest in ((BRACKET, _in_bracket, 2), (PANORAMA, _in_panorama, PANORAMA_SHOTS)):
        for run in _runs(names, shots, free, linked):
            if len(run) >= fewest:
                units.append(Unit(kind, tuple(sorted(run))))
        taken = {i for unit in units for i in unit.members}
        free = [i for i in free if i not in taken]
    for cluster in _bursts([shots[i] for i in free]):
        members = tuple(sorted(free[i] for i in cluster))
        units.append(Unit(BURST if len(members) > 1 else PHOTO, members))
    return sorted(units, key=lambda unit: unit.members)


def to_pick(wanted: str, units: int) -> int:
    """How many of `units` units "N" or "N%" asks for: a share is rounded up, and at least 1 is picked.

    Raises:
      ValueError: `wanted` is neither, or not above 0.
    """
    text = wanted.strip()
    try:
        number = float(text.removesuffix("%")) if text.endswith("%") else int(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf or (text.endswith("%") and number > 100):
        raise ValueError(f"--pick {wanted}: give a number of photos such as 12, or a share such as 10%")
    count = math.ceil(round(number * units / 100, 9)) if text.endswith("%") else int(number)
    return min(max(count, 1), units)


def _runs(
    names: Sequence[str], shots: Sequence[Shot], free: Iterable[int], linked: Callable[[Shot, Shot], str | None]
) -> list[list[int]]:
    """Shots in order of time, cut wherever two neighbours are not linked, or linked in another way than the last."""
    runs: list[list[int]] = []
    last = None
    order = [(shots[i].camera, shots[i].taken, names[i], i) for i in free if shots[i].taken is not None]
    order = [entry[-1] for entry in sorted(order)]
    for a, b in pairwise(order):
        way = linked(shots[a], shots[b]) if shots[a].camera == shots[b].camera else None
        if way is not None and way == last:
            runs[-1].append(b)
        elif way is not None:
            runs.append([b] if runs and a in runs[-1] else [a, b])
        last = way
    return runs


def _gap(a: Shot, b: Shot) -> float:
    return math.inf if a.taken is None or b.taken is None else abs(b.taken - a.taken)


def _in_bracket(a: Shot, b: Shot) -> str | None:
    biases = (a.exposure_bias, b.exposure_bias)
    changing = None not in biases and biases[0] != biases[1]
    return BRACKET if _gap(a, b) <= BRACKET_SECONDS and (a.exposure_mode == b.exposure_mode == 2 or changing) else None


def _in_panorama(a: Shot, b: Shot) -> str | None:
    """The side to which b continues a: "right", "left", "down" or "up"; None if it does not."""
    locked = a.exposure is not None and a.exposure == b.exposure
    if not locked or _gap(a, b) > PANORAMA_SECONDS or a.gray is None or b.gray is None:
        return None
    if (a.phash ^ b.phash).bit_count() <= BURST_BITS:
        return None  # a burst
    left, right = a.gray.astype(np.float64), b.gray.astype(np.float64)
    found = {
        "right": _shared(left, right),
        "left": _shared(right, left),
        "down": _shared(left.T, right.T),
        "up": _shared(right.T, left.T),
    }
    way = max(found, key=lambda way: found[way])
    return way if found[way] >= ALIKE else None


def _shared(left: np.ndarray, right: np.ndarray) -> float:
    """The highest correlation between the right part of one image [64, 64] and the left part of another.

    Of the differences between neighbouring columns: sky over ground would make any two landscapes alike.
    """
    a, b = np.diff(left, axis=1), np.diff(right, axis=1)
    best = 0.0
    for width in range(int(OVERLAP[0] * SIDE), int(OVERLAP[1] * SIDE) + 1):
        x, y = a[:, -width:], b[:, :width]
        x, y = x - x.mean(), y - y.mean()
        norm = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
        best = max(best, float((x * y).sum()) / norm if norm > 0 else 0.0)
    return best


def _bursts(shots: Sequence[Shot]) -> list[list[int]]:
    """Clusters by complete linkage: in a cluster any two shots are near-duplicates."""
    count = len(shots)
    hashes = np.array([shot.phash for shot in shots], np.uint64)
    taken = np.array([math.nan if shot.taken is None else shot.taken for shot in shots])
    flat = np.array([shot.gray is not None and shot.gray.std() < FLAT for shot in shots], bool)
    first, second, bits = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for begin in range(0, count, ROWS):
        differ = np.bitwise_count(hashes[begin : begin + ROWS, None] ^ hashes)
        soon = np.abs(taken[begin : begin + ROWS, None] - taken) <= BURST_SECONDS
        alike = (differ <= SAME_BITS) | (soon & (differ <= BURST_BITS))
        same = np.arange(count)[begin : begin + ROWS, None] == np.arange(count)
        alike &= same | ~(flat[begin : begin + ROWS, None] | flat)
        a, b = np.nonzero(alike)
        first.append(a + begin)
        second.append(b)
        bits.append(differ[a, b].astype(np.float64))
    a, b, near = np.concatenate(first), np.concatenate(second), np.concatenate(bits)
    _, component = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(count, count)), directed=False)
    clusters = []
    for label in range(int(component.max(initial=-1)) + 1):
        members = np.flatnonzero(component == label)
        if len(members) == 1:
            clusters.append(members.tolist())
            continue
        inside = component[a] == label
        distance = np.full((len(members), len(members)), APART)
        distance[np.searchsorted(members, a[inside]), np.searchsorted(members, b[inside])] = near[inside]
        tree = linkage(distance[np.triu_indices(len(members), 1)], "complete")
        cluster = fcluster(tree, BURST_BITS, "distance")
        clusters += [members[cluster == number].tolist() for number in np.unique(cluster)]
    return clusters
