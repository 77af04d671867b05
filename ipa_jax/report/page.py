"""Writes report.html: one self-contained page about runs, from what their workdirs and the data set hold."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from configs import full
from ipa_jax import drawing, page_templates, paper
from ipa_jax.metrics import display, split_metrics
from ipa_jax.metrics.registry import METRICS
from ipa_jax.report import examples, figures, tables
from ipa_jax.report.runs import Run, Splits, check_images, is_drawn, open_splits, read_build_report, read_run
from third_party_ports import files

TEMPLATES = Path(__file__).parent / "templates"
SEED = 0  # of the examples that are drawn
PAIR_EXAMPLES = 6  # of each kind
QUERIES = 5
MIN_ACCOUNT_PAIRS = 5  # an account with fewer pairs is left out of the figure: its accuracy can take few values only
SMOOTHED = 60  # points that a curve is reduced to


def write_report(
    out: Path,
    runs: Mapping[str, Path],
    data_dir: Path,
    baselines: Mapping[str, Any] | None = None,
    checklist: Sequence[Mapping[str, str]] = (),
) -> None:
    """Writes the page.

    Args:
      out: the file to write.
      runs: name -> workdir of a finished run. The first run leads: its scores are shown with the photos.
      data_dir: the data set that the runs were trained on.
      baselines: name of a baseline -> test accuracy, or a dict with "accuracy" and perhaps other metrics.
      checklist: lines of the leakage checklist, as `checklist.as_json` gives them.
    Raises:
      FileNotFoundError: a file of a run or the data set is missing.
      ValueError: there is no run, or the scores of a run are not those of the test split's images.
    """
    loaded = [read_run(name, Path(workdir)) for name, workdir in runs.items()]
    splits = open_splits(Path(data_dir))
    build_report = read_build_report(splits["test"].info)
    page = render(loaded, splits, build_report, baselines or {}, str(data_dir), checklist)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    files.write_text(Path(out), page)


def render(
    runs: Sequence[Run],
    splits: Splits,
    build_report: Mapping[str, Any] | None,
    baselines: Mapping[str, Any],
    data_name: str,
    checklist: Sequence[Mapping[str, str]] = (),
) -> str:
    """The page as text. Takes what `write_report` has read, and raises its ValueErrors."""
    if not runs:
        raise ValueError("--workdir: no run given; name at least one workdir")
    for run in runs:
        check_images(run.name, run.scores, splits["test"], "test")
    test = splits["test"]
    marks = tables.baseline_rows(baselines)
    bayes = next((row["accuracy"] for row in marks if row["key"] == "bayes"), None)
    parts = {
        "runs": [_summary(run, i, bayes) for i, run in enumerate(runs)],
        "lead": runs[0],
        "synthetic": bayes is not None or is_drawn(test.info),  # nobody knows the ceiling of real likes
        "data_name": data_name,
        "checklist": checklist,
        "random_features": bool(test.info["random_weights"]),
        "split": test.options["split"],
        "min_ratio": test.options["pairs"]["min_ratio"],
        "days": display.days(test.options["groups"]["window_days"]),
        "colours": [drawing.run_colour(i) for i in range(len(runs))],
        "figures": _figures(runs),
        "accounts": _accounts(runs, test.options["pairs"]["min_ratio"]),
        "min_account_pairs": MIN_ACCOUNT_PAIRS,
        "build_blocks": tables.blocks({k: v for k, v in (build_report or {}).items() if k != "choices"}),
        "fields": tables.field_rows(full.get_config().to_dict(), {run.name: run.config for run in runs}),
    }
    parts |= _metrics({run.name: run.test for run in runs}, marks) | _examples(runs, splits)
    return _environment().get_template("report.html").render(**parts)


def _environment() -> jinja2.Environment:
    environment = page_templates.environment(TEMPLATES)
    filters = {"number": display.number, "interval": display.interval, "plain": tables.plain, "date": _date}
    environment.filters |= filters
    return environment


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d %b %Y}"


def _metrics(tests: Mapping[str, Mapping[str, Any]], marks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the sections on metrics and breakdowns show.

    Args:
      tests: run -> its metrics.
      marks: rows of baselines.
    """
    accuracies = [row["accuracy"] for row in marks]
    for test in tests.values():
        accuracies += [test["accuracy"], *(test["accuracy_interval"] or ())]
    low, high = tables.axis(accuracies)
    ratios, sizes = tables.ratio_rows(tests), tables.size_rows(tests)
    parts_low = tables.axis([v for row in ratios + sizes for v in row["accuracy"] if v is not None])[0]
    return {
        "metrics": METRICS,
        "metric_rows": tables.metric_rows(tests),
        "baselines": marks,
        "baseline_rows": tables.metric_rows({row["name"]: row["metrics"] for row in marks}, bold=False),
        "paper": paper.PAPER,
        "paper_rows": {row[0]: paper.figures(row[0]) for row in paper.PAPER},
        "ablations": [row for row in paper.ABLATIONS if row[1] != paper.PAPER[-1][1]],
        "scale": tables.scale(low, high),
        "parts_scale": tables.scale(parts_low, high),
        "ratios": ratios,
        "sizes": sizes,
    }


