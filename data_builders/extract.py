"""Runs the frozen extractors over the images of raw posts, into a feature store.

    python -m ipa_jax extract --raw=RAW --out=FEATURES [--config=configs/full.py] [--config.extract.batch=2 ...]
        [--extractors=pose,background,caption,depth] [--random-weights] [--beam_pipeline_options=runner=FnApiRunner]

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

from absl import app, flags
from ml_collections import config_flags

from data_builders.cli import parse_flags

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from data_builders.features.job import Report

_CONFIG = config_flags.DEFINE_config_file(
    "config", "configs/full.py", lock_config=True, help_string="Config file; config.extract and config.data act here."
)
_RAW = flags.DEFINE_string("raw", None, "Raw posts: a folder or a .csv file.", required=True)
_OUT = flags.DEFINE_string("out", None, "The feature store to write, or to go on with.", required=True)
_EXTRACTORS = flags.DEFINE_list("extractors", None, "Parts of the store; by default those that config.data needs.")
_RANDOM = flags.DEFINE_bool("random-weights", False, "For tests and timing: random weights, and the store says so.")
flags.DEFINE_alias("random_weights", "random-weights")
_BEAM = flags.DEFINE_list(
    "beam_pipeline_options",
    None,
    "Extract through Apache Beam (requirements-beam.txt), e.g. runner=FnApiRunner or runner=DataflowRunner,project=...",
)


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
    choices = config.extract.to_dict() | {"keypoint_threshold": config.data.pose.keypoint_threshold}
    parts = _parts(config, parts)
    if not random_weights:
        require_weights(parts, choices)
    table, skips = read_posts(raw, config.data.to_dict())
    for warning in skips.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    images = table.select("account", "image_ids", "image_paths").explode("image_ids", "image_paths")
    images = [extract_job.Image(*row) for row in images.iter_rows()]
    job = extract_job.Job(
        root=str(raw.parent if raw.is_file() else raw),
        choices=json.dumps(choices),
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


def main(argv: list[str]) -> None:
    from absl import logging

    from data_builders.posts.post import RawDataError

    logging.set_verbosity("warning")  # jax tells which backends it did not find
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}")
    try:
        report = extract(
            _CONFIG.value,
            Path(_RAW.value),
            Path(_OUT.value),
            parts=_EXTRACTORS.value,
            random_weights=_RANDOM.value,
            beam_pipeline_options=_BEAM.value,
        )
    except (RawDataError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    show(report, Path(_OUT.value))


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
