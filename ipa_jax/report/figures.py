"""The report's figures as inline SVG: learning curves, the histogram of scores, accuracy over accounts.

No text that comes from data is drawn: the names of runs are in the page's own legend.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from ipa_jax.drawing import PAGE, Palette, as_percent, inline, ticks


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
            axes.plot(steps, values, color=PAGE.run(i), linewidth=1, dashes=(3, 2), alpha=0.65)
        for i, (steps, values) in enumerate(series):
            axes.plot(steps, values, color=PAGE.run(i))
            if i < len(best) and (step := best[i]) is not None and step in steps:
                at = steps.index(step)
                axes.plot([steps[at]], [values[at]], "o", markersize=6, color=PAGE.run(i))
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(ticks(4))
        axes.margins(x=0.02)
        if percent:
            as_percent(axes.yaxis)

    return inline(draw, name, 4.4)


def histogram(scores: Sequence[np.ndarray], name: str) -> str:
    """The distribution of z, an outline per run (Figure 5): see `draw_histogram`.

    Args:
      scores: z of each run, float [I].
      name: of the figure, for screen readers.
    """
    return inline(lambda axes: draw_histogram(axes, scores, PAGE), name, 6.0)


def draw_histogram(axes: Axes, scores: Sequence[np.ndarray], palette: Palette) -> None:
    """Draws the share of images in each of 40 common bins, from the 0.5th to the 99.5th percentile of z.

    Args:
      axes: to draw on.
      scores: z of each run, float [I].
      palette: its colours.
    """
    low = min((float(np.percentile(z, 0.5)) for z in scores), default=0.0)
    high = max((float(np.percentile(z, 99.5)) for z in scores), default=1.0)
    bins = np.linspace(low, high if high > low else low + 1.0, 41)
    for i, z in enumerate(scores):
        share = np.histogram(z, bins)[0] / max(len(z), 1)
        axes.stairs(share, bins, fill=True, color=palette.run(i), alpha=0.16)
        axes.stairs(share, bins, color=palette.run(i), linewidth=0.8 * matplotlib.rcParams["lines.linewidth"])
    axes.set_xlabel("score z")
    as_percent(axes.yaxis)


def account_curves(accuracies: Sequence[np.ndarray], name: str) -> str:
    """Sorted accuracies of accounts, a line per run: the share x of accounts do no better than y. 50 % is marked.

    Args:
      accuracies: of each run's accounts, float [A].
      name: of the figure, for screen readers.
    """

    def draw(axes: Axes) -> None:
        axes.axhline(0.5, color=PAGE.ink, linewidth=1, dashes=(2, 2))
        for i, accuracy in enumerate(accuracies):
            share = (np.arange(len(accuracy)) + 0.5) / max(len(accuracy), 1)
            axes.plot(share, np.sort(accuracy), color=PAGE.run(i))
        axes.set_xlim(0, 1)
        axes.set_xlabel("accounts, worst to best")
        as_percent(axes.xaxis)
        as_percent(axes.yaxis)

    return inline(draw, name, 6.0)
