"""Builds the data set top3000 from raw posts and a feature store.

    ipa-jax build --config=full --raw=RAW --features=STORE --data_dir=DATA
        [--config.data.memory.exclude=post ...] [--overwrite] [--beam_pipeline_options=runner=FnApiRunner]

RAW is a folder or a list of posts in one of the layouts that docs/data.md describes: posts.csv, Instaloader's folders,
Instagram's export, FlickrUser, the Instagram Influencer Dataset, ... The data set appears as DATA/top3000/VERSION when
it is complete. A data set that exists with the same options and sources is kept.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from data_builders.cli import ConfigParser
from third_party_ports.cli import DONE, command, fail, words

if TYPE_CHECKING:
    from data_builders.top3000.steps import Steps


def build_parser(name: str, doc: str | None) -> ConfigParser:
    """The parser of a command that builds a data set."""
    parser = ConfigParser(name, doc, acts="; config.data acts here")
    parser.add_argument("--raw", type=Path, required=True, help="raw posts: a folder or a list, as docs/data.md says")
    parser.add_argument("--features", type=Path, required=True, help="the feature store of their images")
    parser.add_argument("--data_dir", type=Path, required=True, help="where to put the data set")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that exists")
    parser.add_argument("--beam_pipeline_options", type=words, help="build through Apache Beam (extra beam), as "
                        "runner=FnApiRunner or runner=DataflowRunner,project=...")  # fmt: skip
    return parser


def run(args: argparse.Namespace, steps: "Steps | None" = None) -> int:
    """Builds as the flags say, with other steps than the paper's where `steps` is given; returns the exit status."""
    from absl import logging

    from data_builders.top3000.build import build
    from data_builders.top3000.steps import PAPER

    logging.set_verbosity("warning")  # TFDS logs each file that it writes
    try:
        build(
            args.config.data.to_dict(),
            args.raw,
            args.features,
            args.data_dir,
            overwrite=args.overwrite,
            beam_pipeline_options=args.beam_pipeline_options,
            steps=steps or PAPER,
        )
    except (OSError, ValueError) as error:  # RawDataError and PhotoError are ValueErrors
        return fail(error)
    return DONE


@command()
def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(build_parser("build", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
