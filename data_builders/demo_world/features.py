"""Features from the truth instead of four networks: noisy poses and noisy vectors; depth as it was drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data_builders.demo_world import captions
from data_builders.demo_world.draw import Photo
from data_builders.demo_world.figures import Figure
from data_builders.demo_world.likes import ATTRIBUTES
from data_builders.demo_world.parameters import Parameters
from data_builders.features.rows import encode_depth

_STREAM = 3  # of random numbers; likes.py and defects.py have others
EXTRACTORS = {
    part: {"name": f"demo-world-truth-{part}", "version": "1", "weights_sha256": "none: drawn, not extracted"}
    for part in ("pose", "background", "caption", "depth")
}


@dataclass(frozen=True)
class Row:
    """What FeatureWriter.write takes for one image, without the key."""

    width: int
    height: int
    people: list[tuple[np.ndarray, np.ndarray, float]]
    background: np.ndarray
    caption_vector: np.ndarray
    caption_text: str
    depth: np.ndarray


def features(
    kind: Sequence[int], photo: Photo, seed: int, depth_side: int, parameters: Parameters, rng: np.random.Generator
) -> Row:
    """The features of one photo.

    Args:
      kind: numbers of scene, pose and object.
      photo: as it was drawn.
      seed: fixes the direction of each scene, pose and object in the vectors.
      depth_side: pixels.
      parameters: of the world; reads the sizes of noise.
      rng: of the noise.
    """
    p = parameters
    side = len(photo.rgb)
    places, words = _directions(seed, p.vector_size)
    people = [_detected(figure, side, p.keypoint_noise, rng) for figure in photo.figures]
    named = sum(table[value] for table, value in zip(words, kind, strict=True)) / np.sqrt(len(ATTRIBUTES))
    return Row(
        width=side,
        height=side,
        people=[] if rng.uniform() < p.people_missed else people,
        background=_noisy(places[kind[0]], p.background_noise, rng),
        caption_vector=_noisy(named, p.caption_noise, rng),
        caption_text=captions.machine_caption(kind, p.wrong_words, rng),
        depth=encode_depth(photo.depth, depth_side),
    )


@lru_cache(maxsize=4)
def _directions(seed: int, size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Unit vectors: scenes for the background vector [8, size]; scenes, poses and objects for the caption vector."""
    rng = np.random.default_rng([seed, _STREAM])

    def draw(count: int) -> np.ndarray:
        vectors = rng.normal(size=(count, size))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return draw(len(ATTRIBUTES[0])), [draw(len(values)) for values in ATTRIBUTES]


def _noisy(vector: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    return (vector + length * rng.normal(size=len(vector)) / np.sqrt(len(vector))).astype(np.float32)


def _detected(
    figure: Figure, side: int, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """A figure as a pose network would find it: keypoints [17, 3] and box [4] in pixels, and score."""
    found = figure.keypoints + rng.normal(0, 1, size=(17, 2)) * noise * figure.height
    scores = rng.uniform(0.6, 1.0, size=(17, 1))
    return np.concatenate([found * side, scores], axis=1), figure.box * side, float(rng.uniform(0.8, 1.0))
