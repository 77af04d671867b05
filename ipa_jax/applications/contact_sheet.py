"""The contact sheet: the best frames of a video with time and score, as one PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from data_builders import photos

COLUMNS = 4
CELL, NARROWEST, GAP, MARGIN, TEXT = 320, 270, 16, 32, 48  # pixels
PAPER, CARD, INK, SOFT, ACCENT = "#fbfaf7", "#f1efe9", "#1d1c1a", "#6d6a64", "#1a7f4b"  # as on the pages


@dataclass(frozen=True)
class Cell:
    """A frame on the sheet: its JPEG, a bold line, a line below, and whether it is the cover."""

    picture: bytes
    head: str
    fact: str
    picked: bool


def draw(title: str, subtitle: str, cells: Sequence[Cell]) -> bytes:
    """Draws the sheet, best frame first, four in a row. Returns a PNG."""
    shots = [photos.upright(frame.picture) for frame in cells]
    cell = max(NARROWEST, min(CELL, max(shot.width for shot in shots)))  # upright video has narrower cells
    height = max(min(shot.height, round(cell * shot.height / shot.width)) for shot in shots)
    columns = min(COLUMNS, len(cells)) if len(cells) > 1 else 2
    rows = -(-len(cells) // columns)
    width = 2 * MARGIN + columns * cell + (columns - 1) * GAP
    top = MARGIN + 72
    sheet = Image.new("RGB", (width, top + rows * (height + TEXT + GAP) + MARGIN - GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), _fitted(title, 28, width - 2 * MARGIN), fill=INK, font=_font(28))
    pen.text((MARGIN, MARGIN + 38), _fitted(subtitle, 16, width - 2 * MARGIN), fill=SOFT, font=_font(16))
    for number, (frame, shot) in enumerate(zip(cells, shots, strict=True)):
        x = MARGIN + number % columns * (cell + GAP)
        y = top + number // columns * (height + TEXT + GAP)
        pen.rectangle((x, y, x + cell - 1, y + height - 1), fill=CARD)
        shot.thumbnail((cell, height), Image.Resampling.LANCZOS)
        sheet.paste(shot, (x + (cell - shot.width) // 2, y + (height - shot.height) // 2))
        if frame.picked:
            pen.rectangle((x - 3, y - 3, x + cell + 2, y + height + 2), outline=ACCENT, width=3)
        head = f"{number + 1}   {frame.head}"
        pen.text((x, y + height + 6), head, fill=ACCENT if frame.picked else INK, font=_font(18))
        fact = _fitted(frame.fact, 14, cell)
        pen.text((x, y + height + 28), fact, fill=SOFT, font=_font(14))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(text: str, size: int, width: int) -> str:
    """A text, cut where it is wider than `width` pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
