"""Opens videos from outside, of which nothing is known; no other file does. Needs PyAV, from the extra `video`.

Frames are decoded one after the other and never kept. Only ordinary files of video are opened: no playlists, which
could name other files or addresses, and no still pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_builders import photos

try:
    import av as pyav  # pyright: ignore[reportMissingImports]
except ImportError:
    pyav = None
av: Any = pyav

CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,nut"  # FFmpeg's names
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
REMEDY = "give a video file such as MP4, MOV, MKV, WebM or AVI"
MOST_PIXELS = photos.MANY_PIXELS  # of a frame; 8K video has a third of it
ATTACHED = 0x400  # FFmpeg's mark of a stream that is one picture, such as the cover of a song
HD, UNSPECIFIED, BT709 = 720, 2, 1  # lines from which players take BT.709 for colours that a file does not specify
HDR = {16: "PQ", 18: "HLG"}  # FFmpeg's numbers of transfer curves
DAMAGED = "damaged data"
ATTEMPTS = 100  # to read on behind a damaged place
EARLY = 1.0  # seconds that a video may end before the time that its file states
_TURNS = {  # by the signs of the display matrix (a, b, c, d), which maps (x, y) to (ax + cy, bx + dy)
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}


class VideoError(ValueError):
    """A file is not a video that this project reads; the message says why."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
      number: among the frames that were decoded, from 0, in the order in which they are shown.
      seconds: when it is shown, from the start of the video, by its time stamp; None where the file has none.
      image: as players show it: upright, square pixels, sRGB.
    """

    number: int
    seconds: float | None
    image: Image.Image


@dataclass(frozen=True)
class Gap:
    """A part of a video that cannot be read.

    Attributes:
      start, end: seconds; None where the file does not say.
      reason: in words.
    """

    start: float | None
    end: float | None
    reason: str


class Video:
    """An open video; use it in a `with` block.

    Args:
      path: the file.

    Attributes:
      seconds: its length as the file states it; None where it does not.
      decoded: frames that were decoded so far.
      reached: seconds, the time of the latest good frame so far.
      gaps: what could not be read so far.
      notes: what else a person should know, a sentence each.

    Raises:
      ModuleNotFoundError: PyAV is missing.
      VideoError: the file is no video, or has no video stream.
    """

    def __init__(self, path: Path) -> None:
        if av is None:
            raise ModuleNotFoundError("videos need PyAV: pip install '.[video]', or pip install av")
        if not path.is_file():
            raise VideoError(f"{path} is not a file; {REMEDY}")
        self._path = path
        try:
            self._container = av.open(f"file:{path}", options=OPTIONS)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise VideoError(f"{path} cannot be read as a video; {REMEDY}, complete from its beginning") from error
        streams = [s for s in self._container.streams.video if not int(s.disposition) & ATTACHED]
        if not streams:
            self._container.close()
            raise VideoError(f"{path} has no video stream; {REMEDY}")
        self._stream = stream = streams[0]
        stream.thread_type = "AUTO"
        self._start = (self._container.start_time or 0) / av.time_base
        self.seconds = self._stated_seconds()
        self.decoded, self.reached = 0, None
        self.gaps: list[Gap] = []
        self.notes: list[str] = []

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self, every: int) -> Iterator[Frame]:
        """Yields the frames 0, `every`, 2 `every`, ... of those that can be decoded.

        After a broken place, frames up to the next key frame are left out: they show its remains. They are a gap.

        Raises:
          VideoError: frames are too large.
        """
        broken: tuple[float | None, str] | None = None  # where a gap began, and why
        for frame, reason in self._decoded():
            if frame is None or frame.is_corrupt:
                broken = broken or (self.reached, reason or DAMAGED)
                continue
            seconds = None if frame.time is None else frame.time - self._start
            if broken:
                if not frame.key_frame or not _later(seconds, broken[0]):
                    continue
                self.gaps.append(Gap(broken[0], seconds, broken[1]))
                broken = None
            number, self.decoded, self.reached = self.decoded, self.decoded + 1, seconds
            if number % every == 0:
                yield Frame(number, seconds, self._image(frame))
        if broken:
            self.gaps.append(Gap(broken[0], self.seconds, broken[1]))
        elif self.seconds is not None and self.reached is not None and self.seconds - self.reached > self._early():
            self.gaps.append(Gap(self.reached, self.seconds, "the file ends early"))

    def _decoded(self) -> Iterator[tuple[Any, str]]:
        """Frames in the order in which they are shown; (None, reason) where one cannot be decoded."""
        for packet, reason in self._packets():
            if packet is None or packet.is_corrupt:
                yield None, reason or DAMAGED
            if packet is None:
                continue
            try:
                yield from ((frame, "") for frame in packet.decode())
            except av.error.FFmpegError as error:
                yield None, _said(error)

    def _packets(self) -> Iterator[tuple[Any, str]]:
        """Packets in the order of the file; (None, reason) where one cannot be read."""
        failed = 0  # attempts since the last packet
        while failed < ATTEMPTS:
            try:
                for packet in self._container.demux(self._stream):
                    failed = 0
                    yield packet, ""
                return
            except av.error.FFmpegError as error:
                failed += 1
                yield None, _said(error)

    def _image(self, frame: Any) -> Image.Image:
        ratio = float(self._stream.sample_aspect_ratio or 1)
        width = max(1, round(frame.width * ratio))
        if max(width, frame.width) * frame.height > MOST_PIXELS:
            size = f"{width} x {frame.height} pixels"
            raise VideoError(f"{self._path}: frames of {size}, more than {MOST_PIXELS:,}; give a smaller version")
        if (curve := HDR.get(int(frame.color_trc))) and not self.notes:
            self.notes.append(f"this is HDR video ({curve}): its colours are not tone-mapped, so frames look flat")
        colours = BT709 if int(frame.colorspace) == UNSPECIFIED and frame.height >= HD else None
        image = frame.to_image(src_colorspace=colours)
        if width != image.width:  # pixels that are not square
            image = image.resize((width, image.height), Image.Resampling.LANCZOS)
        turn = _turn(frame)
        return image if turn is None else image.transpose(turn)

    def _stated_seconds(self) -> float | None:
        stream = self._stream
        if stream.duration and stream.time_base:
            after = (stream.start_time or 0) * stream.time_base - self._start
            return float(stream.duration * stream.time_base + after)
        return self._container.duration / av.time_base if self._container.duration else None

    def _early(self) -> float:
        """Seconds that are missing at the end before they count: the last frame may be shown long."""
        rate = float(self._stream.average_rate or 0)
        return max(EARLY, 2 / rate if rate else 0)


def _turn(frame: Any) -> Image.Transpose | None:
    """How to turn a frame by the display matrix beside it: 9 numbers of 32 bits."""
    matrix = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    numbers = np.frombuffer(matrix, np.int32) if matrix is not None else np.zeros(0, np.int32)
    if len(numbers) != 9:
        return None
    a, b, _, c, d = numbers[:5].astype(np.float64)
    most = max(abs(a), abs(b), abs(c), abs(d), 1.0)
    return _TURNS.get((round(a / most), round(b / most), round(c / most), round(d / most)))


def _later(seconds: float | None, before: float | None) -> bool:
    return seconds is None or before is None or seconds > before


def _said(error: BaseException) -> str:
    """What FFmpeg says, without its numbers and the file's name."""
    if isinstance(error, av.error.InvalidDataError | BlockingIOError):
        return DAMAGED
    return str(getattr(error, "strerror", None) or error).lower()
