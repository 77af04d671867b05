"""report.html of one or more runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ipa_jax.report.page import write_report
from ipa_jax.report.runs import parse_workdirs
from third_party_ports.cli import Parser, fail, new_file


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser("report", __doc__)
    parser.add_argument("--workdir", required=True, nargs="+", action="extend", metavar="[NAME=]WORKDIR",
                        help="runs on one data set; the first one leads")  # fmt: skip
    parser.add_argument("--data_dir", required=True, type=Path, help="the data set that the runs were trained on")
    parser.add_argument("--baselines", type=Path, help="JSON: bayes, universal_only, ... -> test accuracy")
    parser.add_argument("--checklist", type=Path, help="JSON of ipa-jax checklist --json")
    parser.add_argument("--out", type=new_file, help="default: report.html in the leading run's folder")
    args = parser.parse_args(argv)
    yardsticks = None
    try:
        if args.baselines:
            yardsticks = json.loads(args.baselines.read_text())
            yardsticks = yardsticks.get("yardsticks", yardsticks)  # a demo's results.json does as well
        runs = parse_workdirs(args.workdir)
        out = args.out or next(iter(runs.values()), Path()) / "report.html"
        checklist = json.loads(args.checklist.read_text()) if args.checklist else ()
        write_report(out, runs, args.data_dir, yardsticks, checklist)
    except (OSError, ValueError, KeyError) as error:
        return fail(error.args[0] if isinstance(error, KeyError) else error)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
