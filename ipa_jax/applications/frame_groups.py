"""Near-identical frames of a video, grouped as the frames arrive: memory grows by a few bytes per frame.

A frame is compared with the first frame of each group, so that a slow pan does not become one group.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from data_builders.top3000.probe import phash
from ipa_jax.applications.units import BURST_BITS, BURST_SECONDS, FLAT, SAME_BITS

SIDE = 64  # px of the small copy
SAME_COLOUR, SAME_PLAIN = 24.0, 8.0  # levels that mean colours may differ by: a pHash sees no colour
FAR = 65  # more bits than any two hashes differ by


@dataclass(frozen=True)
class Seen:
    """What grouping reads of a frame: its 64-bit pHash, its mean colour, float [3], and whether it is plain, so that
    its hash says nothing."""

    phash: int
    colour: np.ndarray
    plain: bool


def look_at(image: Image.Image) -> Seen:
    """Looks at a frame, RGB."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    plain = float(np.asarray(small.convert("L")).std()) < FLAT
    return Seen(phash(image), np.asarray(small, np.float64).mean(axis=(0, 1)), plain)


class Groups:
    """Groups of the frames so far: of about one colour, and within 4 bits of a group's first frame at any time, or
    within 12 bits if the frame before it, at most 3 s ago, is in that group. Plain frames, as in a fade to black, are
    compared by their colour alone."""

    def __init__(self) -> None:
        self._count = 0
        self._hashes = np.zeros(64, np.uint64)  # of the first frames
        self._colours = np.zeros((64, 3))
        self._plain = np.zeros(64, bool)
        self._last: tuple[int, float | None] = (-1, None)  # group and time of the frame before

    def __len__(self) -> int:
        return self._count

    def add(self, frame: Seen, seconds: float | None) -> int:
        """The group of the next frame, from 0; seconds: its time, None if unknown."""
        group = self._find(frame, seconds) if self._count else -1
        if group < 0:
            group = self._begin(frame)
        self._last = (group, seconds)
        return group

    def _find(self, frame: Seen, seconds: float | None) -> int:
        """The group that a frame belongs to; -1 for none."""
        colour = np.abs(self._colours[: self._count] - frame.colour).max(axis=1)
        plain = self._plain[: self._count]
        if frame.plain:
            colour[~plain] = np.inf
            return _nearest(colour, SAME_PLAIN)
        bits = np.bitwise_count(self._hashes[: self._count] ^ np.uint64(frame.phash)).astype(np.int64)
        bits[plain | (colour > SAME_COLOUR)] = FAR
        group, before = self._last
        soon = seconds is not None and before is not None and abs(seconds - before) <= BURST_SECONDS
        return group if soon and bits[group] <= BURST_BITS else _nearest(bits, SAME_BITS)

    def _begin(self, frame: Seen) -> int:
        if self._count == len(self._hashes):
            self._hashes, self._plain = (
                np.resize(self._hashes, 2 * self._count),
                np.resize(self._plain, 2 * self._count),
            )
            self._colours = np.resize(self._colours, (2 * self._count, 3))
        self._hashes[self._count], self._plain[self._count] = frame.phash, frame.plain
        self._colours[self._count] = frame.colour
        self._count += 1
        return self._count - 1


def _nearest(distances: np.ndarray, most: float) -> int:
    best = int(distances.argmin())
    return best if distances[best] <= most else -1
