"""Pairs that a core reads in a second for training (batch.by=pairs), beside the two images alone.

Run: python -m benchmarks.pair_reading [--data_dir DATA] [--pairs 200] [--short]

Without --data_dir it draws two worlds of 256 px photos and depth maps of 128 px, as in the paper's data: one whose
accounts post every other day, one whose groups have up to 30 images. In turns, CPU time of one thread:

  pair      what a reading process does: one pack with all that configs/full.py reads
  images    the two photos decoded and their depth maps unpacked, from bytes in memory
  group     as `pair`, with the depth maps of the whole group unpacked, as before version 1.2.0 of the data set
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ACCOUNTS, SIDE, DEPTH_SIDE = 8, 256, 128
WORLDS = {"a post every other day": 0.46, "three posts a day": 3.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, help="a data set that `ipa-jax build` wrote (default: two drawn ones)")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of a turn (default 200)")
    parser.add_argument("--turns", type=int, default=7, help="turns (default 7)")
    parser.add_argument("--posts", type=int, default=60, help="of an account of a drawn world (default 60)")
    parser.add_argument("--short", action="store_true", help="20 posts, 30 pairs, 2 turns")
    args = parser.parse_args()
    if args.short:
        args.posts, args.pairs, args.turns = 20, 30, 2
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

    from benchmarks.timing import machine
    from benchmarks.worlds import drawn

    print(machine())
    if args.data_dir is not None:
        measure(str(args.data_dir), args.data_dir, args.pairs, args.turns)
        return
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, rate) in enumerate(WORLDS.items()):
            data_dir = drawn(Path(folder) / str(number), ACCOUNTS, args.posts, SIDE, DEPTH_SIDE, rate)
            measure(name, data_dir, args.pairs, args.turns)


def measure(name: str, data_dir: Path, pairs: int, turns: int) -> None:
    """Prints the figures of one data set."""
    import numpy as np

    from benchmarks.timing import in_turns, spread
    from configs import full
    from data_builders.dataset import GroupDataset
    from ipa_jax.input import batches, fields, packing, photos

    config, dataset = full.get_config(), GroupDataset(data_dir, "train")
    config.data.depth.side = dataset.options["depth"]["side"]
    plan = batches.train_plan(dataset, config)
    drawn = packing.epoch_rows(plan, 0)
    packs = [batches.Pack(drawn[step % len(drawn)], step, 0) for step in range(pairs)]
    load = batches.LoadPack(
        dataset, fields.make(dataset, config, train=True, depth_vectors=None, vocabularies=batches.NONE)
    )
    whole = batches.LoadPack(_Whole(dataset), load.parts)
    examples = [_Example(dataset[int(load.record[pack.rows[0]])], load.position[pack.rows]) for pack in packs]

    def images() -> None:
        for example in examples:
            for position in example.positions.tolist():
                photos.decode(example.group["images"][position], config.input.resize)
            example.group["depth"][example.positions]

    seconds = in_turns(
        {
            "pair": lambda turn: [load.map(pack) for pack in packs],
            "images": lambda turn: images(),
            "group": lambda turn: [whole.map(pack) for pack in packs],
        },
        turns,
    )
    sizes = [len(example.group["likes"]) for example in examples]
    weight = np.mean([sum(map(len, example.group["images"])) / len(example.group["likes"]) for example in examples])
    print(f"{name}: groups of {np.mean(sizes):.1f} images, by pairs; photos of {weight / 1e3:.0f} KB; CPU ms per pair")
    for what, values in seconds.items():
        middle = sorted(values)[len(values) // 2]
        print(f"  {what:7} {spread(values, 1e3 / pairs, digits=2)}, {pairs / middle:.0f} per second and core")


class _Example(NamedTuple):
    group: dict[str, Any]
    positions: Any  # int [2]


class _Whole:
    """A split whose groups have all of their depth maps unpacked."""

    def __init__(self, dataset: Any):
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def get(self, records: list[int]) -> list[dict[str, Any]]:
        return [group | {"depth": group["depth"][:]} for group in self._dataset.get(records)]


if __name__ == "__main__":
    main()
