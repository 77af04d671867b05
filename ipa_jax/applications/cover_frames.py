"""The frames of a video as they are scored: all their figures, and pictures of the best of the best groups.

Memory grows by about two kilobytes per frame, whatever its size.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ipa_jax.applications.frame_groups import Groups, Seen
from ipa_jax.applications.rank_page import PHOTO_SIDE
from ipa_jax.applications.ranked_photo import RankedPhoto
from ipa_jax.applications.ranking import TIE, Arranged
from ipa_jax.applications.thumbnails import thumbnail
from ipa_jax.applications.units import BURST, PHOTO

SHOWN = 24  # groups on the page and on the contact sheet


@dataclass(frozen=True)
class Sampled:
    """A frame that was taken from the video and lies in a file for as long as it is being scored."""

    number: int
    seconds: float | None
    file: Path
    seen: Seen

    @property
    def clock(self) -> str:
        """Its time as players show it, with hundredths; its number where the video has no times."""
        return f"frame {self.number}" if self.seconds is None else clock(self.seconds)

    @property
    def name(self) -> str:
        """What it is called in files: its time and its number."""
        return self.clock if self.seconds is None else f"{self.clock}, frame {self.number}"


@dataclass(frozen=True)
class Scored:
    """A frame with its figures; `group` counts the groups of near-identical frames from 0."""

    number: int
    seconds: float | None
    clock: str
    group: int
    photo: RankedPhoto


class CoverFrames:
    """Frames in the order of the video.

    Args:
      folder: where the best frame so far is kept at full size.

    Attributes:
      frames: all frames; `similar` of their photos is kept only where `pictures` has the frame.
      pictures: name of a frame -> JPEG, of the best frames of the best SHOWN groups.
      best_file: the best frame at full size.
    """

    def __init__(self, folder: Path) -> None:
        self.frames: list[Scored] = []
        self.pictures: dict[str, bytes] = {}
        self.best_file = folder / "best.tif"
        self._groups = Groups()
        self._leads: dict[int, int] = {}  # group -> its best frame, as a position in `frames`
        self._shown: set[int] = set()  # groups of which `pictures` has the best frame
        self._best = -1

    def add(self, sampled: Sequence[Sampled], photos: Sequence[RankedPhoto]) -> None:
        """Takes the next frames with their scores."""
        for frame, photo in zip(sampled, photos, strict=True):
            group = self._groups.add(frame.seen, frame.seconds)
            named = replace(photo, name=frame.name)
            self.frames.append(Scored(frame.number, frame.seconds, frame.clock, group, replace(named, similar=())))
            self._place(len(self.frames) - 1, named, frame.file)

    def _place(self, position: int, photo: RankedPhoto, file: Path) -> None:
        """Keeps the frame's picture if it is the best of one of the best groups so far."""
        group = self.frames[position].group
        before = self._leads.get(group)
        if before is not None and self._key(before) <= self._key(position):
            return
        self._leads[group] = position
        if self._best < 0 or self._key(position) < self._key(self._best):
            self._best = position
            shutil.copyfile(file, self.best_file)
        if group in self._shown:
            self._forget(group, before)
        elif len(self._shown) == SHOWN:
            last = max(self._shown, key=lambda shown: self._key(self._leads[shown]))
            if self._key(self._leads[last]) < self._key(position):
                return
            self._forget(last, self._leads[last])
        self._shown.add(group)
        self.pictures[photo.name] = thumbnail(file, PHOTO_SIDE)
        self.frames[position] = replace(self.frames[position], photo=photo)

    def _forget(self, group: int, position: int | None) -> None:
        self._shown.discard(group)
        if position is not None:
            frame = self.frames[position]
            del self.pictures[frame.photo.name]
            self.frames[position] = replace(frame, photo=replace(frame.photo, similar=()))

    def _key(self, position: int) -> tuple[float, int]:
        return -round(self.frames[position].photo.score, TIE), position

    def arranged(self) -> Arranged:
        """All frames in order, the best group first; the best frame of all is picked."""
        groups: dict[int, list[int]] = {}
        for position in sorted(range(len(self.frames)), key=self._key):
            groups.setdefault(self.frames[position].group, []).append(position)
        ranked = [
            replace(
                self.frames[position].photo,
                rank=rank,
                unit=BURST if len(positions) > 1 else PHOTO,
                leads=place == 0,
                picked=rank == 1 and place == 0,
            )
            for rank, positions in enumerate(groups.values(), start=1)
            for place, position in enumerate(positions)
        ]
        return Arranged(len(groups), 1, tuple(ranked))


def clock(seconds: float) -> str:
    """A time as players show it: 0:05.20, 1:02:03.00."""
    hundredths = round(abs(seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}" if hours else f"{minutes}"
    sign = "-" if seconds < 0 and hundredths else ""
    return f"{sign}{f'{hours}:' if hours else ''}{text}:{rest // 100:02}.{rest % 100:02}"
