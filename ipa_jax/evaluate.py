"""Scores each image of a split once, then the metrics of section 4.1.2.

    python -m ipa_jax evaluate --export=runs/full/export --data_dir=DATA --split=test [--json]

--posts=mean adds the figures of posts, each scored as the set of its images (post_scores.py).
--export A B C scores with several exports, of whatever networks, as one ensemble: an image's z is the mean of theirs as
they are. Those of one loss have z of one scale; else the wider spread weighs more.
float32 at highest matmul precision: an image's score does not depend on batch size or device count (to 1e-5).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ipa_jax.training.scorer import Scorer, mean_scores, split_metrics
from third_party_ports.cli import Parser, fail, new_file, whole_number
from third_party_ports.files import replacing

if TYPE_CHECKING:
    import polars as pl
    from ml_collections import ConfigDict


def post_metrics(scores: "pl.DataFrame", validation: "pl.DataFrame", config: "ConfigDict", how: str) -> dict:
    """split_metrics of posts in the place of images, and "pooled": how (post_scores.POOLS)."""
    from ipa_jax.metrics.posts import pool_posts
    from ipa_jax.metrics.split_metrics import rescale_factor

    factor = rescale_factor(pool_posts(validation, how), config.data.pairs.min_ratio)
    return {"pooled": how} | split_metrics(pool_posts(scores, how), config, factor)


def _score(
    export: Path, args: argparse.Namespace, first: "ConfigDict | None"
) -> "tuple[dict[str, pl.DataFrame], ConfigDict]":
    """An export's scores: of validation, of the split, and "exact", of the split in float32; and the config under which
    they are judged: `first`, of the first export, unless this is it."""
    from data_builders.dataset import GroupDataset
    from ipa_jax.input import vocabularies
    from ipa_jax.training.export import load_export
    from ipa_jax.training.preflight import check_data

    variables, config, _ = load_export(export)
    with config.unlocked():
        config.data_dir = args.data_dir or (first or config).data_dir
        config.eval.images = args.images or config.eval.images
    check_data(config)
    tables = vocabularies.load(export, config)
    scorer = Scorer(config, args.dtype, tables)
    validation = scorer.scores(variables, GroupDataset(config.data_dir, "validation"))
    dataset = GroupDataset(config.data_dir, args.split)
    scores = exact = validation if args.split == "validation" else scorer.scores(variables, dataset)
    if args.dtype == "bfloat16":
        exact = Scorer(config, "float32", tables).scores(variables, dataset)
    return {"validation": validation, "split": scores, "exact": exact}, first or config


def _run(args: argparse.Namespace) -> int:
    from ipa_jax.metrics.split_metrics import paired_difference, rescale_factor

    members, config = [], None
    for export in args.export:
        found, config = _score(export, args, config)
        members.append(found)
    validation, scores, exact = (mean_scores([found[name] for found in members]) for name in members[0])
    ratio = config.data.pairs.min_ratio
    results = split_metrics(scores, config, rescale_factor(validation, ratio))
    if len(members) > 1:
        results["exports"] = [str(export) for export in args.export]
    if args.posts:
        results["posts"] = post_metrics(scores, validation, config, args.posts)
    if args.dtype == "bfloat16":  # what the precision costs, against float32 on the same images
        difference = paired_difference(scores, exact, ratio)
        results["bfloat16_minus_float32"] = {
            "accuracy": difference["accuracy"]["difference"],
            "largest_z": float((scores["z"] - exact["z"]).abs().max()),
        }
    if args.scores:
        with replacing(args.scores) as temporary:
            scores.write_parquet(temporary)
    if args.json:
        print(json.dumps(results))
        return 0
    _show(results, args.split, "images")
    if args.posts:
        _show(results["posts"], args.split, f"posts (z: {args.posts} of their images')")
    if found := results.get("bfloat16_minus_float32"):
        print(f"  bfloat16 against float32: accuracy {found['accuracy']:+.4f}, z by at most {found['largest_z']:.4f}")
    return 0


def _show(results: dict, split: str, items: str) -> None:
    low, high = results["accuracy_interval"]
    print(f"{split}: {results['images']} {items}, {results['groups']} groups, {results['pairs']} valid pairs")
    print(
        f"  pairwise accuracy {results['accuracy']:.4f} (95 % {low:.4f} to {high:.4f}, over {results['interval_over']})"
    )
    print(f"  PLCC {results['plcc']:.4f}   SRCC {results['srcc']:.4f}   Ratio MSE {results['ratio_mse']:.4f}")


def main(argv: list[str] | None = None) -> int:
    parser = Parser("evaluate", __doc__)
    parser.add_argument("--export", type=Path, required=True, nargs="+", action="extend", help="export/ folder of a "
                        "finished workdir; several are one ensemble")  # fmt: skip
    parser.add_argument("--data_dir", help="data set (default: the one that the run trained on)")
    parser.add_argument("--split", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="of the computation (default: the config's)")
    parser.add_argument("--images", type=whole_number(1), help="images a device scores at once; scores do not depend "
                        "on it")  # fmt: skip
    parser.add_argument("--posts", choices=["mean", "max", "first"], help="also score each post as the set of its "
                        "images: pool their z (data.posts.carousel = all)")  # fmt: skip
    parser.add_argument("--scores", type=new_file, help="write a row an image to this .parquet file")
    parser.add_argument("--json", action="store_true", help="print the metrics as one JSON object")
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except (ValueError, OSError) as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())
