"""Compares a model's scores with how willing people are to share a photo, on PARA (section 4.2.2, Figure 6).

    ipa-jax para --para PARA --export runs/full/export --data_dir DATA [--out para] [--seed 0]

PARA holds annotation/PARA-Images.csv and imgs/SESSION/IMAGE; its authors hand it out for research
(https://cv-datasets.institutecv.com). As in the paper, photos that few raters agree on are left out, then all between
the 10th and the 90th percentile. The memory bank holds 500 train images at random; an empty bank stands beside it,
which shows what retrieval adds. OUT/para.html is the page, OUT/figure6.png and .svg the figure, OUT/para.json the
numbers. Features of photos are kept beside PARA, so a second run is quick.
"""

import sys
from pathlib import Path

from third_party_ports import files
from third_party_ports.cli import DONE, WRONG_USE, Parser, command, fail, output_folder, whole_number


@command(resumes=True)
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("para", __doc__)
    parser.add_argument("--para", type=Path, required=True, help="the folder that holds annotation/ and imgs/")
    parser.add_argument("--export", type=Path, required=True, help="the export/ folder of a finished run")
    parser.add_argument("--data_dir", help="data set whose train images fill the bank (default: the export's)")
    parser.add_argument("--out", type=output_folder, default="para", help="folder to write (default: para)")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the extractors' weights")
    parser.add_argument("--bank", type=whole_number(1), default=500, help="train images in the bank (default: 500)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the bank's draw and the bootstrap")
    parser.add_argument("--skip_missing", action="store_true", help="leave photos out whose files are missing")
    parser.add_argument("--random_weights", action="store_true", help="for tests: extractors with random weights")
    args = parser.parse_args(argv)

    from absl import logging

    from ipa_jax.applications.para import job

    logging.set_verbosity("warning")
    for flag, path in (("--para", args.para), ("--export", args.export)):
        if not path.is_dir():
            return fail(f"{flag}: {path} is no folder", WRONG_USE)
    asked = job.Asked(
        args.para, args.export, args.data_dir, args.weights, args.bank, args.seed, args.skip_missing,
        args.random_weights,
    )  # fmt: skip
    try:
        with files.lock(args.out):
            job.run(asked, args.out)
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        return fail(error)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
