"""Writes report.html: one self-contained page about one or more finished runs.

python -m ipa_jax report --workdir runs/full runs/basic --data_dir DATA [--baselines FILE] [--checklist FILE]
"""

import sys
from pathlib import Path

from third_party_ports.cli import Parser, command, fail, new_file


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("report", __doc__)
    parser.add_argument("--workdir", required=True, nargs="+", action="extend", metavar="[NAME=]WORKDIR",
                        help="finished runs on one data set; the first one leads the page")  # fmt: skip
    parser.add_argument("--data_dir", required=True, type=Path, help="the data set that the runs were trained on")
    parser.add_argument("--baselines", type=Path, help="JSON file of `ipa-jax baselines --json`, or a demo's results")
    parser.add_argument("--checklist", type=Path, help="JSON file of `ipa-jax checklist --json`")
    parser.add_argument("--out", type=new_file, help="file to write (default: report.html in the leading run's folder)")
    args = parser.parse_args(argv)

    from ipa_jax.report.page import write_report
    from ipa_jax.report.runs import parse_workdirs, read_baselines, read_checklist

    try:
        runs = parse_workdirs(args.workdir)
        out = args.out or next(iter(runs.values())) / "report.html"
        baselines = read_baselines(args.baselines) if args.baselines else {}
        checklist = read_checklist(args.checklist) if args.checklist else ()
        write_report(out, runs, args.data_dir, baselines, checklist)
    except (OSError, ValueError) as error:
        return fail(error)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
