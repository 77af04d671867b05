"""Looks for leaks in a data set, and in a run on it. The exit status is 1 if a line fails.

ipa-jax checklist --data_dir DATA [--workdir RUN] [--shuffled RUN RUN RUN] [--json]

The first eight lines are the types of leakage of Kapoor and Narayanan (Patterns 2023). Each line is decided by a
computation on the stored data.
"""

import json
import sys
from pathlib import Path

from third_party_ports.cli import WRONG_USE, Parser, command, fail


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("checklist", __doc__)
    parser.add_argument("--data_dir", required=True, type=Path, help="a data set that `ipa-jax build` wrote")
    parser.add_argument("--workdir", type=Path, help="a finished run on it, to check as well")
    parser.add_argument("--shuffled", type=Path, nargs="+", default=[], metavar="RUN",
                        help="three or more finished runs of the same config with data.shuffle_likes, each with a seed "
                        "of its own")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of the table")
    args = parser.parse_args(argv)

    from ipa_jax.leakage import checklist

    try:
        lines = checklist.make(args.data_dir, args.workdir, args.shuffled)
    except (ValueError, OSError) as error:
        return fail(error, WRONG_USE)
    if args.json:
        print(json.dumps(checklist.as_json(lines)))
    else:
        run = f" and {args.workdir}" if args.workdir else ""
        checklist.show(lines, f"Leakage checklist of {args.data_dir}{run}")
    return int(checklist.failed(lines))


if __name__ == "__main__":
    sys.exit(main())
