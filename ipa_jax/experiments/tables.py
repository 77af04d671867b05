"""Makes every row of Tables 1 and 2: trains, evaluates, and puts our figures next to the paper's.

    ipa-jax tables --out=runs/experiments --records=docs/runs/tables             three demo worlds, pooled
    ipa-jax tables --out=runs/data --data_dir=DATA --size=full --configs=full,basic --set init.swin=FILE ...

A finished run is never repeated: its record is used, also on a machine that has only the records. You can stop at any
time; the same command resumes. Writes tables.md, tables.csv and tables.html to --out, and the Markdown also to --page.
"""

import argparse
import ast
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from ipa_jax.experiments import flags
from third_party_ports.cli import command


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    parser = flags.parser("tables", __doc__, seeds=[0, 1, 2], sizes=["full", "demo", "tiny"], data_dir=True)
    flags.add_records(parser, "tables")
    flags.add_configs(parser, "rows, or other shipped configs (default: every row); full is always included")
    parser.add_argument("--set", type=_field, action="append", default=[], metavar="FIELD=VALUE",
                        help="set a config field in every run, as in --set init.swin=FILE")  # fmt: skip
    parser.add_argument("--weights", type=Path, help="folder of the peers' converted public weights")
    parser.add_argument("--trainings", type=Path, help="folder with records of the same rows and other training seeds "
                        "(ipa-jax choices --training_seeds); the claims are then judged by them too")  # fmt: skip
    parser.add_argument("--human", type=Path, help="file with what human-study score --json printed")
    return flags.exit_status(make, parser.parse_args(argv), flags.command_line("tables", argv))


def make(args: Namespace, command: str) -> None:
    """Makes the missing runs, then the pages. Raises ValueError, OSError before anything runs, and StageError."""
    from ipa_jax.experiments import reference_rows, table_files, table_page, table_rows, training_seeds
    from ipa_jax.experiments.study import FULL, NOT_ASKED, Study

    fields, data_dir = dict(args.set), args.data_dir
    if args.trainings and not args.trainings.is_dir():
        raise flags.UsageError(f"--trainings: no folder {args.trainings}; ipa-jax choices --training_seeds writes one")
    study = Study.for_args("tables", args)
    human = reference_rows.human_score(args.human, data_dir) if args.human else None
    if data_dir:
        table_rows.require_data(study, fields, data_dir)
    rows, reasons = table_rows.choose(args.configs, study, fields, data_dir)
    absent = reference_rows.absent_peers(args.weights)
    peers = [name for name in reference_rows.PEERS if name not in absent]

    every = {row.name: row for row in (*rows, *table_rows.TRAINED)}.values()
    started = [table_rows.own_weights(row, fields, args.size, args.weights) for row in every]
    runs = study.runs_of(started, fields)
    full = [run for run in runs if run.name == FULL]
    sources = [reference_rows.source_of(run, full) for run in full]

    def measure(run: Any, workdir: Path, data: Path) -> dict[str, Any]:
        if run in sources:
            reference_rows.baselines(run, study)  # now, while the model that finds the nearest photos exists
        return {}

    found, left = study.collect(runs, [row.name for row in rows], measure)
    found |= reference_rows.collect(full, study, args.weights, peers)
    missing = left | {name: why for name, why in reasons.items() if name in left and why != NOT_ASKED}
    missing |= {f"zero_shot_{name}": reason for name, reason in absent.items()}
    trainings = training_seeds.again(args.trainings, found) if args.trainings else {}
    listed = {row.name for row in table_rows.TRAINED}
    remarks = study.records / "remarks.md"
    document = table_page.document(
        table_page.Results(found, missing, full[0].resolved.data.pairs.min_ratio, trainings=trainings),
        command=command,
        title=f"Tables 1 and 2 on {data_dir.name if data_dir else 'the demo world'}",
        extra=[row.name for row in rows if row.name not in listed],
        human=human,
        remarks=remarks.read_text() if remarks.is_file() else "",
    )
    table_files.write(document, args.out, args.page)


def _field(text: str) -> tuple[str, Any]:
    """The type of --set: (name, value) of NAME=VALUE, the value as a Python literal if it is one."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value  # a word


if __name__ == "__main__":
    sys.exit(main())
