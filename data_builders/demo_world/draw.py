"""Draws one photo of the demo world and its depth map: scene, object, figures and balloon, then the grading."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from data_builders.demo_world import figures, objects, scenes
from data_builders.demo_world.figures import Figure
from data_builders.demo_world.likes import LOOKS

BALLOON_DEPTHS = ((0.08, 0.26), (0.40, 0.60), (0.72, 0.84))  # near, middle, far: one in each third of the depth map
FIGURE_DEPTHS = (0.10, 0.50)
OBJECT_DEPTHS = (0.08, 0.60)
FIGURE_HEIGHT = 0.64
OBJECT_SIZE = 0.19
_TRIES = 40  # places tried for the balloon; one that covers neither figure nor object is best
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Photo:
    """A photo.

    Attributes:
      rgb: u8 [side, side, 3].
      depth: u16 [side, side]; 0 is nearest.
      figures: the people, the main one first.
    """

    rgb: np.ndarray
    depth: np.ndarray
    figures: list[Figure]


def draw(
    kind: Sequence[int], layer: int, look: np.ndarray, bystander: bool, rng: np.random.Generator, side: int
) -> Photo:
    """Draws one photo. With another `side` and otherwise equal arguments it is the same photo in another size.

    Args:
      kind: numbers of scene, pose and object, in the order of likes.SCENES, POSES and OBJECTS.
      layer: of the balloon: 0 near, 1 middle, 2 far.
      look: [6], each in [-1, 1], in the order of likes.LOOKS.
      bystander: whether there is a second, smaller figure.
      rng: of everything else, such as places, colours and textures.
      side: pixels.
    """
    scene, pose, thing = kind
    size, off_centre = (look[list(LOOKS).index(name)] for name in ("figure_size", "off_centre"))
    canvas, horizon = scenes.background(scenes.PLACES[scene], rng, side, 3 if side < 100 else 2)
    hand = rng.choice((-1, 1))  # left or right: the half of the picture that the figure stands in
    people = [_figure(pose, 0.5 + hand * (0.11 + 0.09 * off_centre), size, horizon, rng)]
    if bystander:
        people.append(_bystander(horizon, rng))
    spot = _object_spot(thing, -hand, horizon, rng)
    boxes = [*(person.box for person in people), _object_box(thing, *spot[:3])]
    things: list[tuple[float, Callable[[], None]]] = [
        (person.depth, partial(figures.draw, person, canvas, rng)) for person in people
    ]
    things.append((spot[3], partial(objects.THINGS[thing], canvas, rng, *spot)))
    where = _balloon_spot(boxes, horizon, layer, rng)
    things.append((where[2], partial(objects.balloon, canvas, *where)))
    for _, paint in sorted(things, key=lambda item: -item[0]):
        paint()
    rgb, depth = canvas.finish()
    return Photo(grade(rgb, look), depth, people)


def grade(rgb: np.ndarray, look: np.ndarray) -> np.ndarray:
    """Applies exposure, contrast, saturation and warmth of `look` to rgb f32 [side, side, 3]. Returns u8."""
    exposure, contrast, saturation, warmth = (
        np.float32(look[list(LOOKS).index(name)]) for name in ("exposure", "contrast", "saturation", "warmth")
    )
    rgb = rgb * np.exp(np.float32(0.3) * exposure)
    rgb = rgb * (1 + np.array([0.15, 0.0, -0.2], np.float32) * warmth)
    grey = (rgb @ _LUMA)[..., None]
    rgb = grey + (rgb - grey) * (1 + np.float32(0.6) * saturation)
    middle = grey.mean()
    rgb = middle + (rgb - middle) * (1 + np.float32(0.35) * contrast)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _figure(pose: int, x: float, size: float, horizon: float, rng: np.random.Generator) -> Figure:
    depth = rng.uniform(*FIGURE_DEPTHS)
    height = FIGURE_HEIGHT * (1.1 - 0.45 * depth) * (1 + 0.18 * size)
    return figures.place(pose, x, height, depth, horizon, rng)


def _bystander(horizon: float, rng: np.random.Generator) -> Figure:
    depth = rng.uniform(0.6, 0.74)
    pose = int(rng.integers(3))  # one of the poses on two feet
    return figures.place(pose, rng.uniform(0.08, 0.92), rng.uniform(0.22, 0.28), depth, horizon, rng)


def _object_spot(thing: int, hand: int, horizon: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    depth = rng.uniform(*OBJECT_DEPTHS)
    size = OBJECT_SIZE * (1.2 - 0.7 * depth) / np.sqrt(objects.TALLNESS[thing])
    x = 0.5 + hand * rng.uniform(0.18, 0.36)
    return x, scenes.ground_y(depth, horizon), size, depth


def _object_box(thing: int, x: float, y: float, size: float) -> np.ndarray:
    half = objects.HALF_WIDTH[thing] * size
    return np.array([x - half, y - objects.TALLNESS[thing] * size, x + half, y])


def _balloon_spot(
    boxes: list[np.ndarray], horizon: float, layer: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """A place above the horizon, clear of figures and objects, so that neither place nor overlap tells the depth."""
    depth = rng.uniform(*BALLOON_DEPTHS[layer])
    r = objects.BALLOON
    spots = rng.uniform((1.1 * r, 1.2 * r), (1 - 1.1 * r, max(horizon - 2.3 * r, 1.3 * r)), size=(_TRIES, 2))
    reach = np.stack([spots[:, 0] - r, spots[:, 1] - 1.1 * r, spots[:, 0] + r, spots[:, 1] + 2.2 * r], axis=1)
    covered = np.zeros(_TRIES)
    for box in boxes:
        overlap = np.minimum(reach[:, 2:], box[2:]) - np.maximum(reach[:, :2], box[:2])
        covered += np.prod(np.maximum(overlap, 0), axis=1)
    return (*spots[covered.argmin()], depth)  # the first place that covers least
