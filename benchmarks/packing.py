"""Counts image forwards per valid pair for both ways of batching, and how full the packs are.

Run: python -m benchmarks.packing [--data_dir DATA] [--split train] [--slots 32 48] [--short]

By pairs (the paper), a valid pair costs two image forwards. By groups, every image is scored once per epoch. Empty
slots are computed too: "computed per pair" counts them.
"""

import argparse
from pathlib import Path

IMAGES, GROUPS, PAIRS = 569_151, 115_496, 521_195  # of the paper's training split (section 4.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir", type=Path, help="a data set that `ipa-jax build` wrote; the paper's counts alone without it"
    )
    parser.add_argument("--split", default="train", choices=["train", "validation", "test"])
    parser.add_argument("--slots", type=int, nargs="+", default=[32, 48], help="images per pack, by groups")
    parser.add_argument("--short", action="store_true", help="the same: it takes seconds")
    args = parser.parse_args()

    from rich.console import Console

    console = Console()
    if args.data_dir is not None:
        console.print(_table(f"{args.data_dir}, {args.split}", _index(args.data_dir, args.split), args.slots))
    console.print(_table("The paper's counts, with random group sizes of its mean", _paper_like(), args.slots))
    ratio = 2 * PAIRS / IMAGES
    console.print(f"The paper's counts: {PAIRS:,} pairs of 2 images against {IMAGES:,} images: {ratio:.2f}x.")


def _table(title: str, index, slots: list[int]):
    from ml_collections import ConfigDict
    from rich.table import Table

    from ipa_jax.input import packing

    columns = ["batch.by", "slots", "images", "valid pairs", "forwards per pair", "computed per pair", "slots used"]
    table = Table(*columns, title=title)
    for by, size in [("pairs", 2), *(("groups", size) for size in slots)]:
        batch = ConfigDict({"by": by, "pairs": 12, "slots": size, "packs": 1})
        plan = packing.train_plan(index, batch, seed=0)
        forwards, used = packing.images_per_epoch(plan) / len(index.pairs), packing.efficiency(plan)
        counts = [f"{int(index.first[-1]):,}", f"{len(index.pairs):,}"]
        table.add_row(by, str(size), *counts, f"{forwards:.3f}", f"{forwards / used:.3f}", f"{100 * used:.1f} %")
    return table


def _index(data_dir: Path, split: str):
    from data_builders.dataset import GroupDataset
    from ipa_jax.input import packing

    dataset = GroupDataset(data_dir, split)
    columns = (dataset.images[name].to_numpy() for name in ("record", "likes", "weight"))
    return packing.group_index(*columns, dataset.options["pairs"]["min_ratio"])


def _paper_like():
    """Draws groups of 2 to 30 images: the paper's number of groups and pairs, and its 4.93 images per group."""
    import numpy as np

    from ipa_jax.input import packing

    sizes = np.clip(1 + np.random.default_rng(0).geometric(GROUPS / (IMAGES - GROUPS), GROUPS), 2, 30)
    first = np.concatenate([[0], np.cumsum(sizes)])
    # Packing does not care which pairs are valid, so each pair is the first two images of a group.
    pairs = np.resize(np.stack([first[:-1], first[:-1] + 1], axis=1), (PAIRS, 2))
    return packing.GroupIndex(first, pairs.astype(np.int32), np.ones(PAIRS))


if __name__ == "__main__":
    main()
