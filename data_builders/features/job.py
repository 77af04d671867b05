"""One extraction: images, frozen networks, and the store of their rows. On this host, or one chunk of Beam's."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_builders.features.inputs import Image, Inputs, Prepare

if TYPE_CHECKING:
    from data_builders.features.schedule import Extractor
    from data_builders.features.store import FeatureWriter

REPORT = "extract_report.json"
EXAMPLES = 10  # images named of each reason
READ_AT_ONCE = 50_000  # images whose paths a reading process is sent
AHEAD = 4  # images a reading process or thread prepares ahead


@dataclass(frozen=True)
class Job:
    """What is the same for all images; picklable.

    Attributes:
      root: folder that image paths are relative to.
      options: `config.extract` and `keypoint_threshold`, as JSON.
      parts: of the store.
      depth_side: of the stored depth maps, 0 without them.
      random_weights: in place of the official ones; the store is marked.
    """

    root: str
    options: str
    parts: tuple[str, ...]
    depth_side: int
    random_weights: bool


@dataclass
class Report:
    """How many images were written now, were there already, and were left out by reason, with examples.

    `posts` counts, by reason, what the reader of the raw data left out before: its records hold no image to extract.
    """

    written: int = 0
    already: int = 0
    posts: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, image: Image, reason: str) -> None:
        self.skipped[reason] += 1
        named = self.examples.setdefault(reason, [])
        if len(named) < EXAMPLES:
            named.append(f"{image.account}/{image.image_id}")

    def to_json(self) -> dict[str, Any]:
        return {
            "written": self.written,
            "already": self.already,
            "posts_left_out": self.posts,
            "skipped": dict(self.skipped),
            "examples": self.examples,
        }

    def add(self, other: dict[str, Any]) -> None:
        """Adds what `to_json` of another report gave; `already` is not added: those images are not this run's."""
        self.written += other["written"]
        self.skipped.update(other["skipped"])
        for reason, named in other["examples"].items():
            self.examples[reason] = (self.examples.get(reason, []) + named)[:EXAMPLES]


def write_report(report: Report, folder: Path) -> None:
    """Writes FOLDER/extract_report.json."""
    temporary = folder / f"{REPORT}.tmp"
    temporary.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    temporary.replace(folder / REPORT)


def run(job: Job, images: Sequence[Image], out: Path, *, progress: bool = True) -> Report:
    """Extracts what the store at `out` lacks of `images`; a killed run has lost no finished row.

    Raises:
      ValueError: the store has another header; a network answered with numbers that are not finite.
      WeightsError: a file of weights is missing or not of its network.
    """
    import jax
    from tqdm import tqdm

    from data_builders.features.schedule import Schedule

    options, report = json.loads(job.options), Report()
    with open_store(job, out) as writer:
        lacking = [image for image in images if (image.account, image.image_id) not in writer]
        report.already = len(images) - len(lacking)
        batch = options["batch"] * jax.local_device_count()
        schedule = Schedule(load(job) if lacking else [], batch, waiting=4 * batch)
        with tqdm(total=len(lacking), unit="image", desc="extract", disable=not progress, smoothing=0.05) as bar:

            def write(rows) -> None:
                for inputs, values in rows:
                    image = inputs.image
                    writer.write(image.account, image.image_id, inputs.width, inputs.height, **values)
                    report.written += 1
                    bar.update()

            for inputs in read(lacking, Prepare(Path(job.root), options, job.parts), options["workers"]):
                if inputs.reason:
                    report.skip(inputs.image, inputs.reason)
                    bar.update()
                else:
                    write(schedule.add(inputs))
            write(schedule.drain())
    return report


def open_store(job: Job, out: Path) -> "FeatureWriter":
    """The store at `out`, made or gone on with. Raises ValueError where it has another header."""
    from data_builders.features.frozen_network import header
    from data_builders.features.store import FeatureWriter

    options = json.loads(job.options)
    return FeatureWriter(
        out,
        extractors={part: header(part, options, job.random_weights) for part in job.parts},
        depth_side=job.depth_side,
        random_weights=job.random_weights,
        shard_rows=options["shard_rows"],
        journal=True,
    )


@lru_cache(maxsize=1)
def load(job: Job) -> "list[Extractor]":
    """The extractors of a job, loaded once a process."""
    from data_builders.features.extractors import EXTRACTORS

    options = json.loads(job.options)
    return [EXTRACTORS[part](options, job.random_weights) for part in job.parts]


def read(images: Sequence[Image], prepare: Prepare, workers: int) -> Iterator[Inputs]:
    """Prepared images in order, a few ahead of the devices: in `workers` processes, or in threads where that is 0."""
    import grain

    for first in range(0, len(images), READ_AT_ONCE):
        source = grain.MapDataset.source(images[first : first + READ_AT_ONCE]).map(prepare)
        prepared = source.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=AHEAD))
        if workers:
            prepared = prepared.mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=AHEAD))
        yield from prepared
