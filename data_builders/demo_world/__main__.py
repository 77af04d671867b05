"""Writes a made-up influencer dataset. You know every term of its likes, so you can check what a model learns.

    ipa-jax demo-world --out=OUT [--accounts=240 --posts=80 --side=48 --seed=0] [--set taste=0.40 ...] [--plant=LEAK]

OUT/raw has the layout of the Instagram Influencer Dataset, with planted defects. OUT/features is a feature store with
the truth, made noisy: it stands in for networks whose weights cannot be shipped. OUT/truth.parquet has the terms of the
likes, and OUT/world.json says what was planted.
"""

import argparse
import sys
import time
from pathlib import Path

from data_builders.demo_world.parameters import describe, parse
from data_builders.demo_world.plants import PLANTS
from third_party_ports.cli import DONE, WRONG_USE, Parser, command, fail

MAX_DEPTH_SIDE = 128  # what configs/full.py stores
DEMO_DEPTH_SIDE = 48  # what configs/demo.py builds with


def _plants() -> str:
    return "\n".join(f"  {name:<18} {plant.kind}: {plant.text}" for name, plant in PLANTS.items())


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    more = f"leaks for --plant:\n{_plants()}\n\nsizes for --set:\n{describe()}"
    parser = Parser("demo-world", __doc__, epilog=more)
    parser.add_argument("--out", type=Path, help="the folder to write")
    parser.add_argument("--accounts", type=int, default=240, help="number of accounts (default: 240)")
    parser.add_argument(
        "--posts", type=int, default=80, help="good posts per account; posts with defects come on top (default: 80)"
    )
    parser.add_argument("--side", type=int, default=48, help="side of a photo in pixels (default: 48)")
    parser.add_argument(
        "--depth_side",
        type=int,
        help=f"side of a stored depth map in pixels (default: that of a photo, at most {MAX_DEPTH_SIDE})",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="change a size of the world; `--set help` lists them",
    )
    parser.add_argument("--plant", choices=PLANTS, metavar="LEAK", help="plant one of the leaks listed below")
    parser.add_argument(
        "--processes", type=int, help="processes that draw at a time (default: one per core); the result is the same"
    )
    args = parser.parse_args(argv)
    if "help" not in args.settings and args.out is None:
        parser.error("the following arguments are required: --out")
    return args


@command()
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = _arguments(argv)
    if "help" in args.settings:
        print(describe())
        return DONE
    try:
        parameters = parse(args.settings)
    except ValueError as error:
        return fail(error, WRONG_USE)

    from data_builders.demo_world.account import Arguments
    from data_builders.demo_world.write import WorldError, write_world

    depth_side = args.depth_side or min(args.side, MAX_DEPTH_SIDE)
    arguments = Arguments(args.accounts, args.posts, args.side, depth_side, args.seed, args.plant)
    start = time.monotonic()
    try:
        new = write_world(args.out, arguments, parameters, args.processes)
    except (WorldError, OSError) as error:
        return fail(error)
    done = f"written in {time.monotonic() - start:.0f} s" if new else "exists with these arguments: kept as it is"
    print(f"{args.out}: {done}")
    leaky = args.plant is not None and PLANTS[args.plant].build
    build = f"planted-build --plant={args.plant}" if leaky else "build"
    depth = "" if depth_side == DEMO_DEPTH_SIDE else f" --config.data.depth.side={depth_side}"
    paths = f"--raw={args.out}/raw --features={args.out}/features --data_dir=DATA"
    print(f"next: ipa-jax {build} --config=demo {paths}{depth}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
