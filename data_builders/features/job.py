"""One extraction: images, the extractors, and the store for the rows. On this host, or for one chunk of Beam's."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import grain
import jax
from tqdm import tqdm

from data_builders import photos
from data_builders.features.extractors import EXTRACTORS, Extractor, extractor
from data_builders.features.inputs import Image, Inputs, Prepare
from data_builders.features.reader import FeatureReader
from data_builders.features.report import Report
from data_builders.features.schedule import Complete, Schedule
from data_builders.features.store import FeatureWriter
from data_builders.features.weight_files import header
from third_party_ports.worker_process import before_workers, within_limits

READ_AT_ONCE = 50_000  # images whose paths are sent to the reading processes at a time
MOST_WORKERS = 16  # by default: they prepare more photos than a device describes
AHEAD = 4  # images that a reading process or thread prepares ahead


@dataclass(frozen=True)
class Job:
    """What is the same for all images of an extraction; picklable.

    Attributes:
      root: the folder that image paths are relative to.
      options: config.extract with `keypoint_threshold`, as JSON.
      extractors: names of EXTRACTORS.
      depth_side: pixels, the side of the stored depth maps; 0 without them.
      random_weights: uses random weights instead of the official ones, and marks the store.
    """

    root: str
    options: str
    extractors: tuple[str, ...]
    depth_side: int
    random_weights: bool


def run(
    job: Job,
    images: Sequence[Image],
    out: Path,
    *,
    progress: bool = True,
    what: str = "extract",
    wait: float = 0,
    left_out: Callable[[Inputs], None] | None = None,
) -> Report:
    """Extracts those of `images` that the store at `out` lacks. If the process is killed, no finished row is lost.

    Args:
      job: what runs.
      images: to extract.
      out: the store.
      progress: shows a progress bar, called `what`.
      wait: seconds to wait for another process that writes to the store.
      left_out: is told of each image that cannot be used.

    Raises:
      ValueError: the store has another header, or a network returned numbers that are not finite.
      WeightsError: a file of weights is missing or belongs to another network.
      BlockingIOError: another process writes to the store.
    """
    options, report = json.loads(job.options), Report()
    with open_store(job, out, wait) as writer:
        lacking = [image for image in images if (image.account, image.image_id) not in writer]
        report.already = len(images) - len(lacking)
        batch = options["batch"] * jax.local_device_count()
        schedule = None  # made for the first photo that can be read: to load the networks takes seconds
        with tqdm(total=len(lacking), unit="image", desc=what, disable=not progress, smoothing=0.05) as bar:

            def write(rows: Iterator[Complete]) -> None:
                for inputs, values in rows:
                    image = inputs.image
                    writer.write(image.account, image.image_id, inputs.width, inputs.height, **values)
                    report.written += 1
                    bar.update()

            prepare = Prepare(Path(job.root), options, job.extractors)
            for inputs in read(lacking, prepare, reading_processes(options["workers"])):
                if inputs.reason:
                    report.skip(inputs.image, inputs.reason)
                    if left_out:
                        left_out(inputs)
                    bar.update()
                else:
                    schedule = schedule or Schedule(load(job), batch, waiting=4 * batch)
                    write(schedule.add(inputs))
            if schedule:
                write(schedule.drain())
    return report


def look(job: Job, images: Sequence[Image], out: Path, *, progress: bool = True) -> Report:
    """Opens photos without extracting anything, and reports those that cannot be used.

    Those that the store at `out` has were opened before. Raises as FeatureReader.
    """
    report, options = Report(), json.loads(job.options)
    known = FeatureReader(out, verify=False)
    unknown = [image for image in images if (image.account, image.image_id) not in known]
    opened = read(unknown, Prepare(Path(job.root), options, ()), reading_processes(options["workers"]))
    for inputs in tqdm(opened, total=len(unknown), unit="image", desc="open the others", disable=not progress):
        if inputs.reason:
            report.skip(inputs.image, inputs.reason)
    return report


def described(job: Job) -> dict[str, dict[str, str]]:
    """What the store's header says of each part. Raises WeightsError for a broken file of weights."""
    options = json.loads(job.options)
    found = {name: header(name, options, job.random_weights) for name in job.extractors}
    return {part: found[name] for name in job.extractors for part in EXTRACTORS[name].parts}


def open_store(job: Job, out: Path, wait: float = 0) -> FeatureWriter:
    """Opens the store at `out`, new or existing. Raises as FeatureWriter, and WeightsError for a broken file."""
    return FeatureWriter(
        out,
        extractors=described(job),
        depth_side=job.depth_side,
        random_weights=job.random_weights,
        shard_rows=json.loads(job.options)["shard_rows"],
        journal=True,
        wait=wait,
        decoded_with=photos.versions(),
    )


@lru_cache(maxsize=1)
def load(job: Job) -> dict[str, Extractor]:
    """The extractors of a job by name, loaded once per process. Raises WeightsError as frozen_network.load."""
    options = json.loads(job.options)
    return {name: extractor(name)(options, job.random_weights) for name in job.extractors}


def reading_processes(workers: int) -> int:
    """What config.extract.workers asks for. -1: a process for each core but one, which feeds the devices."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores - 1, MOST_WORKERS)) if workers < 0 else workers


def read(images: Sequence[Image], prepare: Prepare, workers: int) -> Iterator[Inputs]:
    """Prepared images in order, a few ahead of the devices, by `workers` processes; 0 reads in threads."""
    workers = within_limits(workers)
    for first in range(0, len(images), READ_AT_ONCE):
        source = grain.MapDataset.source(images[first : first + READ_AT_ONCE]).map(prepare)
        prepared = source.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=AHEAD))
        if workers:
            before_workers()
            prepared = prepared.mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=AHEAD))
        yield from prepared
