"""What spreadsheets make of cells: ="100" for a text, and 1.00E+02 for a number."""

import re

_FORMULA = re.compile(r'="([^"]*)"')
_SCIENTIFIC = re.compile(r"(\d)(?:[.,](\d{1,20}))?[Ee]\+?(\d{1,2})")


def text_of(cell: str) -> str:
    """The text of a cell such as ="100"; any other cell as it is."""
    match = _FORMULA.fullmatch(cell)
    return match[1].strip() if match else cell


def is_scientific(cell: str) -> bool:
    """Whether a cell is a number such as 1.58E+09."""
    return _SCIENTIFIC.fullmatch(cell) is not None


def exact(cell: str) -> tuple[str, str] | None:
    """The digits of a number such as 1.00E+02 before and after the point; None if it is rounded, or not such a number.

    1.58E+09 is rounded: nobody knows the other digits.
    """
    if not (match := _SCIENTIFIC.fullmatch(cell)):
        return None
    digits, whole = match[1] + (match[2] or ""), int(match[3]) + 1
    return (digits[:whole], digits[whole:]) if len(digits) >= whole else None
