"""Host work per photo of the paper's extractors: decoding, and what each extractor makes of the pixels.

Run: taskset -c 0 python -m benchmarks.host_work [--photos FOLDER] [--count 12] [--rounds 4] [--short]

Without --photos it draws JPEGs of 256 px, as the paper's are, and of 1080 px. Times are CPU milliseconds of one core,
medians over the photos and over rounds in turns (A B A B). A is the reference: the whole photo resampled at once in
NumPy, as the papers' authors do, with the same bits as a result (the benchmark compares them). B is what extraction
runs. The bound is decoding alone with Pillow's two resizes, which nothing here can shorten.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDES = (256, 1080)
GOAL = 40.0  # ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs (default: drawn ones)")
    parser.add_argument("--count", type=int, default=12, help="photos of each size (default 12)")
    parser.add_argument("--rounds", type=int, default=4, help="times that A and B take turns (default 4)")
    parser.add_argument("--short", action="store_true", help="3 photos of each size, 2 rounds")
    args = parser.parse_args()
    if args.short:
        args.count, args.rounds = 3, 2

    from benchmarks import light_photos

    with tempfile.TemporaryDirectory() as name:
        for title, files in light_photos.folders(args.photos, Path(name), args.count, SIDES):
            weight = sum(file.stat().st_size for file in files) / len(files) / 1e3
            print(
                f"\n{len(files)} JPEGs, {title}, {weight:.0f} KB on average; CPU ms per photo, median (lowest, highest)"
            )
            report(measure(files, args.rounds))
    print("\nAfter the networks, whatever the photo's size")
    for name, times in after(5 * args.rounds).items():
        print(f"  {name:14} {1e3 * np.median(times):6.1f} ({1e3 * min(times):.1f}, {1e3 * max(times):.1f})")


def measure(files: list[Path], rounds: int) -> dict[str, list[float]]:
    """CPU ms per photo of each step, a median for each round."""
    from configs import full
    from data_builders import photos
    from data_builders.features.extractors import extractor

    options = full.get_config().extract.to_dict()
    steps: dict[str, Callable[[np.ndarray], Any]] = {
        f"B {name}": lambda photo, name=name: extractor(name).prepare(photo, options)
        for name in ("pose", "background", "caption", "depth")
    }
    steps |= {"A pose": whole_pose, "A caption": whole_caption}
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        times: dict[str, list[float]] = defaultdict(list)
        for file in files:
            photo = timed(times["decode"], lambda file=file: photos.read_near(file, 0)[0])
            made = {
                name: timed(times[name], lambda step=step, photo=photo: step(photo)) for name, step in steps.items()
            }
            np.testing.assert_array_equal(made["A pose"], made["B pose"]["canvases"][1.0])
            rows, columns = made["B caption"]["size"]
            np.testing.assert_array_equal(made["A caption"], made["B caption"]["canvas"][:rows, :columns])
        for name, values in times.items():
            found[name].append(1e3 * float(np.median(values)))
    return found


def after(rounds: int) -> dict[str, list[float]]:
    """CPU seconds of what the host makes of the networks' maps: people of four peaks, and a stored depth map."""
    import zlib

    from data_builders.features.rows import encode_depth
    from third_party_ports.dekr.canvas import Geometry
    from third_party_ports.dekr.poses import people

    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:128, :128]
    heat = 0.02 * rng.random((128, 128, 18), np.float32)
    for row, column in rng.integers(10, 118, (4, 2)):
        peak = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8)
        heat += peak[..., None].astype(np.float32) * rng.random(18, np.float32)
    maps = (heat, rng.normal(0, 20, (128, 128, 34)).astype(np.float32))
    depth = np.add.outer(np.sin(np.arange(480) / 90), np.cos(np.arange(640) / 70)).astype(np.float32)
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        timed(found["people"], lambda: people({1.0: (*maps, *maps)}, Geometry(256, 256, 512)))
        stored = timed(found["depth"], lambda: encode_depth(depth, 128))
        timed(found["depth, packed"], lambda stored=stored: zlib.compress(stored.tobytes(), 6))
    return found


def timed(times: list[float], step: Callable[[], Any]) -> Any:
    start = time.process_time()
    result = step()
    times.append(time.process_time() - start)
    return result


def report(found: dict[str, list[float]]) -> None:
    """Prints each step, and the sums."""
    both = ("decode", "B background", "B depth")
    sums = {
        "A in all": (*both, "A pose", "A caption"),
        "B in all": (*both, "B pose", "B caption"),
        "bound": both,
    }
    for name, of in sums.items():
        found[name] = [float(sum(parts)) for parts in zip(*(found[part] for part in of), strict=True)]
    for name, rounds in found.items():
        print(f"  {name:14} {np.median(rounds):6.1f} ({min(rounds):.1f}, {max(rounds):.1f})")
    a, b = (float(np.median(found[name])) for name in ("A in all", "B in all"))
    print(f"  A / B {a / b:.2f}; goal {GOAL:.0f} ms or less: {'met' if b <= GOAL else 'missed'}")


def whole_pose(photo: np.ndarray, side: int = 512) -> np.ndarray:
    """DEKR's canvas, each axis at once."""
    from third_party_ports.dekr.canvas import Geometry

    geometry = Geometry(photo.shape[0], photo.shape[1], side)
    steps, shifts = geometry.inverse().diagonal()[::-1], geometry.inverse()[::-1, 2]
    values: Any = photo
    for axis, count in enumerate(geometry.canvas()):
        positions = steps[axis] * np.arange(count) + shifts[axis]
        low = np.floor(positions).astype(int)
        share, size, total = positions - low, photo.shape[axis], np.float32(0)
        for index, weight in ((low, 1 - share), (low + 1, share)):
            weight = np.where((index >= 0) & (index < size), weight, 0).astype(np.float32)
            part = values.take(np.clip(index, 0, size - 1), axis=axis)
            total = total + part * np.expand_dims(weight, tuple({0, 1, 2} - {axis}))
        values = total
    return np.rint(values).astype(np.uint8)


def whole_caption(photo: np.ndarray) -> np.ndarray:
    """The detector's input without padding, each axis at once."""
    from third_party_ports.bottom_up.input import MEANS, im_scale

    scale = im_scale(*photo.shape[:2])
    values = photo[:, :, ::-1].astype(np.float32) - MEANS
    for axis in (0, 1):
        last = photo.shape[axis] - 1
        places = np.clip((np.arange(round(scale * photo.shape[axis])) + 0.5) / scale - 0.5, 0, last)
        before = places.astype(int)
        share = np.expand_dims((places - before).astype(np.float32), tuple({0, 1, 2} - {axis}))
        low, high = values.take(before, axis), values.take(np.minimum(before + 1, last), axis)
        values = low + (high - low) * share
    return values


if __name__ == "__main__":
    main()
