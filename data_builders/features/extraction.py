"""From raw posts to a feature store: what `ipa-jax extract` does."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data_builders.features import beam, extractors, job, selection
from data_builders.features.inputs import Image
from data_builders.features.report import Report, write_report
from data_builders.features.weight_files import require_weights
from data_builders.options import check_extract
from data_builders.posts.read import read_posts


def extract(
    config: ConfigDict,
    raw: Path,
    out: Path,
    *,
    names: Sequence[str] | None = None,
    only: str | None = None,
    random_weights: bool = False,
    beam_pipeline_options: Sequence[str] | None = None,
) -> Report:
    """Extracts features of photos of the raw posts that the store at `out` lacks; writes extract_report.json there.

    Args:
      config: `extract` says what runs and how; `data` says which posts and parts are needed.
      raw: raw posts, as posts.read.read_posts takes them.
      out: the feature store, new or to be resumed.
      names: extractors to run; None runs those of config.extract.profile that `data` needs: a part with similarity
        weight 0 is not extracted.
      only: "kept" takes only images of kept groups, "all" takes all; None: as selection.default says.
      random_weights: runs without the official weights, for tests and timing.
      beam_pipeline_options: extracts through Apache Beam, with these options of its pipeline.

    Raises:
      RawDataError: the raw posts cannot be read.
      ValueError: an extractor is unknown, an option is out of its range, weights are missing (with the command that
        gets each), or the store has another header.
      BlockingIOError: another process writes to the store.
    """
    work = job_of(config, raw.parent if raw.is_file() else raw, names, random_weights)
    options = config.data.to_dict()
    only = only or selection.default(raw, options)
    if only == "kept" and options["shuffle_likes"]:
        raise ValueError("--only=kept: config.data.shuffle_likes changes which groups are kept; give --only=all")
    table, skips = read_posts(raw, options)
    for warning in skips.warnings:
        print(f"warning: {warning}", file=sys.stderr)

    def take(images: Sequence[Image]) -> Report:
        if beam_pipeline_options:
            return beam.extract(work, images, out, beam_pipeline_options)
        return job.run(work, images, out)

    if only == "kept":
        report = selection.take_kept(table, options, take, lambda images: job.look(work, images, out))
    else:
        report = take(selection.images_of(table))
    report.posts = {reason: count for reason, count in skips.counts.items() if count}
    write_report(report, out)
    return report


def job_of(config: ConfigDict, root: Path, names: Sequence[str] | None, random_weights: bool) -> job.Job:
    """The job that a config asks for, on photos below `root`; the other arguments are those of `extract`.

    Raises:
      ValueError: an extractor is unknown, an option is out of its range, or weights are missing.
    """
    options = config.extract.to_dict() | {"keypoint_threshold": config.data.pose.keypoint_threshold}
    check_extract(config.extract.to_dict())
    names = extractors.checked(default_extractors(config) if names is None else names)
    if not random_weights:
        require_weights(names, options)
    return job.Job(
        root=str(root),
        options=json.dumps(options),
        extractors=names,
        depth_side=config.data.depth.side if "depth" in extractors.parts_of(names) else 0,
        random_weights=random_weights,
    )


def default_extractors(config: ConfigDict) -> tuple[str, ...]:
    """The extractors of config.extract.profile that fill the parts which a build with this config.data reads.

    Raises:
      ValueError: the profile has no extractor of a part.
    """
    parts = [part for part, weight in config.data.similarity.items() if weight > 0]
    return extractors.that_fill(parts + ["depth"] * bool(config.data.depth.side), config.extract.profile)
