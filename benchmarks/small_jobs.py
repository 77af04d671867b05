"""CPU seconds of an extraction of few photos, in which compiling takes most of the time.

Run: python -m benchmarks.small_jobs [--photos 10 200] [--rounds 1] [--short]

The paper's four extractors at the size "tiny" (`--config=full:tiny`, batches of 4) with random weights, on drawn photos
of one size, each job in a process of its own without a compilation cache. A is the reference: the last batch, which is
short, is filled up to a power of two, so it is compiled too. B is what extraction does: it is filled up to the batch
that is compiled already. They take turns (A B A B). The bound is one compilation: what a job of one full batch takes.
"""

import argparse
import os
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

SIDE = 64  # px
BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[10, 200], help="sizes of jobs (default 10 200)")
    parser.add_argument("--rounds", type=int, default=1, help="times that A and B take turns (default 1)")
    parser.add_argument("--short", action="store_true", help="10 photos, once")
    args = parser.parse_args()
    if args.short:
        args.photos, args.rounds = [10], 1
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)

    from benchmarks import light_photos

    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        light_photos.draw(photos, max(args.photos), SIDE)
        for count in [BATCH, *args.photos]:
            for variant in "AB" * (1 if count == BATCH else args.rounds):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    seconds = pool.submit(measure, photos, count, variant).result()
                print(f"{count:4} photos, {variant}: {seconds:6.1f} CPU seconds", flush=True)


def measure(photos: Path, count: int, variant: str) -> float:
    """CPU seconds of an extraction, imports included."""
    from configs import full
    from data_builders.features import frozen_network, job
    from data_builders.features.extraction import job_of
    from data_builders.features.inputs import Image

    if variant == "A":
        frozen_network.OnDevices._share = power_of_two  # type: ignore[method-assign]
    images = [Image("me", file.stem, file.name) for file in sorted(photos.iterdir())[:count]]
    with tempfile.TemporaryDirectory() as store:
        job.run(job_of(full.get_config("tiny"), photos, None, True), images, Path(store), progress=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def power_of_two(self, batch: object, needed: int) -> int:
    """In the place of OnDevices._share."""
    return max(self._least, 1 << (needed - 1).bit_length())


if __name__ == "__main__":
    main()
