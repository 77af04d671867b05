"""The choices of a build (`config.data`), compared field by field with those stored in a data set."""

from collections.abc import Mapping
from typing import Any

ABSENT = "<absent>"


def differences(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "data"
) -> list[tuple[str, Any, Any]]:
    """Fields in which two nested choices differ.

    Args:
      stored: what the data set was built with.
      wanted: `config.data.to_dict()` of now.
      prefix: of the field names returned.

    Returns:
      (field such as "data.memory.exclude", stored value, wanted value), in the order of `wanted`, then what only
      `stored` has; "<absent>" stands where a side lacks the field.
    """
    found = []
    for name in [*wanted, *(name for name in stored if name not in wanted)]:
        field = f"{prefix}.{name}"
        old, new = (side.get(name, ABSENT) for side in (stored, wanted))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, field)
        elif old != new:
            found.append((field, old, new))
    return found


def require_equal(stored: Mapping[str, Any], wanted: Mapping[str, Any], where: str, remedy: str) -> None:
    """Raises ValueError unless both are the same, naming each field that differs, both values and the remedy.

    Args:
      where: path of the data set, the beginning of the message.
      remedy: what to do, its end.
    """
    found = differences(stored, wanted)
    if found:
        fields = "; ".join(f"config.{field} is {old!r} in the data set and {new!r} here" for field, old, new in found)
        raise ValueError(f"{where}: {fields}. {remedy}")