def _summary(run: Run, index: int, bayes: float | None) -> dict[str, Any]:
    """A run's name, colour, metrics and facts; "closed" is the share of the gap from chance to Bayes that it closes."""
    rates = run.series("train/images_per_second")[1]
    results = run.results
    facts = {
        "config": results.get("config"),
        "parameters": results.get("parameters"),
        "start": results.get("init"),
        "steps": results.get("steps"),
        "best step": results.get("best_step"),
        "images per second": round(median(rates)) if rates else None,
        "minutes": round(results["seconds"] / 60, 1) if results.get("seconds") is not None else None,
    }
    return {
        "name": run.name,
        "colour": drawing.run_colour(index),
        "test": run.test,
        "closed": (run.test["accuracy"] - 0.5) / (bayes - 0.5) if bayes is not None and bayes > 0.5 else None,
        "facts": [(name, value) for name, value in facts.items() if value is not None],
    }


def _figures(runs: Sequence[Run]) -> dict[str, Markup]:
    """Name -> inline SVG; a curve that no run logged is left out."""
    best = [run.results.get("best_step") for run in runs]
    made = {"histogram": figures.histogram([run.scores["z"].to_numpy() for run in runs], "Distribution of scores")}
    curves = (
        ("accuracy", "validation/accuracy", "train/accuracy", True, "Pairwise accuracy by step"),
        ("loss", "train/loss", None, False, "Training loss by step"),
        ("ratio_mse", "validation/ratio_mse", None, False, "Validation Ratio MSE by step"),
    )
    for name, key, second, percent, title in curves:
        series = [_smooth(*run.series(key)) if key.startswith("train/") else run.series(key) for run in runs]
        if any(steps for steps, _ in series):
            dashed = [_smooth(*run.series(second)) for run in runs] if second else []
            marked = best if key.startswith("validation/") else []
            made[name] = figures.curves(series, percent=percent, dashed=dashed, best=marked, name=title)
    return {name: Markup(svg) for name, svg in made.items()}


def _smooth(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Means of consecutive values, about SMOOTHED of them; each stands at the step where its window ends."""
    window = max(len(values) // SMOOTHED, 1)
    ends = range(window, len(values) + 1, window)
    return [steps[end - 1] for end in ends], [sum(values[end - window : end]) / window for end in ends]


def _accounts(runs: Sequence[Run], min_ratio: float) -> dict[str, Any] | None:
    """How accuracy is distributed over accounts: a figure, and quartiles per run; None without an account to show."""
    accuracies = []
    for run in runs:
        table = split_metrics.by_account(run.scores, min_ratio).filter(pl.col("pairs") >= MIN_ACCOUNT_PAIRS)
        accuracies.append(table["accuracy"])
    if any(accuracy.is_empty() for accuracy in accuracies):
        return None
    rows = [
        {
            "name": run.name,
            "quartiles": [accuracy.quantile(q, "linear") for q in (0.25, 0.5, 0.75)],
            "above_half": float((accuracy > 0.5).mean()),
        }
        for run, accuracy in zip(runs, accuracies, strict=True)
    ]
    svg = figures.account_curves([accuracy.to_numpy() for accuracy in accuracies], "Accuracy over accounts")
    return {"count": len(accuracies[0]), "rows": rows, "figure": Markup(svg)}


def _examples(runs: Sequence[Run], splits: Splits) -> dict[str, Any]:
    """Pairs and retrieved photos, with the scores of the leading run."""
    lead, test = runs[0], splits["test"]
    # The query's own split first. Retrieved images are in train, or anywhere if the split is by account.
    album = examples.Album(splits, ("test", "train", "validation"))
    chosen = examples.pair_examples(lead.scores, test.options["pairs"]["min_ratio"], PAIR_EXAMPLES, SEED)
    scores = {run.name: run.scores for run in runs}
    return {
        "pairs": {kind: examples.pair_cards(rows, scores, album) for kind, rows in chosen.items()},
        "retrievals": examples.retrieval_cards(lead.scores, test, album, QUERIES, SEED),
    }
