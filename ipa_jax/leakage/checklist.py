"""The leakage checklist of a data set, and of a run on it: each line decided by a computation on what is stored.

    python -m ipa_jax checklist --data_dir=DATA [--workdir=RUN] [--shuffled RUN RUN ...] [--json]

The eight types are those of Kapoor and Narayanan, "Leakage and the reproducibility crisis in machine-learning-based
science" (Patterns 2023). Ends with 1 where a line fails.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from third_party_ports.cli import WRONG_USE, Parser, fail

if TYPE_CHECKING:
    from ipa_jax.leakage.checks import Line
    from ipa_jax.leakage.stored_data import StoredData

NOTE = "note"  # a line that tells and does not judge
HIDDEN_BELOW, HIDDEN_SHARE, HIDDEN_POSTS = 10, 0.2, 10  # of an account's posts: more share one such count (posts.py)
UNRIPE_DAYS = 7


def make(data_dir: Path | str, workdir: Path | None = None, shuffled: Sequence[Path] = ()) -> list["Line"]:
    """The eight lines, then what a reader of the figures should know.

    Args:
      data_dir: a built data set; workdir: of a finished run on it.
      shuffled: workdirs of finished runs of the same config with data.shuffle_likes, the control.

    Raises:
      FileNotFoundError, ValueError: no data set there, or a workdir of no finished run.
    """
    from ipa_jax.leakage import checks, recompute, run_checks, stored_data

    control = shuffled_control(shuffled_accuracies(shuffled))
    run = run_checks.check(workdir, data_dir) if workdir else None
    data = stored_data.read(data_dir)
    lines = checks.check(data, recompute.explain(data), run)
    return lines + facts(data) + [control]


def facts(data: "StoredData") -> list["Line"]:
    """Counts and choices that decide what a figure means."""
    import polars as pl

    from ipa_jax.leakage.checks import FAIL, PASS, Line
    from ipa_jax.metrics.bootstrap import MIN_ACCOUNTS

    options, test = data.options, data.of("test")
    accounts = test["account"].n_unique()
    pairs = data.groups.filter(pl.col("split") == "test")["pairs"].sum()
    extractors = data.info["features"]["extractors"]
    named = ", ".join(f"{part}: {each['name']} {each['version']}" for part, each in extractors.items())
    random = data.info["random_weights"]
    over = "accounts" if accounts >= MIN_ACCOUNTS else f"groups, as there are under {MIN_ACCOUNTS} accounts"
    return [
        Line("split", NOTE, f"by {options['split']['by']}, seed {options['split']['seed']}", "the stored choices"),
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
            ("random weights: retrieval by them means nothing; " if random else "made before the split, ") + named,
            "the header of the feature store",
        ),
        Line("unripe likes", NOTE, unripe(data), "times in the index"),
        Line("hidden likes", NOTE, hidden(data), "likes in the index"),
        Line("protocols", NOTE, "four protocols side by side: python -m ipa_jax protocols, docs/protocols.md", "-"),
    ]


def unripe(data: "StoredData") -> str:
    """How many images are of their account's last days, when likes still came in."""
    import polars as pl

    age = pl.col("time").max().over("account") - pl.col("time")
    young = data.images.filter(age < UNRIPE_DAYS * 86_400).height
    dropped = data.options["posts"]["min_age_days"]
    return (
        f"{young} of {len(data.images)} images came less than {UNRIPE_DAYS} days before their account's newest; "
        f"posts.min_age_days is {dropped:g}"
    )


def hidden(data: "StoredData") -> str:
    """Accounts whose like counts look hidden."""
    import polars as pl

    posts = data.posts.filter(pl.len().over("account") >= HIDDEN_POSTS)
    share = pl.len().over("account", "likes") / pl.len().over("account")
    odd = posts.filter((share > HIDDEN_SHARE) & (pl.col("likes") < HIDDEN_BELOW))["account"].n_unique()
    return f"{odd} accounts have one count below {HIDDEN_BELOW} on over {HIDDEN_SHARE:.0%} of their posts"


