"""Tiny videos of plain pictures, encoded with PyAV. Tests that need it carry `needs_av`."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_builders import videos

needs_av = pytest.mark.skipif(videos.av is None, reason="PyAV is not installed: pip install av")
TICKS = Fraction(1, 1000)


def write(
    path: Path,
    pictures: Iterable[Image.Image],
    *,
    times: Iterable[int] | None = None,
    codec: str = "libx264",
    gop: int = 10,
    rotation: int = 0,
    ratio: Fraction | None = None,
    curve: int | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Encodes pictures of one size at 25 frames per second, or at `times` in milliseconds."""
    av: Any = videos.av
    pictures = list(pictures)
    faststart = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=faststart) as container:
        stream = container.add_stream(codec, rate=25, options={"bf": "0", **(options or {})})
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        if codec != "mpeg4":
            stream.time_base = stream.codec_context.time_base = TICKS
        if rotation:
            stream.set_display_rotation(rotation)
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        if curve:
            stream.codec_context.color_trc = curve
        for picture, time in zip(pictures, times or range(0, 40 * len(pictures), 40), strict=False):
            frame = av.VideoFrame.from_image(picture)
            if codec != "mpeg4":
                frame.pts, frame.time_base = time, TICKS
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def noise(number: int, size: tuple[int, int] = (64, 48), hue: int | None = None) -> Image.Image:
    """A picture of coarse noise, of one hue or of all: no two are near-identical."""
    rng = np.random.default_rng(number)
    low = rng.integers(40, 255, (6, 8, 3))
    if hue is not None:
        low[..., 0] = hue
        low[..., 1] = np.maximum(low[..., 1], 150)
    image = Image.fromarray(low.astype(np.uint8), "RGB" if hue is None else "HSV").convert("RGB")
    return image.resize(size, Image.Resampling.BICUBIC)


def damaged(path: Path, begin: float, length: int) -> None:
    """Overwrites `length` bytes with noise, from the share `begin` of the file on."""
    content = bytearray(path.read_bytes())
    at = int(begin * len(content))
    content[at : at + length] = np.random.default_rng(0).integers(0, 256, length, np.uint8).tobytes()
    path.write_bytes(content)
