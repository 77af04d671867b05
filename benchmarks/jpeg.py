"""JPEGs to squares of 256 px, as training reads them: images per CPU second.

Run: taskset -c 0 python -m benchmarks.jpeg [--photos FOLDER] [--count 20] [--rounds 6] [--short]

The reference is simplejpeg (scaled decoding) and Pillow's resize, without any check of the file, measured in turns with
ours (A B A B); medians with quartiles. `pip install simplejpeg` brings it, and without it only ours is measured. The
bounds are the bare scaled decoding of simplejpeg and of Pillow, without resizing. Without --photos it draws JPEGs of
1080, 640 and 256 px.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

try:
    import simplejpeg  # type: ignore[import-not-found]
except ImportError:
    simplejpeg = None

PACKAGES = ("simplejpeg",)
SIDE = 256
DRAWN = (1080, 640, 256)
GOAL = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: drawn ones)")
    parser.add_argument("--count", type=int, default=20, help="photos of each size (default 20)")
    parser.add_argument("--rounds", type=int, default=6, help="times that all take turns (default 6)")
    parser.add_argument("--short", action="store_true", help="5 photos of each size, 2 rounds")
    args = parser.parse_args()
    if args.short:
        args.count, args.rounds = 5, 2

    from benchmarks import light_photos

    with tempfile.TemporaryDirectory() as name:
        for title, files in light_photos.folders(args.photos, Path(name), args.count, DRAWN):
            report(title, [file.read_bytes() for file in files], args.rounds)


def report(title: str, photos: list[bytes], rounds: int) -> None:
    """Measures and prints one size."""
    from ipa_jax.input.photos import decode

    ways: dict[str, Callable[[bytes], Any]] = {"ours": lambda photo: decode(photo, SIDE), "bound, Pillow": bare_pillow}
    if simplejpeg is not None:
        ways |= {"reference": reference, "bound, simplejpeg": bare_simplejpeg}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for photo in photos:  # all ways take turns at each photo: the caches and the machine's load are the same
            for name, way in ways.items():
                start = time.process_time()
                way(photo)
                found[name].append(1 / (time.process_time() - start))
    print(f"\n{len(photos)} JPEGs, {title}, {sum(map(len, photos)) / len(photos) / 1e3:.0f} KB; images per CPU second")
    for name, rates in found.items():
        low, middle, high = np.percentile(rates, [25, 50, 75])
        print(f"  {name:18} {middle:7.0f} ({low:.0f}, {high:.0f})")
    if simplejpeg is not None:
        share = float(np.median(found["ours"]) / np.median(found["reference"]))
        print(f"  {share:.0%} of the reference; goal {GOAL:.0%}: {'met' if share >= GOAL else 'missed'}")


def reference(photo: bytes) -> np.ndarray:
    pixels = Image.fromarray(bare_simplejpeg(photo))
    return np.asarray(pixels.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def bare_simplejpeg(photo: bytes) -> np.ndarray:
    assert simplejpeg is not None
    return simplejpeg.decode_jpeg(photo, "RGB", min_height=SIDE, min_width=SIDE)


def bare_pillow(photo: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(photo))
    image.draft("RGB", (SIDE, SIDE))
    image.load()
    return image


if __name__ == "__main__":
    main()