def shuffled_accuracies(workdirs: Sequence[Path]) -> list[float]:
    """Test accuracy of each run, from its scores. Raises ValueError for a workdir that is no finished run on shuffled
    likes, and for two of one shuffle."""
    import polars as pl

    from ipa_jax.metrics.split_metrics import evaluate

    shuffles: dict[tuple, Path] = {}
    accuracies = []
    for workdir in workdirs:
        try:
            config = json.loads((workdir / "config.json").read_text())
            scores = pl.read_parquet(workdir / "scores-test.parquet")
            data, shuffled = config["data"], config["data"]["shuffle_likes"]
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            raise ValueError(f"--shuffled: {workdir} is not the folder of a finished run ({error})") from error
        if not shuffled:
            raise ValueError(f"--shuffled: {workdir} was trained on likes as they are, not on data.shuffle_likes")
        shuffle = data["split"]["seed"], *sorted(scores["image_id"])
        if shuffle in shuffles:
            raise ValueError(f"--shuffled: {shuffles[shuffle]} and {workdir} are of one shuffle; give different ones")
        shuffles[shuffle] = workdir
        accuracies.append(evaluate(scores, data["pairs"]["min_ratio"], draws=0)["accuracy"])
    return accuracies


def shuffled_control(accuracies: Sequence[float]) -> "Line":
    """Models trained on shuffled likes know nothing: 50 % must lie in the interval over the shuffles."""
    from ipa_jax.leakage.checks import FAIL, NOT_APPLICABLE, PASS, Line
    from ipa_jax.metrics.bootstrap import over_runs

    title, by = (
        "shuffled likes",
        "the 95 % interval over runs, each on a data set of data.shuffle_likes of its own seed",
    )
    if not accuracies:
        return Line(title, NOT_APPLICABLE, "no such run was given (--shuffled)", by)
    told = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    interval = over_runs(accuracies)
    if interval is None:
        return Line(title, NOTE, f"accuracy {told}; fewer than three shuffles decide nothing", by)
    low, high = interval
    least = f"a leak worth less than {50 * (high - low):.0f} points would not show"
    found = f"accuracy {told} (95 % {low:.4f} to {high:.4f}); {least}"
    return Line(title, PASS if low <= 0.5 <= high else FAIL, found, by)


def failed(lines: Sequence["Line"]) -> bool:
    """Whether any line fails."""
    return any(line.verdict == "fail" for line in lines)


def as_json(lines: Sequence["Line"]) -> list[dict[str, Any]]:
    """The lines as the report reads them."""
    return [asdict(line) for line in lines]


def show(lines: Sequence["Line"], title: str) -> None:
    """Prints the lines as a table."""
    from rich.console import Console
    from rich.table import Table

    colours = {"pass": "green", "fail": "bold red"}
    table = Table("", "verdict", "found, and what decides", title=title, title_justify="left", show_lines=True)
    for line in lines:
        colour = colours.get(line.verdict, "dim")
        table.add_row(line.title, f"[{colour}]{line.verdict}[/]", f"{line.found}\n[dim]{line.decided_by}[/]")
    Console().print(table)


def main(argv: list[str] | None = None) -> int:
    parser = Parser("checklist", __doc__)
    parser.add_argument("--data_dir", required=True, type=Path, help="what data_builders.build wrote")
    parser.add_argument("--workdir", type=Path, help="a finished run on it, which is checked too")
    parser.add_argument("--shuffled", type=Path, nargs="+", default=[], metavar="RUN",
                        help="finished runs of the same config with data.shuffle_likes, a seed each")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON list in place of the table")
    args = parser.parse_args(argv)
    try:
        lines = make(args.data_dir, args.workdir, args.shuffled)
    except (ValueError, OSError) as error:
        return fail(error, WRONG_USE)
    if args.json:
        print(json.dumps(as_json(lines)))
    else:
        show(lines, f"Leakage checklist of {args.data_dir}" + (f" and {args.workdir}" if args.workdir else ""))
    return int(failed(lines))


if __name__ == "__main__":
    sys.exit(main())
