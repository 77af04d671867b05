"""Four protocols side by side, or what planted leaks are worth in accuracy, on demo worlds.

    ipa-jax protocols --out=runs/experiments            the table of protocols
    ipa-jax protocols --out=runs/experiments --plants   the table of leaks: one run per planted leak

A finished run is never repeated: its record is used, also on a machine that has only the records. You can stop at any
time; the same command resumes.
"""

import sys
from argparse import Namespace

from ipa_jax.experiments import flags
from third_party_ports.cli import command


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = flags.parser("protocols", __doc__, seeds=[0, 1])
    flags.add_records(parser, "protocols")
    flags.add_only(parser)
    parser.add_argument("--plants", action="store_true", help="make the table of leaks instead")
    return flags.exit_status(make, parser.parse_args(argv), flags.command_line("protocols", argv))


def make(args: Namespace, command: str) -> None:
    """Makes the missing runs, then fills the page. Raises ValueError, OSError before anything runs, and StageError."""
    from configs import full
    from ipa_jax.experiments import pages, protocol_page, protocol_rows
    from ipa_jax.experiments.study import Study

    part = "leaks" if args.plants else "protocols"
    asked = protocol_rows.needed(args.only, plants=args.plants) if args.only else None
    page = args.page or args.out / f"{part}.md"
    pages.require(page, part)

    study = Study.for_args("protocols", args)
    runs = protocol_rows.leak_runs(study) if args.plants else study.runs_of(protocol_rows.PROTOCOLS)
    found, _ = study.collect(runs, asked, protocol_rows.measure)
    config = full.get_config(args.size)
    limits = protocol_page.Limits(config.data.duplicates.max_bits, config.eval.duplicate_cosine)
    ratio = config.data.pairs.min_ratio
    if args.plants:
        lines = protocol_page.leak_table(found, limits, ratio)
    else:
        lines = protocol_page.protocol_table(protocol_page.protocol_scores(found, limits, ratio), limits, ratio)
    pages.fill(page, part, command, protocol_page.lead(study) + lines)


if __name__ == "__main__":
    sys.exit(main())
