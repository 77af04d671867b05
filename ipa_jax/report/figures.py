"""The report's figures as inline SVG: learning curves, the histogram of scores, accuracy over accounts.

Colours are drawn as placeholders and then replaced by CSS variables of the page, so one drawing fits the light and the
dark scheme. No text that comes from data is drawn: the names of runs are in the page's own legend.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType

RUN_COLOURS = 6  # --run-0 to --run-5 in report.css; a seventh run has the colour of the first
_INK, _LINE = "#010203", "#010204"
_RUNS = tuple(f"#0102{0x10 + i:02x}" for i in range(RUN_COLOURS))
_STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "svg.hashsalt": "report",
    "font.size": 11,
    "text.parse_math": False,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
    "xtick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.color": _LINE,
    "ytick.labelcolor": _INK,
    "ytick.left": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


def run_colour(index: int) -> str:
    """The CSS value of the colour of a run, by its place on the page."""
    return f"var(--run-{index % RUN_COLOURS})"


def curves(
    series: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    percent: bool = False,
    dashed: Sequence[tuple[Sequence[float], Sequence[float]]] = (),
    best: Sequence[float | None] = (),
    name: str,
) -> str:
    """A line per run.

    Args:
      series: steps and values of each run.
      percent: values are fractions, shown in percent.
      dashed: a second, fainter line per run.
      best: the step to mark on each line.
      name: of the figure, for screen readers.
    """

    def draw(axes: Axes) -> None:
        for i, (steps, values) in enumerate(dashed):
            axes.plot(steps, values, color=_RUNS[i % RUN_COLOURS], linewidth=1, dashes=(3, 2), alpha=0.65)
        for i, (steps, values) in enumerate(series):
            axes.plot(steps, values, color=_RUNS[i % RUN_COLOURS])
            if i < len(best) and (step := best[i]) is not None and step in steps:
                at = steps.index(step)
                axes.plot([steps[at]], [values[at]], "o", markersize=6, color=_RUNS[i % RUN_COLOURS])
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(_locator(4))
        axes.margins(x=0.02)
        if percent:
            _percent(axes.yaxis)

    return _svg(draw, name, 4.4)


def histogram(scores: Sequence[np.ndarray], name: str) -> str:
    """The distribution of z, an outline per run (Figure 5), over common bins from the 0.5th to the 99.5th percentile.

    Args:
      scores: z of each run, float [I].
      name: of the figure, for screen readers.
    """
    low = min((float(np.percentile(z, 0.5)) for z in scores), default=0.0)
    high = max((float(np.percentile(z, 99.5)) for z in scores), default=1.0)
    bins = np.linspace(low, high if high > low else low + 1.0, 41)

    def draw(axes: Axes) -> None:
        for i, z in enumerate(scores):
            colour = _RUNS[i % RUN_COLOURS]
            share = np.histogram(z, bins)[0] / max(len(z), 1)
            axes.stairs(share, bins, fill=True, color=colour, alpha=0.16)
            axes.stairs(share, bins, color=colour, linewidth=1.6)
        axes.set_xlabel("score z")
        _percent(axes.yaxis)

    return _svg(draw, name, 6.0)


def account_curves(accuracies: Sequence[np.ndarray], name: str) -> str:
    """Sorted accuracies of accounts, a line per run: the share x of accounts do no better than y. 50 % is marked.

    Args:
      accuracies: of each run's accounts, float [A].
      name: of the figure, for screen readers.
    """

    def draw(axes: Axes) -> None:
        axes.axhline(0.5, color=_INK, linewidth=1, dashes=(2, 2))
        for i, accuracy in enumerate(accuracies):
            share = (np.arange(len(accuracy)) + 0.5) / max(len(accuracy), 1)
            axes.plot(share, np.sort(accuracy), color=_RUNS[i % RUN_COLOURS])
        axes.set_xlim(0, 1)
        axes.set_xlabel("accounts, worst to best")
        _percent(axes.xaxis)
        _percent(axes.yaxis)

    return _svg(draw, name, 6.0)


def _percent(axis: Axis) -> None:
    axis.set_major_locator(_locator(5))
    axis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def _locator(count: int) -> MaxNLocator:
    return MaxNLocator(count, steps=[1, 2, 2.5, 5, 10])


def _svg(draw: Callable[[Axes], None], name: str, width: float) -> str:
    """Draws on new axes; returns an inline <svg> that scales with its box and has a name for screen readers."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, 3.1), layout="constrained")
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
    text = text.replace(_INK, "var(--soft)").replace(_LINE, "var(--line)")
    for i, placeholder in enumerate(_RUNS):
        text = text.replace(placeholder, run_colour(i))
    view = re.search(r'viewBox="[^"]+"', text)
    head = f'<svg {view.group() if view else ""} role="img" aria-label="{name}"'
    return re.sub(r"^<svg[^>]*", head, text)
