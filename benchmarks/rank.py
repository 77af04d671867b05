"""Time of `ipa-jax rank` for 100 photos and a history of 500 posts: from nothing, and with cached features.

Run: python -m benchmarks.rank [--posts 500] [--photos 100] [--keep FOLDER]

It draws JPEGs of 1080 px with made-up likes, a post a day. Each run is a process of its own, timed after the imports.
The goal for 2 free cores is a minute from nothing and 2 s with cached features, the own past included. On a busy
machine look at the CPU seconds.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

FIRST_DAY = 1_600_000_000  # Unix seconds
DAY = 86_400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=500, help="posts of the history (default 500)")
    parser.add_argument("--photos", type=int, default=100, help="photos to rank (default 100)")
    parser.add_argument(
        "--keep", type=Path, help="an empty folder for the photos and the ranking (default: none is kept)"
    )
    args = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

    with tempfile.TemporaryDirectory() as name:
        folder = args.keep or Path(name)
        lay_out(folder, args.posts, args.photos)
        lines = []
        for what in ("from nothing", "with cached features"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                imported, wall, cpu = pool.submit(measure, folder).result()
            lines.append(f"{what}: {cpu:.2f} CPU seconds, {wall:.2f} s; imports before it {imported:.2f} CPU seconds")
    print(f"\n{args.photos} photos against {args.posts} posts, JPEGs of 1080 px", *lines, sep="\n")


def lay_out(folder: Path, posts: int, photos: int) -> None:
    """FOLDER/history with posts.csv, and FOLDER/photos."""
    import numpy as np

    from benchmarks.light_photos import draw

    folder.mkdir(parents=True, exist_ok=True)
    history, new = folder / "history", folder / "photos"
    draw(history, posts + photos)
    new.mkdir()
    files = sorted(history.iterdir())
    for file in files[posts:]:
        file.rename(new / file.name)
    likes = np.random.default_rng(0).lognormal(6, 0.6, posts).astype(int)
    rows = [
        f"{file.name},me,{count},{FIRST_DAY + day * DAY}"
        for day, (file, count) in enumerate(zip(files[:posts], likes, strict=True))
    ]
    (history / "posts.csv").write_text("\n".join(["image,account,likes,timestamp", *rows]) + "\n")


def measure(folder: Path) -> tuple[float, float, float]:
    """CPU seconds of the imports, then seconds and CPU seconds of one ranking."""
    from absl import logging

    from ipa_jax.applications import history_flags, rank_job

    logging.set_verbosity("warning")
    out = folder / "ranking"
    out.mkdir(exist_ok=True)
    imported, wall = time.process_time(), time.perf_counter()
    rank_job.run(rank_job.Asked(history_flags.Source(folder / "history"), [folder / "photos"]), out)
    return imported, time.perf_counter() - wall, time.process_time() - imported


if __name__ == "__main__":
    main()
