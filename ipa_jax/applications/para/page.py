"""PARA's results as a page and as a figure for print (Figure 6): how willing and unwilling photos score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ipa_jax import drawing, page_templates, paper
from ipa_jax.applications.para.results import BANK, EMPTY, HEADINGS, LEAD
from ipa_jax.metrics.display import interval, number

TEMPLATES = Path(__file__).parents[1] / "templates"
BINS = 24
CLASSES = ("willing", "unwilling")  # by the place of their colour


def render(results: Mapping[str, Any], z: Mapping[str, np.ndarray], willing: np.ndarray) -> str:
    """The page as text.

    Args:
      results: what para.json holds.
      z: BANK and EMPTY -> f64 [N], scores of N photos.
      willing: bool [N].
    """
    titles, top = _titles(results["bank"]["images"]), _top(z, willing)
    panels = []
    for way, title in titles.items():
        name = f"Scores with {title}"
        svg = drawing.inline(lambda axes, way=way: _draw(axes, z[way], willing, top, drawing.PAGE), name, 4.8)
        panels.append({"title": title, "figure": Markup(svg)})
    return (
        page_templates.environment(TEMPLATES)
        .get_template("para.html")
        .render(
            results=results,
            paper=paper.PARA,
            rows=[_row(results["correlations"][key], heading) for key, heading in HEADINGS.items()],
            panels=panels,
            titles=titles,
            classes=[(name, drawing.run_colour(i)) for i, name in enumerate(CLASSES)],
        )
    )


def write_figure(stem: Path, results: Mapping[str, Any], z: Mapping[str, np.ndarray], willing: np.ndarray) -> None:
    """Writes the figure as STEM.png and STEM.svg; the other arguments are those of `render`. Raises OSError."""
    palette, top = drawing.PRINT, _top(z, willing)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (way, title) in zip(panels, _titles(results["bank"]["images"]).items(), strict=True):
            _draw(axes, z[way], willing, top, palette)
            r = results["correlations"]["point_biserial"][way]["value"]
            axes.set_title(f"{title}: r = {number(r, 2) or 'undefined'}", loc="left")
        panels[0].set_ylabel("share of photos")
        for i, name in enumerate(CLASSES):
            panels[1].plot([], [], color=palette.run(i), label=f"{name} to share")
        panels[1].legend(loc="upper right")

    drawing.save(draw, stem, drawing.TEXT, 2.3)


def _titles(size: int) -> dict[str, str]:
    return {BANK: f"{size} train images as the bank", EMPTY: "an empty bank"}


def _shares(z: np.ndarray, willing: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The edges of the bins, and the share of willing and of unwilling photos in each.

    Each bank has bins of its own: the level of z, which it moves, means nothing.
    """
    low, high = np.percentile(z, [0.5, 99.5])
    bins = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    counts = [np.histogram(z[chosen].clip(bins[0], bins[-1]), bins)[0] for chosen in (willing, ~willing)]
    return bins, [count / max(int(count.sum()), 1) for count in counts]


def _top(z: Mapping[str, np.ndarray], willing: np.ndarray) -> float:
    """Where the share axis of both panels ends."""
    return 1.08 * max(float(share.max()) for values in z.values() for share in _shares(values, willing)[1])


def _draw(axes: Axes, z: np.ndarray, willing: np.ndarray, top: float, palette: drawing.Palette) -> None:
    bins, shares = _shares(z, willing)
    width = 0.8 * matplotlib.rcParams["lines.linewidth"]
    for i, (share, chosen) in enumerate(zip(shares, (willing, ~willing), strict=True)):
        axes.stairs(share, bins, fill=True, color=palette.run(i), alpha=0.16)
        axes.stairs(share, bins, color=palette.run(i), linewidth=width)
        axes.axvline(float(z[chosen].mean()), color=palette.run(i), linewidth=0.7 * width, dashes=(3, 2))
    axes.set_ylim(0, top)
    axes.set_xlabel("score z; dashed: the means")
    axes.xaxis.set_major_locator(drawing.ticks(5))
    drawing.as_percent(axes.yaxis)


def _row(found: Mapping[str, Any], heading: str) -> dict[str, Any]:
    """A row of the table: a correlation with both banks and their difference, as text."""
    cells = []
    for way in (BANK, EMPTY, LEAD):
        value = found[way]["value"]
        shown = "undefined" if value is None else f"{value:+.3f}" if way == LEAD else number(value, 3)
        bounds = {name: interval(found[way][f"{name}_interval"], 3) for name in ("images", "sessions")}
        cells.append({"value": shown, "intervals": {name: text for name, text in bounds.items() if text}})
    return {"heading": heading, "cells": cells}
