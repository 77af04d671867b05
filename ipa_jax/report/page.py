"""report.html: one self-contained page about one or more runs, from what their workdirs and the data set hold.

Run: python -m ipa_jax report --workdirs runs/demo/full,runs/demo/basic --data_dir DATA [--yardsticks FILE.json]
     [--checklist FILE.json]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ipa_jax.report.runs import Run, open_splits, read_build_report, read_run
from third_party_ports.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
SEED = 0  # of the examples drawn
PAIR_EXAMPLES = 6  # of each kind
QUERIES = 5
MIN_ACCOUNT_PAIRS = 5  # an account with fewer is not drawn: its accuracy is one of a few steps


def write_report(
    out: Path,
    runs: Mapping[str, Path],
    data_dir: Path,
    yardsticks: Mapping | None = None,
    checklist: Sequence[Mapping] = (),
) -> None:
    """Writes the page about `runs` (name -> workdir; the first leads: its scores are the ones shown with photos).

    `yardsticks` maps bayes, universal_only, retrieval_only, pixel_knn, chance to a test accuracy, or to a dict with
    "accuracy" and perhaps other metrics (`baselines.yardsticks`); `checklist`: lines as `checklist.as_json` gives them.
    Raises what `read_run` and `render` raise.
    """
    out, data_dir = Path(out), Path(data_dir)
    loaded = [read_run(name, Path(workdir)) for name, workdir in runs.items()]
    splits = open_splits(data_dir)
    page = render(loaded, splits, read_build_report(splits["test"].info), yardsticks or {}, str(data_dir), checklist)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page)


def render(
    runs: Sequence[Run],
    splits: Mapping[str, object],
    build_report: Mapping | None,
    yardsticks: Mapping,
    data_name: str,
    checklist: Sequence[Mapping] = (),
) -> str:
    """The page as text. Raises ValueError when there is no run or a run's scores are not of the test split's images."""
    import jinja2

    from configs import full
    from ipa_jax import paper
    from ipa_jax.metrics import display
    from ipa_jax.report import tables
    from ipa_jax.report.figures import run_colour

    if not runs:
        raise ValueError("--workdir: no run given; name at least one workdir")
    for run in runs:
        _check_images(run, splits["test"])
    tests = {run.name: run.test for run in runs}
    marks = tables.yardstick_rows(yardsticks)
    ablations = [row for row in paper.ABLATIONS if row[1] != paper.PAPER[-1][1]]
    lead = runs[0]
    bayes = next((row["accuracy"] for row in marks if row["key"] == "bayes"), None)
    low, high = tables.axis(
        [
            *(row["accuracy"] for row in marks),
            *(value for test in tests.values() for value in (test["accuracy"], *(test["accuracy_interval"] or ()))),
        ]
    )
    ratios, sizes = tables.ratio_rows(tests), tables.size_rows(tests)
    parts_low = tables.axis([v for row in ratios + sizes for v in row["accuracy"] if v is not None])[0]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": display.number,
        "interval": display.interval,
        "plain": tables.plain,
        "date": _date,
    }
    return environment.get_template("report.html").render(
        runs=[_summary(run, i, bayes) for i, run in enumerate(runs)],
        lead=lead,
        bayes=bayes,
        synthetic=bayes is not None,  # nobody knows the ceiling of real likes
        data_name=data_name,
        checklist=checklist,
        random_features=bool(splits["test"].info["random_weights"]),
        split=splits["test"].options["split"],
        min_ratio=splits["test"].options["pairs"]["min_ratio"],
        metrics=display.METRICS,
        metric_rows=tables.metric_rows(tests),
        yardstick_rows=tables.metric_rows({row["name"]: row["metrics"] for row in marks}, bold=False),
        yardsticks=marks,
        paper=paper.PAPER,
        ablations=ablations,
        scale=_scale(low, high),
        parts_scale=_scale(parts_low, high),
        ratios=ratios,
        sizes=sizes,
        colours=[run_colour(i) for i in range(len(runs))],
        figures=_figures(runs),
        accounts=_accounts(runs, splits["test"].options["pairs"]["min_ratio"]),
        min_account_pairs=MIN_ACCOUNT_PAIRS,
        build_blocks=tables.blocks({k: v for k, v in (build_report or {}).items() if k != "choices"}),
        options=tables.choice_rows(full.get_config().to_dict(), {run.name: run.config for run in runs}),
        **_examples(runs, splits),
    )


def _date(seconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(seconds, UTC):%d %b %Y}"


def _check_images(run: Run, test: object) -> None:
    images = test.images.sort("record", "image_id")
    if run.scores.height != images.height or not all(
        (run.scores[key].cast(images[key].dtype) == images[key]).all() for key in ("record", "image_id", "account")
    ):
        raise ValueError(
            f"{run.name}: scores-test.parquet holds {run.scores.height} images that are not the {images.height} of "
            "--data_dir's test split; give the data set this run was trained on, or evaluate the run again"
        )


def _summary(run: Run, index: int, bayes: float | None) -> dict:
    from statistics import median

    from ipa_jax.report.figures import run_colour

    rates = run.series("train/images_per_second")[1]
    results = run.results
    return {
        "name": run.name,
        "colour": run_colour(index),
        "test": run.test,
        "of_ceiling": (run.test["accuracy"] - 0.5) / (bayes - 0.5) if bayes is not None and bayes > 0.5 else None,
        "facts": [
            (name, value)
            for name, value in (
                ("config", results.get("config")),
                ("parameters", results.get("parameters")),
                ("start", results.get("init")),
                ("steps", results.get("steps")),
                ("best step", results.get("best_step")),
                ("images a second", round(median(rates)) if rates else None),
                ("minutes", round(results["seconds"] / 60, 1) if results.get("seconds") is not None else None),
            )
            if value is not None
        ],
    }


def _scale(low: float, high: float) -> dict:
    """Left and right end of an accuracy strip with its ticks every 10 points, as fractions."""
    ticks = [tick / 100 for tick in range(0, 101, 10) if low <= tick / 100 <= high]
    return {"low": low, "high": high, "ticks": ticks}


def _figures(runs: Sequence[Run]) -> dict[str, str]:
    """Name -> inline SVG; a curve that no run logged is left out."""
    from markupsafe import Markup

    from ipa_jax.report import figures

    best = [run.results.get("best_step") for run in runs]
    made = {"histogram": figures.histogram([run.scores["z"].to_numpy() for run in runs], "Distribution of scores")}
    curves = (
        ("accuracy", "validation/accuracy", "train/accuracy", True, "Pairwise accuracy by step"),
        ("loss", "train/loss", None, False, "Training loss by step"),
        ("ratio_mse", "validation/ratio_mse", None, False, "Validation Ratio MSE by step"),
    )
    for name, key, second, percent, title in curves:
        series = [_smooth(run.series(key)) if key.startswith("train/") else run.series(key) for run in runs]
        if any(steps for steps, _ in series):
            dashed = [_smooth(run.series(second)) for run in runs] if second else []
            marked = best if key.startswith("validation/") else []
            made[name] = figures.curves(series, percent=percent, dashed=dashed, best=marked, name=title)
    return {name: Markup(svg) for name, svg in made.items()}


def _smooth(series: tuple[list[float], list[float]], points: int = 60) -> tuple[list[float], list[float]]:
    """Means of consecutive values, so that at most about `points` are drawn; a step stands for the window it ends."""
    steps, values = series
    window = max(len(values) // points, 1)
    ends = range(window, len(values) + 1, window)
    return [steps[end - 1] for end in ends], [sum(values[end - window : end]) / window for end in ends]


def _accounts(runs: Sequence[Run], min_ratio: float) -> dict | None:
    """The distribution over accounts: figure and quartiles a run; None where no account has enough valid pairs."""
    import polars as pl
    from markupsafe import Markup

    from ipa_jax.metrics import split_metrics
    from ipa_jax.report.figures import account_curves

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
    svg = account_curves([accuracy.to_numpy() for accuracy in accuracies], "Accuracy over accounts")
    return {"count": len(accuracies[0]), "rows": rows, "figure": Markup(svg)}


def _examples(runs: Sequence[Run], splits: Mapping[str, object]) -> dict:
    from ipa_jax.report import examples

    lead, test = runs[0], splits["test"]
    # The query's own split first; retrieved images lie in train, or anywhere where the split is by account.
    album = examples.Album(splits, ("test", "train", "validation"))
    chosen = examples.pair_examples(lead.scores, test.options["pairs"]["min_ratio"], PAIR_EXAMPLES, SEED)
    scores = {run.name: run.scores for run in runs}
    return {
        "pairs": {kind: examples.pair_cards(rows, scores, album) for kind, rows in chosen.items()},
        "retrievals": examples.retrieval_cards(lead.scores, test, album, QUERIES, SEED),
    }
