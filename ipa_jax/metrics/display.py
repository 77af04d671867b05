"""How figures are written. Names, headings and digits of the metrics are in registry.py."""

from collections.abc import Sequence


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


def days(count: float) -> str:
    """ "1 day", "2.5 days"."""
    return f"{count:g} day" + "s" * (count != 1)
