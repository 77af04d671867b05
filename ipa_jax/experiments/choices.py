"""Measures what the paper leaves open: each row changes one field of configs/full.py, on demo worlds.

    ipa-jax choices --out=runs/experiments                      every choice
    ipa-jax choices --out=runs/experiments --short_histories    accuracy against the size of the memory bank
    ipa-jax choices --out=runs/experiments --training_seeds=0,1,2   four models, trained again on each world

A finished run is never repeated: its record is used. --others also takes records of the same runs from other tables.
You can stop at any time; the same command resumes.
"""

import sys
from argparse import Namespace
from pathlib import Path

from ipa_jax.experiments import flags
from third_party_ports.cli import command, whole_numbers


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = flags.parser("choices", __doc__, seeds=[0, 1])
    flags.add_records(parser, "choices")
    flags.add_only(parser)
    parser.add_argument("--others", type=Path, nargs="+", action="extend", default=[], metavar="FOLDER",
                        help="folders with the records of other tables")  # fmt: skip
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--short_histories", action="store_true", help="make the table of short histories instead")
    parts.add_argument("--training_seeds", type=whole_numbers, metavar="N,N,...",
                       help="make the table of several trainings on each world instead, with these seeds")  # fmt: skip
    return flags.exit_status(make, parser.parse_args(argv), flags.command_line("choices", argv))


def make(args: Namespace, command: str) -> None:
    """Makes the missing runs, then fills the page. Raises ValueError, OSError before anything runs, and StageError."""
    from configs import full
    from ipa_jax.experiments import choice_page, choice_rows, pages
    from ipa_jax.experiments.study import Study

    part, rows = "choices", choice_rows.CHOICES
    if args.short_histories:
        part, rows = "short histories", choice_rows.SHORT_HISTORIES
    elif args.training_seeds:
        part, rows = "training seeds", choice_rows.TRAINED_AGAIN
    known = [row.name for row in rows]
    if unknown := [name for name in args.only or () if name not in known]:
        raise flags.UsageError(f"--only: no row {', '.join(unknown)}; the rows are {', '.join(known)}")
    always = () if args.short_histories else (choice_rows.DEFAULT.name,)  # what all other rows are compared with
    page = args.page or args.out / f"{part.replace(' ', '_')}.md"
    pages.require(page, part)

    study = Study.for_args("choices", args)
    runs = study.runs_of(rows)
    if taken := study.take(runs, args.others):
        print(f"taken from {', '.join(map(str, args.others))}: {', '.join(taken)}")
    found, _ = study.collect(runs, {*always, *args.only} if args.only else None)
    ratio = full.get_config(args.size).data.pairs.min_ratio
    if args.short_histories:
        lines = choice_page.history_table(found, ratio)
    elif args.training_seeds:
        lines = choice_page.trainings_table(found, ratio)
    else:
        lines = choice_page.choice_table(found, ratio)
        if carousels := choice_page.carousel_table(found, ratio):
            lines += ["", "The model of `carousel = all` alone, judged by its images and by its posts:", "", *carousels]
    pages.fill(page, part, command, lines)


if __name__ == "__main__":
    sys.exit(main())
