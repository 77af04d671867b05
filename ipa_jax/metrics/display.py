"""How figures are written. Names, headings and digits of the metrics are in registry.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from ipa_jax.metrics.registry import METRICS


def number(value: float | None, digits: int = 2, percent: bool = False) -> str:
    """A number with fixed digits, as a percentage if `percent`; an empty string for None."""
    if value is None:
        return ""
    return f"{100 * value:.{digits}f} %" if percent else f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None, digits: int = 2, percent: bool = False) -> str:
    """ "low to high" in the digits of `number`; an empty string for None."""
    if bounds is None:
        return ""
    scale = 100 if percent else 1
    return " to ".join(f"{scale * bound:.{digits}f}" for bound in bounds)


def metric_lines(results: Mapping[str, Any]) -> list[str]:
    """A line per metric of METRICS that `results` (of split_metrics.evaluate) has, with its interval."""
    lines = []
    for name, metric in METRICS.items():
        if shown := number(results.get(name), metric.digits, metric.percent):
            bounds = interval(results.get(f"{name}_interval"), metric.digits, metric.percent)
            over = f" (95 %: {bounds}, over {results['interval_over']})" if bounds else ""
            lines.append(f"{metric.heading} {shown}{over}")
    return lines


def days(count: float) -> str:
    """ "1 day", "2.5 days"."""
    return f"{count:g} day" + "s" * (count != 1)
