"""The report's numbers as rows of tables: runs, baselines, breakdowns, config fields and the build report."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ipa_jax.baselines.names import BASELINES
from ipa_jax.metrics.display import interval, number
from ipa_jax.metrics.registry import METRICS

SIZE_BINS = ((2, 2), (3, 3), (4, 4), (5, 6), (7, 10), (11, 20), (21, 1 << 30))  # images in a group, both ends in


def baseline_rows(baselines: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows {"key", "name", "note", "accuracy", "interval", "metrics"}, best first.

    Args:
      baselines: as page.write_report takes them. An entry without an accuracy is left out.
    """
    rows = []
    for key, value in baselines.items():
        value = value if isinstance(value, Mapping) else {"accuracy": value}
        if not isinstance(value.get("accuracy"), int | float):
            continue
        row = BASELINES.get(key)
        rows.append(
            {
                "key": key,
                "name": row.title if row else key.replace("_", " "),
                "note": row.note if row else "",
                "accuracy": value["accuracy"],
                "interval": value.get("accuracy_interval"),
                "metrics": value,
            }
        )
    return sorted(rows, key=lambda row: -row["accuracy"])


def metric_rows(results: Mapping[str, Mapping[str, Any]], *, bold: bool = True) -> list[dict[str, Any]]:
    """A row per run: {"name", "cells": [{"value", "interval", "best"}]}, a cell per metric of METRICS.

    Args:
      results: run -> its metrics.
      bold: mark the best run of each metric.
    """
    best = {}
    for key, metric in METRICS.items():
        values = [test[key] for test in results.values() if test.get(key) is not None]
        choose = max if metric.larger_is_better else min
        best[key] = choose(values) if bold and len(results) > 1 and values else None
    return [
        {
            "name": name,
            "cells": [
                {
                    "value": number(test.get(key), metric.digits, metric.percent),
                    "interval": interval(test.get(f"{key}_interval"), metric.digits, metric.percent),
                    "best": best[key] is not None and test.get(key) == best[key],
                }
                for key, metric in METRICS.items()
            ],
        }
        for name, test in results.items()
    ]


