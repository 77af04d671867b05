"""Draws the paper's figures from a finished run, as PNG and SVG for slides and papers.

    ipa-jax figures --workdir runs/full [--data_dir DATA] [--split test] [--only 1,4,5] [--out FOLDER]

Figure 1: pairs of photos of one account with their likes and scores. Figure 4: photos with the most similar ones of the
account's memory bank, similarities S and local scores. Figure 5: the histogram of scores. Pairs and queries are drawn
at random; another --seed draws others. The same run gives the same bytes. No names of accounts stand in the figures:
FOLDER/figures.json says which photos they are. Ask who is in a photo before you show it, and keep to the terms of your
data.
"""

import sys
from pathlib import Path

from third_party_ports import files
from third_party_ports.cli import DONE, Parser, command, fail, output_folder, whole_number, whole_numbers


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("figures", __doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="the folder of a finished run")
    parser.add_argument("--data_dir", help="the run's data set (default: where it was trained)")
    parser.add_argument("--out", type=output_folder, help="folder to write (default: WORKDIR/figures)")
    parser.add_argument("--split", default="test", choices=["validation", "test"])
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the pairs and queries (default: 0)")
    parser.add_argument("--only", type=whole_numbers, default=[1, 4, 5], help="which figures (default: 1,4,5)")
    args = parser.parse_args(argv)
    if unknown := sorted({*args.only} - {1, 4, 5}):
        parser.error(f"--only: there is no figure {unknown[0]} of a run; the figures are 1, 4 and 5")

    from ipa_jax.report.paper_figures import write_figures

    try:
        if not args.workdir.is_dir():
            raise FileNotFoundError(f"--workdir: {args.workdir} is no folder: name the workdir of a finished run")
        out = args.out or output_folder(str(args.workdir / "figures"))
        with files.lock(out):
            written = write_figures(
                args.workdir, out, data_dir=args.data_dir, split=args.split, seed=args.seed, only=args.only
            )
    except (OSError, ValueError) as error:
        return fail(error)
    print("\n".join(map(str, written)))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
