"""Tables as Markdown, CSV and HTML, from one plain dict (`tables.document`)."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"
DECIMALS = {"accuracy": 1, "plcc": 3, "srcc": 3, "ratio_mse": 2, "ratio_mse_rescaled": 2}
HEADINGS = {"accuracy": "accuracy %", "plcc": "PLCC", "srcc": "SRCC", "ratio_mse": "Ratio MSE",
            "ratio_mse_rescaled": "Ratio MSE rescaled"}  # fmt: skip
NONE = "-"


def number(value: float | None, metric: str, *, signed: bool = False) -> str:
    """A metric as printed: accuracy in per cent; a dash for None."""
    if value is None:
        return NONE
    scale = 100 if metric == "accuracy" else 1
    text = f"{scale * value:{'+' if signed else ''}.{DECIMALS[metric]}f}"
    return "0.0" if text == "-0.0" else text


def interval(values: Sequence[float] | None, metric: str, *, signed: bool = False) -> str:
    return " to ".join(number(value, metric, signed=signed) for value in values) if values else NONE


def difference(found: Mapping[str, Any] | None) -> str:
    """A difference in accuracy with its interval, in points; what lies within its interval is undecided."""
    if not found:
        return NONE
    bounds = interval(found["interval"], "accuracy", signed=True)
    undecided = ", undecided" if found["verdict"] == "undecided" else ""
    return f"{number(found['difference'], 'accuracy', signed=True)} ({bounds}){undecided}"


def cells(row: Mapping[str, Any], metrics: Sequence[str], paper: Sequence[str]) -> list[str]:
    """A row's cells: for each metric the paper's figure (of those in `paper`) and ours, accuracy with its spread and
    interval, then the difference to the full model; the reason in the place of ours where there is none."""
    ours, out = row["ours"], []
    for metric in metrics:
        out += [number(row["paper"].get(metric), metric)] if metric in paper else []
        if ours:
            out.append(number(ours[metric], metric))
            spread = ours["spread"].get(metric)
            out += (
                [number(spread, metric), interval(ours[f"{metric}_interval"], metric)] if metric == "accuracy" else []
            )
        else:
            out += [row["missing"], NONE, NONE] if metric == "accuracy" else [NONE]
    return [*out, difference(row["difference"])]


def headings(metrics: Sequence[str], paper: Sequence[str]) -> list[str]:
    out = []
    for metric in metrics:
        out += [f"{HEADINGS[metric]}, paper"] if metric in paper else []
        out += [HEADINGS[metric], *(["spread", "95 %"] if metric == "accuracy" else [])]
    return [*out, "full minus it, points (95 %)"]


def markdown(document: Mapping[str, Any]) -> str:
    lines = [f"# {document['title']}", "", "Made by", "", f"    {document['command']}", "", *document["lead"], ""]
    for table in document["tables"]:
        names = headings(table["metrics"], table["paper"])
        lines += [f"## {table['title']}", "", f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        for row in table["rows"]:
            lines.append(f"| {row['label']} | {' | '.join(cells(row, table['metrics'], table['paper']))} |")
        lines += ["", *(f"{note}  " for note in table["notes"]), ""]
    lines += ["## The paper's claims as hypotheses", ""]
    lines += ["| claim | verdict | measured, points (95 %) | paper, points |", "|---|---|---:|---:|"]
    lines += [f"| {' | '.join(claim_cells(claim))} |" for claim in document["claims"]]
    lines += ["", "## Checks", "", *(f"- {check}" for check in document["checks"]), ""]
    if document["remarks"]:
        lines += [document["remarks"].strip(), ""]
    return "\n".join(lines)


def claim_cells(claim: Mapping[str, Any]) -> list[str]:
    paper = f"{100 * claim['paper']:+.2f}" if claim["paper"] is not None else NONE
    if claim["difference"] is None:
        return [claim["claim"], claim["verdict"], NONE, paper]
    measured = number(claim["difference"], "accuracy", signed=True)
    bounds = interval(claim["interval"], "accuracy", signed=True)
    runs = f"ahead in {claim['ahead']} of {claim['seeds']} runs"
    return [claim["claim"], claim["verdict"], f"{measured} ({bounds}), {runs}", paper]


def comma_separated(document: Mapping[str, Any]) -> str:
    """Every figure unrounded, a line a row and table; empty where there is none."""
    buffer = io.StringIO()
    ours = [part for metric in DECIMALS for part in (metric, f"{metric}_low", f"{metric}_high", f"{metric}_mean",
                                                     f"{metric}_spread")]  # fmt: skip
    columns = ["table", "row", "missing", "seeds", "pairs", "groups", "accounts", *ours,
               *(f"paper_{metric}" for metric in DECIMALS if metric != "ratio_mse_rescaled"),
               "full_minus_it", "full_minus_it_low", "full_minus_it_high", "verdict"]  # fmt: skip
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for table in document["tables"]:
        for row in table["rows"]:
            line = {"table": table["name"], "row": row["name"], "missing": row["missing"]}
            line |= {f"paper_{metric}": value for metric, value in row["paper"].items()}
            if found := row["ours"]:
                line |= {name: found.get(name) for name in ("seeds", "pairs", "groups", "accounts", *DECIMALS)}
                for metric in DECIMALS:
                    line |= dict(
                        zip((f"{metric}_low", f"{metric}_high"), found[f"{metric}_interval"] or (), strict=False)
                    )
                    line |= {f"{metric}_{part}": found[part].get(metric) for part in ("mean", "spread")}
            if apart := row["difference"]:
                low, high = apart["interval"]
                line |= {"full_minus_it": apart["difference"], "full_minus_it_low": low, "full_minus_it_high": high}
                line["verdict"] = apart["verdict"]
            writer.writerow({name: "" if value is None else value for name, value in line.items()})
    return buffer.getvalue()


def html(document: Mapping[str, Any]) -> str:
    """One self-contained page: the style is inside, nothing is fetched."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"cells": cells, "headings": headings, "claim_cells": claim_cells, "none": NONE}
    return environment.get_template("tables.html").render(**document)
