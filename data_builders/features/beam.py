"""Extraction on a cluster, with Apache Beam: each chunk of images becomes a store, and then all stores become one.

A chunk's store is a folder in OUT/.chunks and is written like any other store, so a chunk that Beam runs again
resumes. At the end, and at the start of the next run, the chunks' shards are renamed into OUT. A worker loads the
networks once. Every worker must see OUT, the raw folder and the weights at the same paths.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from data_builders.features.inputs import Image
from data_builders.features.job import Job, open_store, run
from data_builders.features.reader import FeatureReader
from data_builders.features.report import REPORT, Report, read_left_out, read_report, write_report
from data_builders.features.shards import new_shard, shard_paths

CHUNKS = ".chunks"
CHUNK = 256  # images; they take a worker some minutes


def extract(job: Job, images: Sequence[Image], out: Path, options: Sequence[str]) -> Report:
    """As job.run, through a Beam pipeline with these options.

    Raises:
      ValueError: Apache Beam is not installed; or as job.run.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise ValueError(f"--beam_pipeline_options: {error}; install ipa-jax with the extra `beam`") from error
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
    """Extracts one chunk into its own store, with its report beside the shards."""
    name = hashlib.sha256(repr([(image.account, image.image_id) for image in images]).encode()).hexdigest()[:16]
    folder = Path(out) / CHUNKS / name
    write_report(run(job, images, folder, progress=False), folder)


def gather(job: Job, out: Path) -> Report:
    """Moves the chunks' shards into the store at `out` and adds up the chunks' reports.

    Each shard is renamed, so at any moment a row is in one place. A chunk that was killed gives the rows that it has.

    Raises:
      ValueError: the store, or a chunk's store, has another header.
      BlockingIOError: another process writes to the store.
    """
    report = Report()
    with open_store(job, out) as store:
        for folder in sorted((out / CHUNKS).glob("*/")):
            with open_store(job, folder):  # makes a shard of the rows that are only in the journal
                pass
            store.note_decoders(FeatureReader(folder).decoded_with)
            for shard in shard_paths(folder):
                shard.replace(new_shard(out))
            if (folder / REPORT).exists():
                report.add(read_report(folder))
                report.left_out |= read_left_out(folder)
            shutil.rmtree(folder)
    shutil.rmtree(out / CHUNKS, ignore_errors=True)
    return report
