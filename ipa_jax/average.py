"""Averages the parameters of several runs of one config into one export, a uniform soup of models.

    ipa-jax average --export runs/a/export runs/b/export runs/c/export --out runs/average
    ipa-jax evaluate --export runs/average --split test

It costs as much as one model to use; an ensemble (evaluate --export A B C) costs as much as all of them. The runs must
have the same config but for the seed, and the same data. An average works where the runs started from the same trained
weights (config.init.export): networks that started from different random weights have little in common, leaf by leaf.
Evaluate it beside its members before you use it.
"""

import sys
from pathlib import Path

from third_party_ports.cli import Parser, command, fail, output_folder


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("average", __doc__)
    parser.add_argument("--export", type=Path, required=True, nargs="+", action="extend",
                        help="the export/ folders of two or more finished runs")  # fmt: skip
    parser.add_argument("--out", type=output_folder, required=True, help="folder of the new export")
    args = parser.parse_args(argv)
    if len(args.export) < 2:
        parser.error("--export: give two exports or more")

    from ipa_jax.training.average_exports import average_exports

    try:
        average = average_exports(args.export, args.out)
    except (ValueError, OSError) as error:
        return fail(error)
    print(f"wrote {args.out}: the average of {len(args.export)} exports, seeds {', '.join(map(str, average.seeds))}")
    if average.note:
        print(f"note: {average.note}")
    print(f"next: ipa-jax evaluate --export {args.out} --data_dir {average.data_dir} --split test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
