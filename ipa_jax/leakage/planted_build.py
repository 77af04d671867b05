"""Builds a data set with a leak in it: what the checklist must catch, and what a leak is worth in accuracy.

    ipa-jax planted-build --plant=own_group --config=demo --raw=RAW --features=STORE --data_dir=DATA

The other flags are those of `ipa-jax build`, and so is all of the work: each leak replaces a step or two of the build.
The data set keeps its form; PLANTED.txt beside its shards says what was done.
"""

import sys
from pathlib import Path

from data_builders.build import build_parser, run
from data_builders.demo_world.plants import PLANTS
from third_party_ports.cli import DONE, fail

LEAKS = tuple(name for name, plant in PLANTS.items() if plant.build)


def mark(folder: Path, name: str) -> None:
    """Leaves PLANTED.txt in a data set's folder."""
    plant = PLANTS[name]
    (folder / "PLANTED.txt").write_text(f"A planted leak, {plant.kind}: {plant.text}. For measuring alone.\n")


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = build_parser("planted-build", __doc__)
    parser.add_argument("--plant", choices=LEAKS, required=True, help="the leak (ipa-jax demo-world --help lists them)")
    args = parser.parse_args(argv)
    if args.beam_pipeline_options:
        parser.error("a leak is planted in one process: leave out --beam_pipeline_options")

    from data_builders.dataset import version_folder
    from ipa_jax.leakage import leaks

    try:
        leaks.require_fields(args.plant, args.config.data.to_dict())  # before the images are read
    except ValueError as error:
        return fail(error)
    status = run(args, leaks.STEPS[args.plant]())
    if status == DONE:
        mark(version_folder(args.data_dir), args.plant)
    return status


if __name__ == "__main__":
    sys.exit(main())
