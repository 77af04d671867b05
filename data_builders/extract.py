"""Runs the frozen extractors over the images of raw posts, into a feature store.

    python -m ipa_jax extract --raw=RAW --out=FEATURES [--config=configs/full.py] [--config.extract.batch=2 ...]
        [--extractors=pose,background,caption,depth] [--random_weights] [--beam_pipeline_options=runner=FnApiRunner]

RAW is what data_builders.build takes: a folder in the Instagram layout, a folder with posts.csv, or a .csv file. The
official weights lie in the folder config.extract.weights (third_party_ports/README.md says how they get there). The
same command goes on where a killed one stopped. By default the parts are those that config.data needs: a part of
similarity weight 0 is not computed.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_builders.cli import ConfigParser
from third_party_ports.cli import fail, words

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from data_builders.features.job import Report


def extract(
    config: "ConfigDict",
    raw: Path,
    out: Path,
    *,
    parts: Sequence[str] | None = None,
    random_weights: bool = False,
    beam_pipeline_options: Sequence[str] | None = None,
) -> "Report":
    """Extracts what the store lacks, and writes extract_report.json beside its shards.

    Raises:
      RawDataError: nothing to read.
      ValueError: an unknown part, a choice out of its range, missing weights (naming the command that gets each), a
        store with another header.
    """
    from data_builders.extract_choices import check
    from data_builders.features import beam
    from data_builders.features import job as extract_job
    from data_builders.features.frozen_network import require_weights
    from data_builders.posts.read import read_posts

    check(config.extract.to_dict())
    options = config.extract.to_dict() | {"keypoint_threshold": config.data.pose.keypoint_threshold}
    parts = _parts(config, parts)
    if not random_weights:
        require_weights(parts, options)
    table, skips = read_posts(raw, config.data.to_dict())
    for warning in skips.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    images = table.select("account", "image_ids", "image_paths").explode("image_ids", "image_paths")
    images = [extract_job.Image(*row) for row in images.iter_rows()]
    job = extract_job.Job(
        root=str(raw.parent if raw.is_file() else raw),
        options=json.dumps(options),
        parts=parts,
        depth_side=config.data.depth.side if "depth" in parts else 0,
        random_weights=random_weights,
    )
    if beam_pipeline_options:
        report = beam.extract(job, images, out, beam_pipeline_options)
    else:
        report = extract_job.run(job, images, out)
    report.posts = {reason: count for reason, count in skips.counts.items() if count}
    extract_job.write_report(report, out)
    return report


def _parts(config: "ConfigDict", given: Sequence[str] | None) -> tuple[str, ...]:
    """The parts of the store, in its order. Raises ValueError for an unknown one, or where none is left."""
    from data_builders.features.rows import PARTS

    if given is None:
        wanted = {part for part, weight in config.data.similarity.items() if weight > 0}
        given = wanted | ({"depth"} if config.data.depth.side else set())
    unknown = sorted(set(given) - set(PARTS))
    if unknown or not given:
        raise ValueError(f"--extractors: {', '.join(unknown) or 'nothing'} is no part; parts are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in given)


def show(report: "Report", out: Path) -> None:
    """Says on screen what was done."""
    print(f"wrote {report.written} images to {out} ({report.already} were there already)")
    for reason, count in report.skipped.most_common():
        print(f"  left out, {reason}: {count} (such as {report.examples[reason][0]})")
    for reason, count in report.posts.items():
        print(f"  not looked at, {reason}: {count} records of the raw data")


def main(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = ConfigParser("extract", __doc__, default="full", acts="; config.extract and config.data act here")
    parser.add_argument("--raw", type=Path, required=True, help="raw posts: a folder or a .csv file")
    parser.add_argument("--out", type=Path, required=True, help="the feature store to write, or to resume")
    parser.add_argument("--extractors", type=words, help="parts of the store (default: those that config.data needs)")
    parser.add_argument("--random_weights", action="store_true", help="for tests and timing: random weights")
    parser.add_argument("--beam_pipeline_options", type=words, help="extract through Apache Beam (extra beam), as "
                        "runner=FnApiRunner or runner=DataflowRunner,project=...")  # fmt: skip
    args = parser.parse_args(argv)

    from absl import logging

    from data_builders.posts.post import RawDataError

    logging.set_verbosity("warning")  # jax tells which backends it did not find
    try:
        report = extract(
            args.config,
            args.raw,
            args.out,
            parts=args.extractors,
            random_weights=args.random_weights,
            beam_pipeline_options=args.beam_pipeline_options,
        )
    except (RawDataError, OSError, ValueError) as error:
        return fail(error)
    show(report, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
