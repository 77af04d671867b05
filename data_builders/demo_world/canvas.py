"""A picture and its depth map, drawn together: what covers a pixel sets both its colour and its depth.

All lengths are in units of the picture's side, so a drawing looks the same at any size; y points down. Depth runs from
0 (near) to 1 (far). Draw far things first, because later ones cover earlier ones.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

FAR = 65535

Colour = Sequence[float] | np.ndarray  # red, green, blue, 0 to 255
Point = tuple[float, float]


class Canvas:
    """A picture of S x S pixels to draw on.

    Args:
      rgb: [S, S, 3], the background's colours, 0 to 255.
      depth: [S, S], its depth in [0, 1].
      enlarge: things are drawn this many times as large, and `finish` averages them, so that edges are soft.
    """

    def __init__(self, rgb: np.ndarray, depth: np.ndarray, enlarge: int) -> None:
        self._enlarge = enlarge
        self._side = len(rgb) * enlarge
        size = (self._side, self._side)
        self._image = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        self._depth = Image.fromarray(np.rint(depth * FAR).astype(np.int32)).resize(size, Image.Resampling.NEAREST)
        self._brushes = ImageDraw.Draw(self._image), ImageDraw.Draw(self._depth)

    def polygon(self, points: Sequence[Point], colour: Colour, depth: float) -> None:
        """A filled polygon."""
        corners = [(x * self._side, y * self._side) for x, y in points]
        for brush, fill in self._fills(colour, depth):
            brush.polygon(corners, fill=fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, depth: float) -> None:
        """A filled ellipse around (x, y)."""
        s = self._side
        for brush, fill in self._fills(colour, depth):
            brush.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=fill)

    def ring(self, x: float, y: float, r: float, width: float, colour: Colour, depth: float) -> None:
        """A circle around (x, y) of radius r, whose line is `width` wide."""
        s = self._side
        for brush, fill in self._fills(colour, depth):
            box = ((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s)
            brush.ellipse(box, outline=fill, width=max(1, round(width * s)))

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, depth: float) -> None:
        """A filled rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, depth)

    def limb(self, points: Sequence[Point], width: float, colour: Colour, depth: float) -> None:
        """A bent line with round joints."""
        s = self._side
        for brush, fill in self._fills(colour, depth):
            brush.line([(x * s, y * s) for x, y in points], fill=fill, width=max(1, round(width * s)))
        for x, y in points:
            self.ellipse(x, y, width / 2, width / 2, colour, depth)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture f32 [S, S, 3], averaged, and its depth u16 [S, S], not averaged, so that edges stay sharp."""
        rgb = np.asarray(self._image.reduce(self._enlarge), np.float32)
        pick = slice(self._enlarge // 2, None, self._enlarge)
        return rgb, np.asarray(self._depth)[pick, pick].astype(np.uint16)

    def _fills(self, colour: Colour, depth: float):
        rgb = tuple(int(min(255, max(0, c))) for c in colour)
        return zip(self._brushes, (rgb, round(depth * FAR)), strict=True)


def texture(rng: np.random.Generator, cells: tuple[int, int], side: int) -> np.ndarray:
    """Smooth noise f32 [side, side] from a grid of (rows, columns) of sd 1. The grid is the same for every side."""
    grid = rng.normal(size=cells).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((side, side), Image.Resampling.BILINEAR))
