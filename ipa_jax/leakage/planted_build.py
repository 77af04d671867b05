"""Builds a data set with a leak in it, to test the checklist and to measure what a leak is worth in accuracy.

ipa-jax planted-build --plant own_group --config demo --raw RAW --features STORE --data_dir DATA

The other flags are those of `ipa-jax build`. The leak replaces one or two steps of the build. The data set looks like
any other, except that PLANTED.txt beside its shards says what was done.
"""

import sys
from pathlib import Path

from data_builders.build import build_parser, run
from data_builders.demo_world.plants import PLANTS
from third_party_ports.cli import DONE, command, fail

LEAKS = tuple(name for name, plant in PLANTS.items() if plant.build)


def mark(folder: Path, name: str) -> None:
    """Writes PLANTED.txt into a data set's folder."""
    plant = PLANTS[name]
    (folder / "PLANTED.txt").write_text(f"A planted leak, {plant.kind}: {plant.text}. For measuring alone.\n")


@command()
def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = build_parser("planted-build", __doc__)
    parser.add_argument("--plant", choices=LEAKS, required=True, help="the leak (ipa-jax demo-world --help lists them)")
    args = parser.parse_args(argv)
    if args.beam_pipeline_options:
        parser.error("--beam_pipeline_options: a leak can only be planted in one process; leave the flag out")

    from data_builders.dataset import version_folder
    from ipa_jax.leakage import leaks

    try:
        leaks.require_fields(args.plant, args.config.data.to_dict())  # before any image is read
    except ValueError as error:
        return fail(error)
    status = run(args, leaks.STEPS[args.plant]())
    if status == DONE:
        mark(version_folder(args.data_dir), args.plant)
    return status


if __name__ == "__main__":
    sys.exit(main())
