"""The leakage checklist of a data set, and of a run on it: each line is decided by a computation on stored data.

The eight types of leakage are those of Kapoor and Narayanan, "Leakage and the reproducibility crisis in
machine-learning-based science" (Patterns 2023). More lines say what to know about the data before reading its figures.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ipa_jax.leakage import recompute, run_checks, stored_data
from ipa_jax.leakage.checks import FAIL, NOT_APPLICABLE, NOTE, PASS, Line, check
from ipa_jax.leakage.stored_data import StoredData
from ipa_jax.metrics.bootstrap import MIN_ACCOUNTS, over_runs
from ipa_jax.metrics.split_metrics import evaluate
from ipa_jax.training.workdir import read_config, read_scores

# An account of HIDDEN_POSTS or more hides its likes if over HIDDEN_SHARE of its posts share a count below HIDDEN_BELOW.
HIDDEN_BELOW, HIDDEN_SHARE, HIDDEN_POSTS = 10, 0.2, 10
UNRIPE_DAYS = 7


def make(data_dir: Path | str, workdir: Path | None = None, shuffled: Sequence[Path] = ()) -> list[Line]:
    """The eight lines, then what to know before reading the figures.

    Args:
      data_dir: a built data set.
      workdir: of a finished run on it.
      shuffled: workdirs of finished runs of the same config with data.shuffle_likes, the control.
    Raises:
      FileNotFoundError: no data set exists there, or `workdir` holds no finished run.
      ValueError: a run of `shuffled` is not finished, is on unshuffled likes, or is of the same shuffle as another.
    """
    control = shuffled_control(shuffled_accuracies(shuffled))
    run = run_checks.check(workdir, data_dir) if workdir else None
    data = stored_data.read(data_dir)
    lines = check(data, recompute.explain(data), run)
    return lines + facts(data) + [control]


def facts(data: StoredData) -> list[Line]:
    """Counts and options that decide what a figure means."""
    options, test = data.options, data.images_of("test")
    accounts = test["account"].n_unique()
    pairs = data.groups.filter(pl.col("split") == "test")["pairs"].sum()
    extractors = data.info["features"]["extractors"]
    named = ", ".join(f"{part}: {each['name']} {each['version']}" for part, each in extractors.items())
    random = data.info["random_weights"]
    over = "accounts" if accounts >= MIN_ACCOUNTS else f"groups, as test has fewer than {MIN_ACCOUNTS} accounts"
    return [
        Line("split", NOTE, f"by {options['split']['by']}, seed {options['split']['seed']}", "the stored options"),
        Line(
            "test set",
            NOTE,
            f"{accounts} accounts, {test['group_id'].n_unique()} groups, {len(test)} images, {pairs} "
            f"valid pairs; intervals are over {over}",
            "the index",
        ),
        Line(
            "frozen features",
            FAIL if random else PASS,
            ("random weights, so retrieval means nothing; " if random else "computed before the split; ") + named,
            "the header of the feature store",
        ),
        Line("unripe likes", NOTE, unripe(data), "times in the index"),
        Line("hidden likes", NOTE, hidden(data), "likes in the index"),
        Line("protocols", NOTE, "ipa-jax protocols compares four protocols side by side", "docs/protocols.md"),
    ]


def unripe(data: StoredData) -> str:
    """How many images are so close to their account's newest that likes were still coming in."""
    age = pl.col("time").max().over("account") - pl.col("time")
    young = data.images.filter(age < UNRIPE_DAYS * 86_400).height
    dropped = data.options["posts"]["min_age_days"]
    return (
        f"{young} of {len(data.images)} images were posted less than {UNRIPE_DAYS} days before their account's newest; "
        f"posts.min_age_days is {dropped:g}"
    )


def hidden(data: StoredData) -> str:
    """How many accounts seem to hide their likes."""
    posts = data.posts.filter(pl.len().over("account") >= HIDDEN_POSTS)
    share = pl.len().over("account", "likes") / pl.len().over("account")
    odd = posts.filter((share > HIDDEN_SHARE) & (pl.col("likes") < HIDDEN_BELOW))["account"].n_unique()
    return f"{odd} accounts have the same like count, below {HIDDEN_BELOW}, on over {100 * HIDDEN_SHARE:g} % of posts"


def shuffled_accuracies(workdirs: Sequence[Path]) -> list[float]:
    """Test accuracy of each run, from its scores.

    Raises:
      ValueError: a workdir holds no finished run on shuffled likes, or two runs are of one shuffle.
    """
    shuffles: dict[tuple, Path] = {}
    accuracies = []
    for workdir in workdirs:
        try:
            config = read_config(workdir)
            scores = read_scores(workdir, "test")
            data, shuffled = config["data"], config["data"]["shuffle_likes"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"--shuffled: {workdir} is not the folder of a finished run ({error})") from error
        if not shuffled:
            raise ValueError(f"--shuffled: {workdir} was trained on unshuffled likes; train it with data.shuffle_likes")
        shuffle = data["split"]["seed"], *sorted(scores["image_id"])
        if shuffle in shuffles:
            raise ValueError(
                f"--shuffled: {shuffles[shuffle]} and {workdir} are of one shuffle; give runs of different seeds"
            )
        shuffles[shuffle] = workdir
        accuracies.append(evaluate(scores, data["pairs"]["min_ratio"], draws=0)["accuracy"])
    return accuracies


def shuffled_control(accuracies: Sequence[float]) -> Line:
    """Models trained on shuffled likes learn nothing: passes if the interval over the shuffles holds 50 %."""
    title = "shuffled likes"
    by = "the 95 % interval over runs, each on a data set shuffled with its own seed (data.shuffle_likes)"
    if not accuracies:
        return Line(title, NOT_APPLICABLE, "no runs on shuffled likes were given (--shuffled)", by)
    figures = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    interval = over_runs(accuracies)
    if interval is None:
        return Line(title, NOTE, f"accuracy {figures}; a verdict needs three shuffles or more", by)
    low, high = interval
    least = f"a leak worth less than {50 * (high - low):.0f} points would not show"
    found = f"accuracy {figures} (95 % {low:.4f} to {high:.4f}); {least}"
    return Line(title, PASS if low <= 0.5 <= high else FAIL, found, by)


def failed(lines: Sequence[Line]) -> bool:
    """Whether a line fails."""
    return any(line.verdict == FAIL for line in lines)


def as_json(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The lines as JSON objects, as the report reads them."""
    return [asdict(line) for line in lines]


def show(lines: Sequence[Line], title: str) -> None:
    """Prints the lines as a table."""
    colours = {PASS: "green", FAIL: "bold red"}
    headings = "", "verdict", "found, and how it was decided"
    table = Table(*headings, title=escape(title), title_justify="left", show_lines=True)
    for line in lines:
        colour = colours.get(line.verdict, "dim")
        table.add_row(
            line.title, f"[{colour}]{line.verdict}[/]", f"{escape(line.found)}\n[dim]by: {escape(line.decided_by)}[/]"
        )
    Console().print(table)