def ratio_rows(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows by likes ratio, over all pairs of kept groups.

    Args:
      results: run -> its metrics.
    Returns:
      {"label", "pairs", "accuracy": a list with an entry per run, None without a pair}.
    """
    labels = list(dict.fromkeys(label for test in results.values() for label in test["by_ratio"]))
    return [_breakdown(label, [test["by_ratio"].get(label) for test in results.values()]) for label in labels]


def size_rows(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as `ratio_rows` gives them, over valid pairs, by images in the group; sizes are pooled into SIZE_BINS."""
    rows = []
    for low, high in SIZE_BINS:
        label = f"{low} images" if low == high else f"{low}-{high} images" if high < 1 << 30 else f"{low} or more"
        row = _breakdown(label, [_pooled(test["by_group_size"], low, high) for test in results.values()])
        if row["pairs"]:
            rows.append(row)
    return rows


def _pooled(sizes: Mapping[str, Mapping[str, Any]], low: int, high: int) -> dict[str, Any] | None:
    """Group sizes low to high as one entry, {"accuracy", "pairs"}; None without a pair."""
    chosen = [entry for size, entry in sizes.items() if low <= int(size) <= high and entry["accuracy"] is not None]
    pairs = sum(entry["pairs"] for entry in chosen)
    if not pairs:
        return None
    return {"accuracy": sum(entry["accuracy"] * entry["pairs"] for entry in chosen) / pairs, "pairs": pairs}


def _breakdown(label: str, entries: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    return {
        "label": label,
        "pairs": max((entry["pairs"] for entry in entries if entry), default=0),
        "accuracy": [entry["accuracy"] if entry else None for entry in entries],
    }


def axis(values: Sequence[float]) -> tuple[float, float]:
    """(low, high) of an accuracy strip: 50 % to 100 %, extended to the left in steps of 5 points down to the lowest."""
    low = min([0.5, *values])
    return (0.5, 1.0) if low >= 0.5 else (int(low * 20 + 1e-9) / 20, 1.0)


def scale(low: float, high: float) -> dict[str, Any]:
    """The left and right end of an accuracy strip, and its ticks every 10 points; all are fractions."""
    ticks = [tick / 100 for tick in range(0, 101, 10) if low <= tick / 100 <= high]
    return {"low": low, "high": high, "ticks": ticks}


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as {"data.memory.exclude": ...}."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def field_rows(default: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The config fields in which some run differs from full.py.

    Args:
      default: the fields of full.py, nested.
      configs: run -> its config, nested.
    Returns:
      Rows {"field", "default", "values": [{"value", "differs"} per run], "shared": whether all runs agree}.
    """
    reference = flatten(json.loads(json.dumps(default)))  # tuples become lists, as in a run's config.json
    flats = [flatten(config) for config in configs.values()]
    fields = list(dict.fromkeys([*reference, *(field for flat in flats for field in flat)]))
    missing = object()
    rows = []
    for field in fields:
        usual = reference.get(field, missing)
        values = [flat.get(field, missing) for flat in flats]
        if any(value != usual for value in values):
            show = [("-" if value is missing else plain(value)) for value in (usual, *values)]
            cells = [{"value": s, "differs": v != usual} for s, v in zip(show[1:], values, strict=True)]
            rows.append(
                {
                    "field": field,
                    "default": show[0],
                    "values": cells,
                    "shared": all(v == values[0] for v in values),
                }
            )
    return rows


def blocks(value: Mapping[str, Any], title: str = "") -> list[dict[str, Any]]:
    """Any JSON object as blocks to print as tables, so that the build report is shown whatever fields it has.

    The plain values of an object make one table of two columns. Objects of one shape side by side, or a list of
    objects, make a table with a column per key. What is nested otherwise becomes a block of its own.

    Returns:
      {"title", "head": headings, "rows": lists of cells, "more": how many rows are left out}.
    """
    alike = [key for key, item in value.items() if _is_record(item)]
    if len(alike) < 2 or len({frozenset(_scalars(value[key])) for key in alike}) > 1:
        alike = []
    scalars, made = [], []
    for key, item in value.items():
        name = f"{title}: {label(key)}" if title else label(key)
        if isinstance(item, Mapping) and item and all(isinstance(entry, list) for entry in item.values()):
            made.append({"title": name, "head": [], "rows": [[label(k), plain(v)] for k, v in item.items()], "more": 0})
        elif key in alike:
            made += blocks({k: v for k, v in item.items() if isinstance(v, list) and v}, name)
        elif isinstance(item, Mapping) and item:
            made += blocks(item, name)
        elif isinstance(item, list) and item and all(isinstance(entry, Mapping) for entry in item):
            made.append(_table(name, item))
        elif isinstance(item, list) and (len(item) > 3 or any(len(str(entry)) > 40 for entry in item)):
            made.append(_table(name, [{"": entry} for entry in item]))
        else:
            scalars.append([label(key), plain(item)])
    head = [{"title": title, "head": [], "rows": scalars, "more": 0}] if scalars else []
    if alike:
        head.append(_table(title, [row for key in alike for row in _record_rows(label(key), value[key])]))
    return head + made


def _is_record(item: Any) -> bool:
    """An object of plain values, perhaps with lists, and with objects that repeat its own keys ("paper")."""
    return (
        isinstance(item, Mapping)
        and bool(_scalars(item))
        and all(set(entry) <= set(item) for entry in item.values() if isinstance(entry, Mapping))
    )


def _scalars(item: Mapping[str, Any]) -> list[str]:
    return [key for key, entry in item.items() if not isinstance(entry, Mapping | list)]


def _record_rows(name: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [{"": name, **{key: record[key] for key in _scalars(record)}}]
    inner = {key: entry for key, entry in record.items() if isinstance(entry, Mapping)}
    return rows + [{"": f"{name}, {label(key)}", **entry} for key, entry in inner.items()]


def _table(title: str, records: Sequence[Mapping[str, Any]], limit: int = 24) -> dict[str, Any]:
    head = list(dict.fromkeys(key for record in records for key in record))
    rows = [[plain(record[key]) if key in record else "" for key in head] for record in records[:limit]]
    return {
        "title": title,
        "head": [label(key) for key in head] if head != [""] else [],
        "rows": rows,
        "more": max(len(records) - limit, 0),
    }


def label(key: Any) -> str:
    """A key as a heading."""
    return str(key).replace("_", " ")


def plain(value: Any) -> str:
    """A JSON value as readers expect it: grouped digits, four significant ones, yes and no, lists joined and cut."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ({}, []):
        return "-" if value is None else "none"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value == int(value) and abs(value) < 1e15:
            return f"{int(value):,}"
        return f"{value:.4g}" if 1e-4 <= abs(value) < 1e4 else f"{value:,.1f}" if abs(value) >= 1e4 else f"{value:.1e}"
    if isinstance(value, list):
        return _short(", ".join(plain(item) for item in value))
    return _short(json.dumps(value) if isinstance(value, Mapping) else str(value))


def _short(text: str, limit: int = 240) -> str:
    return text if len(text) <= limit else text[:limit] + " ..."
