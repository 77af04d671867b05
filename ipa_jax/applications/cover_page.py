"""How a video's frames are shown: the page thumbnail.html, and the cells of the contact sheet."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from data_builders.videos import Gap
from ipa_jax.applications import rank_page
from ipa_jax.applications.contact_sheet import Cell
from ipa_jax.applications.cover_frames import CoverFrames, Scored, clock
from ipa_jax.applications.ranking import Ranking
from ipa_jax.applications.thumbnails import QUALITY

POINTS = 400  # of the chart; of the frames that share a point the best counts
UNIT_NOTE = "The best of {n} near-identical frames."


def gap_text(gap: Gap) -> str:
    """A part of the video that cannot be read, as a sentence."""
    start = "the start" if gap.start is None else clock(gap.start)
    end = "the end" if gap.end is None else clock(gap.end)
    return f"not read: {start} to {end} of the video ({gap.reason})"


def score_text(score: float) -> str:
    """A score as it is shown."""
    return f"score {round(score, 2) + 0.0:+.2f}"  # without + 0.0, a little below 0 would be -0.00


@dataclass(frozen=True)
class View:
    """What is shown of one video; `seconds` is its length, if known."""

    name: str
    every: int
    seconds: float | None
    gaps: Sequence[Gap]
    frames: CoverFrames
    ranking: Ranking

    @cached_property
    def best(self) -> Scored:
        """The frame that makes the cover."""
        return self._by_name[self.ranking.photos[0].name]

    @cached_property
    def _by_name(self) -> dict[str, Scored]:
        return {frame.photo.name: frame for frame in self.frames.frames}

    @property
    def title(self) -> str:
        """The heading."""
        count = len(self.frames.frames)
        return f"The best of {count} frames of {self.name}" if count > 1 else f"1 frame of {self.name}"

    @property
    def subtitle(self) -> str:
        """What was looked at."""
        which = "Every frame" if self.every == 1 else f"One frame in {self.every}"
        account = f" for {self.ranking.account}" if self.ranking.account else ""
        parts = [f"{which} was scored{account} by {self.ranking.ranked_by}"]
        if self.seconds is not None:
            parts.append(f"the video is {clock(self.seconds)} long")
        if (groups := self.ranking.units) < len(self.frames.frames):
            parts.append(f"near-identical frames count as one, which leaves {groups}")
        return "; ".join(parts)

    @property
    def facts(self) -> dict[str, str]:
        """Name of a frame -> its score in words."""
        return {frame.photo.name: score_text(frame.photo.score) for frame in self.frames.frames}

    def cells(self) -> list[Cell]:
        """The contact sheet's frames, best first."""
        cells = []
        for photo in self.ranking.photos:
            if photo.leads and photo.name in self.frames.pictures:
                likes = rank_page.expected_text(photo)
                fact = score_text(photo.score) + (f", {likes}" if likes else "")
                picture = self.frames.pictures[photo.name]
                cells.append(Cell(picture, self._by_name[photo.name].clock, fact, photo.picked))
        return cells

    def page(self, cover: Image.Image, posts: Mapping[str, bytes], profile: str, notes: Sequence[str]) -> str:
        """The page; cover: the best frame at full size; posts, profile, notes: as for rank_page.render."""
        pictures = self.frames.pictures
        shown_ranks = {photo.rank for photo in self.ranking.photos if photo.leads and photo.name in pictures}
        shown = len(shown_ranks)
        look = rank_page.Look(
            kicker="Video cover",
            title=self.title,
            sections=[
                rank_page.Section(
                    [photo for photo in self.ranking.photos if photo.rank in shown_ranks],
                    note=f"{self.subtitle}." + f" The best {shown} are shown." * (shown < self.ranking.units),
                )
            ],
            names={name: frame.clock for name, frame in self._by_name.items()},
            facts=self.facts,
            picked="cover",
            unit_note=UNIT_NOTE,
            chart=self._chart(),
            ratio=cover.width / cover.height,
        )
        large = {self.best.photo.name: _jpeg(cover, 2 * rank_page.PHOTO_SIDE)}
        return rank_page.render(self.ranking, pictures | large, posts, look=look, profile=profile, notes=notes)

    def _chart(self) -> str:
        """The scores over the time of the video as HTML; "" without times."""
        timed = [frame for frame in self.frames.frames if frame.seconds is not None]
        end = max([self.seconds or 0.0, *(frame.seconds or 0.0 for frame in timed)])
        if len(timed) < 2 or end <= 0:
            return ""
        low, high = min(f.photo.score for f in timed), max(f.photo.score for f in timed)

        def place(frame: Scored) -> tuple[float, float]:
            up = (frame.photo.score - low) / (high - low) if high > low else 0.5
            return 100 * max(0.0, frame.seconds or 0.0) / end, 100 * (1 - up)

        best: dict[int, Scored] = {}
        for frame in timed:
            point = int(place(frame)[0] / 100 * POINTS)
            if point not in best or frame.photo.score > best[point].photo.score:
                best[point] = frame
        path, last = "", None
        for frame in best.values():
            x, y = place(frame)
            path += f"{'M' if last is None or self._between(last, frame) else 'L'}{x:.2f} {y:.2f}"
            last = frame
        gaps = [self._gap(gap, end) for gap in self.gaps]
        at = place(self.best)[0] if self.best.seconds is not None else None
        return rank_page.template("timeline.html").render(
            path=path, gaps=gaps, at=at, best=self.best.clock, end=clock(end), low=f"{low:+.2f}", high=f"{high:+.2f}"
        )

    def _between(self, before: Scored, after: Scored) -> bool:
        """Whether a part between two frames could not be read: the line is not drawn across it."""
        return any(
            gap.start is not None and (before.seconds or 0) <= gap.start < (after.seconds or 0) for gap in self.gaps
        )

    @staticmethod
    def _gap(gap: Gap, end: float) -> dict[str, Any]:
        start = 100 * max(0.0, gap.start or 0.0) / end
        stop = 100 * min(end, end if gap.end is None else gap.end) / end
        return {"left": round(start, 2), "width": round(max(0.3, stop - start), 2), "text": gap_text(gap)}


def _jpeg(image: Image.Image, side: int) -> bytes:
    small, out = image.copy(), io.BytesIO()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()
