"""Names of metrics, and how figures are written."""

from __future__ import annotations

from collections.abc import Sequence

METRICS = (  # key, heading, digits, percent, larger is better
    ("accuracy", "Accuracy", 2, True, True),
    ("plcc", "PLCC", 4, False, True),
    ("srcc", "SRCC", 4, False, True),
    ("ratio_mse", "Ratio MSE", 4, False, False),
    ("ratio_mse_rescaled", "Ratio MSE, rescaled", 4, False, False),
    ("group_accuracy", "Group-mean accuracy", 2, True, True),
)


def number(value: float | None, digits: int = 2, percent: bool = False) -> str:
    """The number with fixed digits, as a percentage if so; an empty string for None."""
    if value is None:
        return ""
    return f"{100 * value:.{digits}f} %" if percent else f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None, digits: int = 2, percent: bool = False) -> str:
    """ "low to high" in the digits of `number`; an empty string for None."""
    if bounds is None:
        return ""
    scale = 100 if percent else 1
    return " to ".join(f"{scale * bound:.{digits}f}" for bound in bounds)
