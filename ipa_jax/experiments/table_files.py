"""The files of Tables 1 and 2, from the document of table_page.py: Markdown, CSV and HTML."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ipa_jax import drawing, page_templates
from ipa_jax.experiments.pages import NONE, difference, interval, line, made_by, number, points
from ipa_jax.experiments.statistics import TABLE_METRICS
from ipa_jax.experiments.study import FULL
from ipa_jax.metrics import display
from ipa_jax.metrics.registry import METRICS
from ipa_jax.report import tables as report_tables
from ipa_jax.report.page import TEMPLATES as REPORT_TEMPLATES
from third_party_ports import files

TEMPLATES = Path(__file__).parent / "templates"


def write(document: Mapping[str, Any], out: Path, page: Path | None = None) -> None:
    """Writes out/tables.md, tables.csv and tables.html, and the Markdown also to `page`; prints it."""
    made = {"md": markdown(document), "csv": comma_separated(document), "html": html(document)}
    texts = {out / f"tables.{ending}": text for ending, text in made.items()}
    if page:
        texts[page] = made["md"]
    for file, text in texts.items():
        files.write_text(file, text)
    print("\n" + made["md"])
    print("wrote " + ", ".join(map(str, texts)))


def markdown(document: Mapping[str, Any]) -> str:
    """The document as a Markdown page."""
    lines = [f"# {document['title']}", "", *made_by(document["command"]), *document["lead"], ""]
    for table in document["tables"]:
        names = headings(table["metrics"], table["paper"])
        lines += [f"## {table['title']}", "", f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        lines += [line([row["label"], *cells(row, table["metrics"], table["paper"])]) for row in table["rows"]]
        lines += ["", *(f"{note}  " for note in table["notes"]), ""]
    lines += ["## The paper's claims as hypotheses", ""]
    lines += ["| claim | verdict | measured, points (95 %) | paper, points |", "|---|---|---:|---:|"]
    lines += [line(claim_cells(claim)) for claim in document["claims"]]
    lines += ["", "## Checks", "", *(f"- {check}" for check in document["checks"]), ""]
    if document["remarks"]:
        lines += [document["remarks"].strip(), ""]
    return "\n".join(lines)


def cells(row: Mapping[str, Any], metrics: Sequence[str], paper: Sequence[str]) -> list[str]:
    """The cells of a row, under `headings`. A row without figures says why in the cell of its accuracy."""
    ours, out = row["ours"], []
    for metric in metrics:
        out += [number(row["paper"].get(metric), metric)] if metric in paper else []
        if not ours:
            out += [row["missing"], NONE, NONE] if metric == "accuracy" else [NONE]
            continue
        out.append(number(ours[metric], metric))
        if metric == "accuracy":
            out += [number(ours["std"].get(metric), metric), interval(ours[f"{metric}_interval"], metric)]
    return [*out, difference(row["difference"])]


def headings(metrics: Sequence[str], paper: Sequence[str]) -> list[str]:
    """The headings of the columns: for each metric the paper's figure, if it is in `paper`, and ours."""
    out = []
    for metric in metrics:
        heading = f"{METRICS[metric].heading.lower()} %" if METRICS[metric].percent else METRICS[metric].heading
        out += [f"{heading}, paper"] if metric in paper else []
        out += [heading, *(["std", "95 %"] if metric == "accuracy" else [])]
    return [*out, "full minus this row, points (95 %)"]


def claim_cells(claim: Mapping[str, Any]) -> list[str]:
    """The cells of a claim (statistics.claim): the claim, its verdict, what was measured, the paper's difference."""
    paper = f"{100 * claim['paper']:+.2f}" if claim["paper"] is not None else NONE
    if claim["difference"] is None:
        return [claim["claim"], claim["verdict"], NONE, paper]
    over = ", over accounts and training seeds" if claim["trainings"] else ""
    measured = f"{points(claim)}{over}, ahead in {claim['ahead']} of {claim['seeds']} runs"
    return [claim["claim"], claim["verdict"], measured, paper]


def comma_separated(document: Mapping[str, Any]) -> str:
    """The tables as CSV: a line for each row of a table, figures unrounded, empty where there is none."""
    buffer = io.StringIO()
    ours = [part for metric in TABLE_METRICS for part in (metric, f"{metric}_low", f"{metric}_high", f"{metric}_mean",
                                                     f"{metric}_std")]  # fmt: skip
    columns = ["table", "row", "missing", "seeds", "pairs", "groups", "accounts", *ours,
               *(f"paper_{metric}" for metric in TABLE_METRICS if metric != "ratio_mse_rescaled"),
               "full_minus_row", "full_minus_row_low", "full_minus_row_high", "verdict"]  # fmt: skip
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for table in document["tables"]:
        for row in table["rows"]:
            values = {"table": table["name"], **_unrounded(row)}
            writer.writerow({name: "" if value is None else value for name, value in values.items()})
    return buffer.getvalue()


def _unrounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Column -> value of a row."""
    values = {"row": row["name"], "missing": row["missing"]}
    values |= {f"paper_{metric}": value for metric, value in row["paper"].items()}
    if found := row["ours"]:
        values |= {name: found.get(name) for name in ("seeds", "pairs", "groups", "accounts", *TABLE_METRICS)}
        for metric in TABLE_METRICS:
            bounds = found[f"{metric}_interval"] or (None, None)
            values |= {f"{metric}_low": bounds[0], f"{metric}_high": bounds[1]}
            values |= {f"{metric}_{part}": found[part].get(metric) for part in ("mean", "std")}
    if apart := row["difference"]:
        low, high = apart["interval"]
        values |= {"full_minus_row": apart["difference"], "full_minus_row_low": low, "full_minus_row_high": high}
        values["verdict"] = apart["verdict"]
    return values


def html(document: Mapping[str, Any]) -> str:
    """The document as one self-contained page, with the style of the report; the page loads nothing."""
    environment = page_templates.environment(TEMPLATES, REPORT_TEMPLATES)  # report.css belongs to the report
    environment.globals |= {"cells": cells, "headings": headings, "claim_cells": claim_cells, "none": NONE}
    environment.globals |= {"scale": _scale, "lead_row": FULL, "lead_colour": drawing.run_colour(0)}
    environment.filters["number"] = display.number
    return environment.get_template("tables.html").render(**document)


def _scale(table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The axis of a table's chart; None where no row has figures."""
    ours = [row["ours"] for row in table["rows"] if row["ours"]]
    found = [value for row in ours for value in (row["accuracy"], *(row["accuracy_interval"] or ()))]
    return report_tables.scale(*report_tables.axis(found)) if found else None
