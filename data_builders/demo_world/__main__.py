"""python -m ipa_jax demo-world --out OUT --accounts 240 --posts 80 --side 48 --seed 0 [--set taste=0.40 ...]"""

import argparse
import sys
import time
from pathlib import Path

from data_builders.demo_world.parameters import describe, parse
from data_builders.demo_world.plants import PLANTS
from third_party_ports.cli import Parser

MAX_DEPTH_SIDE = 128  # what configs/full.py stores


def _plants() -> str:
    return "\n".join(f"  {name:<18} {plant.kind}: {plant.text}" for name, plant in PLANTS.items())


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "demo-world",
        "Writes a made-up influencer dataset whose likes are known to the last term: OUT/raw (the "
        "dataset's own layout, its defects planted), OUT/features (the truth with noise, in the place of extractors "
        "whose weights cannot be shipped), OUT/truth.parquet, OUT/world.json.",
        epilog="leaks for --plant:\n" + _plants() + "\n\nsizes for --set:\n" + describe(),
    )
    parser.add_argument("--out", type=Path, help="the folder to write")
    parser.add_argument("--accounts", type=int, default=240)
    parser.add_argument("--posts", type=int, default=80, help="good posts an account; planted ones come on top")
    parser.add_argument("--side", type=int, default=48, help="pixels of a photo's side")
    parser.add_argument(
        "--depth_side",
        type=int,
        help=f"pixels of a stored depth map's side; that of the photo, at most {MAX_DEPTH_SIDE}, when not given",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="changes a size of the world; `--set help` lists them",
    )
    parser.add_argument("--plant", choices=PLANTS, metavar="LEAK", help="plants one of the leaks listed below")
    parser.add_argument("--processes", type=int, help="drawing at a time; all cores when not given. Changes no byte")
    args = parser.parse_args(argv)
    if "help" not in args.settings and args.out is None:
        parser.error("the following arguments are required: --out")
    return args


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    if "help" in args.settings:
        print(describe())
        return 0
    try:
        parameters = parse(args.settings)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from data_builders.demo_world.account import Arguments
    from data_builders.demo_world.write import WorldError, write_world

    depth_side = args.depth_side or min(args.side, MAX_DEPTH_SIDE)
    arguments = Arguments(args.accounts, args.posts, args.side, depth_side, args.seed, args.plant)
    start = time.monotonic()
    try:
        new = write_world(args.out, arguments, parameters, args.processes)
    except (WorldError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    done = f"written in {time.monotonic() - start:.0f} s" if new else "complete already, kept as it is"
    print(f"{args.out}: {done}")
    leaky = args.plant is not None and PLANTS[args.plant].build
    build = f"planted-build --plant={args.plant}" if leaky else "build"
    print(
        f"next: python -m ipa_jax {build} --config=configs/demo.py --raw={args.out}/raw "
        f"--features={args.out}/features --data_dir=DATA"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
