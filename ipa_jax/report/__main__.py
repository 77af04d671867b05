"""report.html of one or more runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ipa_jax.report.page import write_report
from ipa_jax.report.runs import parse_workdirs
from third_party_ports.cli import new_file


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ipa_jax report", description=__doc__.split("\n")[0])
    parser.add_argument("--workdirs", required=True, help="[NAME=]WORKDIR,...: runs on one data set, leading one first")
    parser.add_argument("--data_dir", required=True, type=Path, help="the data set that the runs were trained on")
    parser.add_argument("--yardsticks", type=Path, help="JSON: bayes, universal_only, ... -> test accuracy")
    parser.add_argument("--checklist", type=Path, help="JSON of python -m ipa_jax checklist --json")
    parser.add_argument("--out", type=new_file, help="default: report.html in the leading run's folder")
    args = parser.parse_args(argv)
    yardsticks = None
    try:
        if args.yardsticks:
            yardsticks = json.loads(args.yardsticks.read_text())
            yardsticks = yardsticks.get("yardsticks", yardsticks)  # a demo's results.json does as well
        runs = parse_workdirs(args.workdirs)
        out = args.out or next(iter(runs.values()), Path()) / "report.html"
        checklist = json.loads(args.checklist.read_text()) if args.checklist else ()
        write_report(out, runs, args.data_dir, yardsticks, checklist)
    except (OSError, ValueError, KeyError) as error:
        print(f"report: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 1
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
