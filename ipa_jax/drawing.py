"""How figures are drawn: as inline SVG that takes a page's colours, and as PNG and SVG files for slides and papers.

A figure for a page is drawn in placeholder colours, which then become CSS variables of the page, so one drawing fits
the light and the dark scheme. A figure for print has the page's light colours, and its letters are outlines, so that it
looks the same everywhere. The same figure has the same bytes, as long as matplotlib stays the same.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

from third_party_ports import files

COLUMN, TEXT = 3.33, 7.0  # inches: the widths of a column and of the text in a paper of two columns
DPI = 300  # of a PNG
RUN_COLOURS = 6  # --run-0 to --run-5 in the pages' CSS; a seventh run has the colour of the first


@dataclass(frozen=True)
class Palette:
    """Colours of a figure: of its text, of its lines, and of runs or classes, RUN_COLOURS of them."""

    ink: str
    line: str
    runs: tuple[str, ...]

    def run(self, index: int) -> str:
        """The colour of a run by its place."""
        return self.runs[index % len(self.runs)]


PAGE = Palette("#010203", "#010204", tuple(f"#0102{0x10 + i:02x}" for i in range(RUN_COLOURS)))  # placeholders
PRINT = Palette("#1d1c1a", "#b9b5ac", ("#2257d6", "#d9730d", "#0b8a7d", "#8a3fd1", "#c2317a", "#6b7a12"))


def _style(palette: Palette) -> dict[RcKeyType, Any]:
    return {
        "svg.hashsalt": "report",
        "text.parse_math": False,
        "text.color": palette.ink,
        "axes.edgecolor": palette.line,
        "axes.labelcolor": palette.ink,
        "axes.titlecolor": palette.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": palette.line,
        "grid.linewidth": 0.8,
        "xtick.color": palette.line,
        "xtick.labelcolor": palette.ink,
        "ytick.color": palette.line,
        "ytick.labelcolor": palette.ink,
        "ytick.left": False,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
    }


_ON_PAGES: dict[RcKeyType, Any] = {"svg.fonttype": "none", "font.size": 11}  # text stays text, in the page's own font
_IN_PRINT: dict[RcKeyType, Any] = {
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.6,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
}


def run_colour(index: int) -> str:
    """The CSS value of the colour of a run, by its place on the page."""
    return f"var(--run-{index % RUN_COLOURS})"


def as_percent(axis: Axis) -> None:
    """Shows the fractions on an axis in percent."""
    axis.set_major_locator(ticks(5))
    axis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def ticks(count: int) -> MaxNLocator:
    """About `count` ticks at round numbers."""
    return MaxNLocator(count, steps=[1, 2, 2.5, 5, 10])


def inline(draw: Callable[[Axes], None], name: str, width: float, height: float = 3.1) -> str:
    """Draws on new axes for a page, in colours of PAGE.

    Args:
      draw: draws on the axes. Only text that is not from data: the page's own text is escaped, this is not.
      name: of the figure, for screen readers; unique on the page.
      width, height: inches; the figure scales with its box.
    Returns:
      An inline <svg>.
    """
    with matplotlib.rc_context(_style(PAGE) | _ON_PAGES):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True)
    return _inline(buffer.getvalue(), name)


def _inline(text: str, name: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<style type.*?</style>", "", text, flags=re.S)  # it would apply to the whole page
    slug = re.sub(r"\W+", "-", name)
    text = re.sub(r'id="([^"]+)"', rf'id="{slug}-\1"', text)  # an id may occur once on the page
    text = re.sub(r'(href="#|url\(#)', rf"\1{slug}-", text)
    text = re.sub(r"font-family: [^;\"]*;?", "", text)  # the page's own font
    text = text.replace(PAGE.ink, "var(--soft)").replace(PAGE.line, "var(--line)")
    for i, placeholder in enumerate(PAGE.runs):
        text = text.replace(placeholder, run_colour(i))
    view = re.search(r'viewBox="[^"]+"', text)
    head = f'<svg {view.group() if view else ""} role="img" aria-label="{name}"'
    return re.sub(r"^<svg[^>]*", head, text)


def save(draw: Callable[[Figure], None], stem: Path, width: float, height: float) -> list[Path]:
    """Draws a figure for print, in colours of PRINT, and writes STEM.png and STEM.svg, each whole or not at all.

    Args:
      draw: draws on an empty figure.
      stem: the files' path without a suffix; its folder exists.
      width, height: inches.
    Returns:
      The two files.
    Raises:
      OSError: a file cannot be written.
    """
    written = []
    for suffix, canvas, unsaid in (("png", FigureCanvasAgg, "Software"), ("svg", FigureCanvasSVG, "Creator")):
        with matplotlib.rc_context(_style(PRINT) | _IN_PRINT):
            figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
            canvas(figure)
            draw(figure)
            buffer = io.BytesIO()
            plain: dict[str, Any] = {unsaid: None} | ({"Date": None} if suffix == "svg" else {})
            figure.savefig(buffer, format=suffix, dpi=DPI, metadata=plain)
        written.append(stem.with_name(f"{stem.name}.{suffix}"))
        files.write_bytes(written[-1], buffer.getvalue())
    return written
