"""Extraction spread over a cluster with Apache Beam: each chunk of images becomes a store of its own, then all one.

A chunk's store lies in OUT/.chunks and is written like any other, so that a chunk that is tried again goes on where it
stopped; at the end, and at the start of the next run, the chunks' shards are renamed into OUT. A worker loads the
networks once. OUT, the raw root and the weights are paths that every worker sees.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from data_builders.features.inputs import Image
from data_builders.features.job import REPORT, Job, Report, open_store, run, write_report
from data_builders.features.rows import shard_paths

CHUNKS = ".chunks"
CHUNK = 256  # images: minutes of a worker's time


def extract(job: Job, images: Sequence[Image], out: Path, options: Sequence[str]) -> Report:
    """As extract_job.run, through a pipeline with these options. Raises ValueError without Apache Beam."""
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise ValueError(f"--beam_pipeline_options: {error}; install ipa-jax with the extra `beam`") from error
    from data_builders.features.store import FeatureReader

    gather(job, out)
    reader = FeatureReader(out)
    lacking = [image for image in images if (image.account, image.image_id) not in reader]
    chunks = [lacking[i : i + CHUNK] for i in range(0, len(lacking), CHUNK)]
    with beam.Pipeline(options=PipelineOptions([f"--{option}" for option in options])) as pipeline:
        _ = pipeline | beam.Create(chunks) | beam.Reshuffle() | beam.Map(extract_chunk, job=job, out=str(out))
    report = gather(job, out)
    report.already = len(images) - len(lacking)
    return report


def extract_chunk(images: Sequence[Image], *, job: Job, out: str) -> None:
    """One chunk into its store, and what was skipped beside it."""
    name = hashlib.sha256(repr([(image.account, image.image_id) for image in images]).encode()).hexdigest()[:16]
    folder = Path(out) / CHUNKS / name
    write_report(run(job, images, folder, progress=False), folder)


def gather(job: Job, out: Path) -> Report:
    """Moves the chunks' shards into the store at `out`, one rename each, and adds up their reports.

    A row lies in one place at any moment; a chunk that a kill left unfinished gives what it has.
    """
    report = Report()
    with open_store(job, out):
        pass
    for folder in sorted((out / CHUNKS).glob("*/")):
        with open_store(job, folder):  # makes a shard of what is only in the journal
            pass
        for shard in shard_paths(folder):
            shard.replace(out / f"part-{len(shard_paths(out)):05d}.arrow")
        if (folder / REPORT).exists():
            report.add(json.loads((folder / REPORT).read_text()))
        shutil.rmtree(folder)
    shutil.rmtree(out / CHUNKS, ignore_errors=True)
    return report
