"""Scores each image of a split with an exported model, then computes the metrics of section 4.1.2.

    ipa-jax evaluate --export runs/full/export [--data_dir DATA] [--split test] [--posts mean] [--scores FILE] [--json]

Several exports score as an ensemble, of whatever networks: an image's z is the mean of theirs, as they are. Networks of
one loss have z of one scale; of different losses, the network whose z varies most weighs most.
By default the computation is float32 at the highest matmul precision: an image's score depends neither on the batch nor
on the number of devices (to 1e-5).
"""

import json
import sys
from pathlib import Path

from third_party_ports.cli import Parser, add_verify, command, fail, new_parquet, whole_number


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = Parser("evaluate", __doc__)
    parser.add_argument("--export", type=Path, required=True, nargs="+", action="extend",
                        help="the export/ folder of a finished run; give several for an ensemble")  # fmt: skip
    parser.add_argument("--data_dir", help="data set (default: the one that the run was trained on)")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="dtype of the computation (default: the "
                        "config's)")  # fmt: skip
    parser.add_argument("--images", type=whole_number(1), help="images that a device scores at once; scores do not "
                        "depend on it")  # fmt: skip
    parser.add_argument("--posts", choices=["mean", "max", "first"], help="also evaluate posts in place of images: "
                        "pool the z of their images this way (for data.posts.carousel = all)")  # fmt: skip
    parser.add_argument("--scores", type=new_parquet, help=".parquet file to write, with a row per image")
    add_verify(parser)
    parser.add_argument("--json", action="store_true", help="print the metrics as one JSON object")
    args = parser.parse_args(argv)

    from ipa_jax.metrics import score_files
    from ipa_jax.training.export_scores import figures, lines, score_exports

    try:
        scores = score_exports(
            args.export, args.split, data_dir=args.data_dir, dtype=args.dtype, images=args.images,
            pooled=args.posts is not None, verify=args.verify,
        )  # fmt: skip
        results = figures(scores, args.posts)
        if len(args.export) > 1:
            results["exports"] = [str(export) for export in args.export]
        if args.scores:
            score_files.save(scores.split, args.scores)
    except (ValueError, OSError, FloatingPointError) as error:
        return fail(error)
    print(json.dumps(results) if args.json else "\n".join(lines(results, args.split)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
