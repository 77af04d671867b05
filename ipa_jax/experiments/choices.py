"""The paper's silent choices settled by experiment: one field each over full.py, on demo worlds.

    python -m ipa_jax choices --out=runs/experiments                     every choice
    python -m ipa_jax choices --out=runs/experiments --short_histories   accuracy against the size of the bank

A run that is done is never made again: its record is taken, also that of another table of the same run (--others).
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from third_party_ports.cli import whole_number, whole_numbers

if TYPE_CHECKING:
    import polars as pl

    from ipa_jax.experiments.choice_rows import Choice
    from ipa_jax.experiments.records import Record
    from ipa_jax.experiments.runs import Run

    Records = Mapping[str, list[tuple[str, Record]]]  # name of a choice -> (name of the world, record) of each world


def take_shared(runs: Sequence["Run"], records: Path, others: Sequence[Path]) -> list[str]:
    """Copies the records of other tables' folders that are of the very same runs; returns the files' names."""
    from ipa_jax.experiments import records as run_records
    from ipa_jax.training import workdir

    taken = []
    for run in runs:
        for folder in others:
            file = folder / run.file
            if (records / run.file).is_file() or not (found := run_records.load(file)):
                continue
            try:
                run_records.require_same(file, found, run.definition, workdir.flat(run.resolved), workdir.FREE)
            except run_records.RecordError:
                continue
            run_records.save(records / run.file, found)
            taken.append(run.file)
    return taken


def pooled(records: Sequence[tuple[str, "Record"]], posts: str | None = None, split: str = "test") -> "pl.DataFrame":
    """Scores of a split over the worlds, of images or of posts (post_scores.POOLS)."""
    from ipa_jax.experiments.records import pooled as pool
    from ipa_jax.metrics.posts import pool_posts

    scores = pool(records, split=split)
    return pool_posts(scores, posts) if posts else scores


def cells(scores: "pl.DataFrame", base: "pl.DataFrame | None", min_ratio: float) -> list[str]:
    """accuracy, its interval, the difference to `base` on the same draws of accounts, SRCC, Ratio MSE, pairs."""
    from ipa_jax.experiments.protocols import difference
    from ipa_jax.experiments.statistics import points
    from ipa_jax.metrics.split_metrics import evaluate

    found = evaluate(scores, min_ratio)
    low, high = found["accuracy_interval"]
    return [
        f"{100 * found['accuracy']:.1f}",
        f"{100 * low:.1f} to {100 * high:.1f}",
        points(difference(scores, base, min_ratio)) if base is not None else "",
        f"{found['srcc']:.3f}",
        f"{found['ratio_mse']:.2f}",
        f"{found['pairs']:,}",
    ]


def choice_table(records: "Records", min_ratio: float) -> list[str]:
    """The table of choices as lines of Markdown; a choice without records says so.

    Validation decides (configs/ours.py is chosen by it), test reports. Raises RecordError for a record without it.
    """
    from ipa_jax.experiments.choice_rows import DEFAULT, OURS, QUESTIONS
    from ipa_jax.experiments.protocols import difference
    from ipa_jax.experiments.statistics import points

    base, default = pooled(records[DEFAULT.name]), records[DEFAULT.name]
    worlds = {world for world, _ in records[DEFAULT.name]}

    def line(question: str, preset: str, choice: "Choice") -> str:
        found = records.get(choice.name, [])
        if {world for world, _ in found} != worlds:
            return f"| {question} | {preset} | {choice.label} | not run | | | | | | |"
        apart = ""
        if choice is not DEFAULT:
            scores = [pooled(each, posts, "validation") for each, posts in ((found, choice.posts), (default, None))]
            apart = points(difference(*scores, min_ratio))
        measured = cells(pooled(found, choice.posts), None if choice is DEFAULT else base, min_ratio)
        return f"| {' | '.join([question, preset, choice.label, apart, *measured])} |"

    lines = ["| choice | full.py | instead | validation: minus full.py, points (95 %) | test: accuracy % | 95 % "
             "| minus full.py, points (95 %) | SRCC | Ratio MSE | pairs |",
             "|---|---|---|---|---:|:---:|---|---:|---:|---:|", line("", "", DEFAULT)]  # fmt: skip
    for question in QUESTIONS:
        head = f"{question.text}, `{question.field}`"
        lines += [line(head, question.default, choice) for choice in question.instead]
    return [*lines, line("what measured best", "", OURS)]


def carousel_table(records: "Records", min_ratio: float) -> list[str]:
    """One model of `carousel = all`, its images and its posts judged, as lines of Markdown; [] where it was not run."""
    from ipa_jax.experiments.choice_rows import ALL_IMAGES

    if not (found := records.get(ALL_IMAGES.name)):
        return []
    first = pooled(found, "first")
    rows = {"images, each by itself": (None, None), "posts by their first image": ("first", None),
            "posts by the mean z of their images": ("mean", first),
            "posts by their highest z": ("max", first)}  # fmt: skip
    lines = ["| judged | accuracy % | 95 % | minus first image, points (95 %) | SRCC | Ratio MSE | pairs |",
             "|---|---:|:---:|---|---:|---:|---:|"]  # fmt: skip
    for text, (posts, base) in rows.items():
        lines.append(f"| {' | '.join([text, *cells(pooled(found, posts), base, min_ratio)])} |")
    return lines


def history_table(records: "Records", min_ratio: float) -> list[str]:
    """Accuracy against the posts of the bank, free slots empty or filled from other accounts, as lines of Markdown."""
    from ipa_jax.experiments.choice_rows import BANKS, FULL_BANK
    from ipa_jax.experiments.protocols import difference
    from ipa_jax.experiments.statistics import points

    lines = ["| posts of the bank | slots empty: accuracy % | 95 % | filled: accuracy % | 95 % "
             "| filled minus empty, points (95 %) |", "|---:|---:|:---:|---:|:---:|---|"]  # fmt: skip
    for posts in BANKS:
        scores = [
            pooled(records[name]) if name in records else None for name in (f"bank_{posts}", f"bank_{posts}_filled")
        ]
        measured = [cells(each, None, min_ratio)[:2] if each is not None else ["not run", ""] for each in scores]
        if posts >= FULL_BANK:
            measured[1] = ["no slot to fill", ""]
        apart = "" if any(each is None for each in scores) else points(difference(*reversed(scores), min_ratio))
        row = [*measured[0], *measured[1], apart]
        lines.append(f"| {' | '.join([str(posts), *row])} |")
    if "full" in records:
        lines.append(f"| all | {' | '.join([*cells(pooled(records['full']), None, min_ratio)[:2], '', '', ''])} |")
    return lines


def collect(choices: Sequence["Choice"], args: argparse.Namespace) -> "Records":
    """Runs what is missing of args.only (all, unless given); returns the records of each choice that has all of them.

    A choice that was not run on every world would be compared over other accounts than the rest.
    """
    from ipa_jax.experiments import choice_rows
    from ipa_jax.experiments import runs as experiments

    known = {choice.name: choice for choice in choices}
    if unknown := [name for name in args.only or () if name not in known]:
        raise ValueError(f"--only: {', '.join(unknown)} is none of {', '.join(known)}")
    sizes = (args.seeds, args.accounts, args.posts, args.size)
    everything = choice_rows.runs_of(choices, *sizes)
    if taken := take_shared(everything, args.records, args.others):
        print(f"taken from {', '.join(map(str, args.others))}: {', '.join(taken)}")
    always = () if args.short_histories else (choices[0].name,)  # what all others are compared with
    asked = [run for run in everything if not args.only or run.name in (*always, *args.only)]
    made = experiments.run(asked, args.out, args.records, overwrite=args.overwrite)
    found: dict[str, list] = {}
    for run in everything:
        if record := made.get(run) or experiments.stored(run, args.records, overwrite=args.overwrite):
            found.setdefault(run.name, []).append((run.world.name, record))
    return {name: of_choice for name, of_choice in found.items() if len(of_choice) == len(args.seeds)}


def run(args: argparse.Namespace, argv: Sequence[str]) -> None:
    from configs import full
    from ipa_jax.experiments import choice_rows, marked_pages

    name = "short histories" if args.short_histories else "choices"
    args.records = args.records or args.out / "records-choices"
    page = args.page or args.out / f"{name.replace(' ', '_')}.md"
    marked_pages.require(page, name)
    found = collect(choice_rows.SHORT_HISTORIES if args.short_histories else choice_rows.CHOICES, args)
    ratio = full.get_config(args.size).data.pairs.min_ratio
    lines = [f"`python -m ipa_jax choices {shlex.join(argv)}`", ""]
    if args.short_histories:
        lines += history_table(found, ratio)
    else:
        lines += choice_table(found, ratio)
        if carousels := carousel_table(found, ratio):
            lines += ["", "The model of `carousel = all` alone, its images and its posts judged:", "", *carousels]
    print("\n" + "\n".join(lines))
    marked_pages.fill(page, name, lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ipa_jax choices", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--records", type=Path, help="folder of the runs' records (default: OUT/records-choices)")
    parser.add_argument("--others", type=Path, nargs="*", default=[],
                        help="folders whose records of the same runs are taken")  # fmt: skip
    parser.add_argument("--page", type=Path, help="the page whose part the tables are (default: choices.md or "
                        "short_histories.md in OUT)")  # fmt: skip
    parser.add_argument("--only", type=lambda text: text.split(","), help="choices by their records' names, by comma")
    parser.add_argument("--short_histories", action="store_true", help="the runs of short histories instead")
    parser.add_argument("--seeds", type=whole_numbers, default=[0, 1], help="world and training seeds, by comma")
    parser.add_argument("--accounts", type=whole_number(1), default=240, help="of each demo world")
    parser.add_argument("--posts", type=whole_number(1), default=80, help="of each account")
    parser.add_argument("--size", default="demo", choices=["demo", "tiny"], help="of the models")
    parser.add_argument("--overwrite", action="store_true", help="make runs again whose records are of other runs")
    return parser


def main(argv: list[str] | None = None) -> int:
    from ipa_jax.experiments.commands import StageError

    argv = sys.argv[1:] if argv is None else argv
    args: Any = _parser().parse_args(argv)
    try:
        run(args, argv)
    except (StageError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
