"""Builds the data set `top3000` from raw posts and a feature store.

    python -m ipa_jax build --config=configs/full.py --raw=RAW --features=STORE --data_dir=DATA
        [--config.data.memory.exclude=post ...] [--overwrite] [--beam_pipeline_options=runner=FnApiRunner]

RAW is a folder in the layout of the Instagram Influencer Dataset, a folder with posts.csv, or a .csv file. The data set
appears as DATA/top3000/1.1.0 when it is complete. One that is there already with the same choices is kept.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_builders.cli import ConfigParser
from third_party_ports.cli import fail, words

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def build(
    config: "ConfigDict",
    raw: Path,
    features: Path,
    data_dir: Path,
    *,
    overwrite: bool = False,
    beam_pipeline_options: list[str] | None = None,
) -> Path:
    """Builds, prints the report and returns the folder of the data set; see the module.

    Raises:
      ValueError: a data set of other choices or sources is there and `overwrite` is off; names the fields.
      Others as data_builders.top3000.prepare.
    """
    import tensorflow_datasets as tfds
    from rich.console import Console

    from data_builders import options
    from data_builders.dataset import version_folder
    from data_builders.top3000 import build_report
    from data_builders.top3000.top3000_dataset_builder import Builder

    console, wanted = Console(), config.data.to_dict()
    options.check(wanted)
    there = version_folder(data_dir, missing_ok=True)
    if there is not None and not overwrite:
        options.require_equal(
            stored_options(there), wanted, str(there), "Build with --overwrite, or into another --data_dir."
        )
        _require_same_source(there, raw, features)
        console.print(f"{there} is there already, with these choices: kept (--overwrite builds it again)")
        return there
    tfds.disable_progress_bar()  # the builder has its own, which knows how many groups there will be
    staging = data_dir / ".top3000.building"  # an existing data set stays until the new one is complete
    shutil.rmtree(staging, ignore_errors=True)
    try:
        builder = Builder(
            options=wanted, raw=raw, features=features, data_dir=staging, beam=bool(beam_pipeline_options)
        )
        builder.download_and_prepare(download_config=_download_config(beam_pipeline_options))
        built = Path(builder.data_path)
        folder = data_dir / built.relative_to(staging)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        built.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    build_report.show(builder.report, console)
    console.print(f"wrote {folder}")
    return folder


def _require_same_source(folder: Path, raw: Path, features: Path) -> None:
    """Raises ValueError where the data set was built from other folders than these."""
    from data_builders.dataset import read_metadata

    for flag, here in (("raw", raw), ("features", features)):
        stored = read_metadata(folder)["source"][flag]
        if stored != str(here.resolve()):
            raise ValueError(f"{folder} was built from --{flag}={stored}: build with --overwrite, or elsewhere")


def stored_options(folder: Path) -> dict[str, Any]:
    """The choices that a data set was built with."""
    from data_builders.dataset import read_metadata

    return read_metadata(folder)["choices"]


def _download_config(beam_pipeline_options: list[str] | None) -> Any:
    import tensorflow_datasets as tfds

    if not beam_pipeline_options:
        return tfds.download.DownloadConfig()
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise ValueError(f"--beam_pipeline_options: {error}; install ipa-jax with the extra `beam`") from error
    options = PipelineOptions([f"--{option}" for option in beam_pipeline_options])
    return tfds.download.DownloadConfig(beam_options=options)


def build_parser(name: str, doc: str | None) -> ConfigParser:
    """The flags of a build."""
    parser = ConfigParser(name, doc, acts="; config.data acts here")
    parser.add_argument("--raw", type=Path, required=True, help="raw posts: a folder or a .csv file")
    parser.add_argument("--features", type=Path, required=True, help="feature store of their images")
    parser.add_argument("--data_dir", type=Path, required=True, help="where to put the data set")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that exists")
    parser.add_argument("--beam_pipeline_options", type=words, help="build through Apache Beam (extra beam), as "
                        "runner=FnApiRunner or runner=DataflowRunner,project=...")  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Builds as the flags say; returns the exit status."""
    from absl import logging

    from data_builders.posts.post import RawDataError

    logging.set_verbosity("warning")  # TFDS tells each file it writes
    try:
        build(
            args.config,
            args.raw,
            args.features,
            args.data_dir,
            overwrite=args.overwrite,
            beam_pipeline_options=args.beam_pipeline_options,
        )
    except (RawDataError, OSError, ValueError) as error:
        return fail(error)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(build_parser("build", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
