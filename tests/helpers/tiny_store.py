"""Feature stores of a few small rows."""

import numpy as np

from data_builders.features.store import FeatureWriter

EXTRACTORS = {
    part: {"name": f"net-{part}", "version": "1", "weights_sha256": "0" * 64}
    for part in ("pose", "background", "caption", "depth")
}


def person(score: float, x: float = 5.0) -> tuple[np.ndarray, np.ndarray, float]:
    keypoints = np.stack([np.full(17, x), np.arange(17.0), np.full(17, 0.9)], axis=1)
    return keypoints, np.array([1, 2, 8, 20]), score


def row(seed: int = 0, people=()) -> dict:
    """What FeatureWriter.write takes for all four parts."""
    rng = np.random.default_rng(seed)
    return {
        "people": list(people),
        "background": rng.random(4),
        "caption_vector": rng.random(3),
        "caption_text": f"text {seed}",
        "depth": rng.random((6, 6)),
    }


def open_writer(path, **options) -> FeatureWriter:
    return FeatureWriter(path, **{"extractors": EXTRACTORS, "depth_side": 6, "shard_rows": 2} | options)


def written(path, count: int, first: int = 0, **options) -> FeatureWriter:
    """A writer with a journal that has rows `first` to `count` of account a, and is still open."""
    writer = open_writer(path, journal=True, shard_rows=4, **options)
    for number in range(first, count):
        writer.write("a", f"i{number}", 30, 40, **row(number, [person(0.5)] * (number % 2)))
    return writer
