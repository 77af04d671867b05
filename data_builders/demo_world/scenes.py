"""Eight places: sky or wall, ground, and what rises behind the horizon, with their depth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_builders.demo_world.canvas import Canvas, texture

HORIZON_DEPTH = 0.86  # the ground's depth runs from 0 at the picture's lower edge to this
SKY_DEPTH = 0.97  # at the horizon; 1 at the picture's upper edge
PROPS_DEPTH = (0.88, 0.96)  # of what rises behind the horizon

Rgb = tuple[int, int, int]
Props = Callable[[Canvas, np.random.Generator, float], None]


@dataclass(frozen=True)
class Scene:
    """A place.

    Attributes:
      top, low: colours of sky or wall, at the picture's upper edge and at the horizon.
      ground_far, ground_near: colours of the ground, at the horizon and at the lower edge.
      clouds: sd of the sky's texture.
      grain: (rows, columns, sd) of the ground's texture.
      props: draws what rises behind the horizon.
    """

    top: Rgb
    low: Rgb
    ground_far: Rgb
    ground_near: Rgb
    clouds: float
    grain: tuple[int, int, float]
    props: Props


def ground_y(depth: float, horizon: float) -> float:
    """y of the point on the ground at `depth`."""
    return 1 - (1 - horizon) * depth / HORIZON_DEPTH


def background(scene: Scene, rng: np.random.Generator, side: int, enlarge: int) -> tuple[Canvas, float]:
    """A canvas with the place and nobody in it, and y of its horizon in the middle of the picture."""
    horizon = rng.uniform(0.46, 0.58)
    slope = rng.normal(0, 0.03)
    tints = rng.normal(0, 9, size=(4, 3))
    top, low, far, near = (
        np.array(c, np.float32) + tint.astype(np.float32)
        for c, tint in zip((scene.top, scene.low, scene.ground_far, scene.ground_near), tints, strict=True)
    )
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    line = np.float32(horizon) + np.float32(slope) * (centres[None, :] - 0.5)  # [1, S]
    y = centres[:, None]  # [S, 1]
    above = np.clip(y / line, 0, 1)  # 0 at the top, 1 at the horizon
    below = np.clip((y - line) / (1 - line), 0, 1)  # 0 at the horizon, 1 at the lower edge
    sky = top + above[..., None] * (low - top)
    ground = far + below[..., None] * (near - far)
    rows, columns, strength = scene.grain
    sky += (scene.clouds * (texture(rng, (6, 4), side) + 0.5 * texture(rng, (16, 9), side)))[..., None]
    ground += (strength * (texture(rng, (rows, columns), side) + 0.7 * texture(rng, (24, 24), side)))[..., None]
    blend = np.clip((y - line) * side + 0.5, 0, 1)[..., None]  # a soft horizon
    depth = np.where(y >= line, HORIZON_DEPTH * (1 - below), 1 - (1 - SKY_DEPTH) * above)
    canvas = Canvas(sky + blend * (ground - sky), depth, enlarge)
    scene.props(canvas, rng, horizon)
    return canvas, horizon


def _depths(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sort(rng.uniform(*PROPS_DEPTH, size=count))[::-1]


def _shade(colour: Rgb, rng: np.random.Generator, spread: float = 14) -> np.ndarray:
    return np.array(colour) + rng.normal(0, spread)


def _sea(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    canvas.ellipse(rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.3), 0.06, 0.06, (255, 244, 190), 0.99)
    bottom = horizon + 0.03  # a strip of sea stands behind the sand
    canvas.rectangle(0, horizon - rng.uniform(0.08, 0.12), 1, bottom, _shade((38, 120, 170), rng), 0.9)
    for _ in range(5):
        x, y = rng.uniform(0, 0.8), rng.uniform(horizon - 0.07, bottom - 0.01)
        canvas.limb([(x, y), (x + rng.uniform(0.08, 0.2), y)], 0.008, (200, 226, 235), 0.9)


def _trees(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    for depth in _depths(rng, 8):
        x, w, h = rng.uniform(0, 1), rng.uniform(0.025, 0.05), rng.uniform(0.3, 0.5)
        canvas.rectangle(x - w / 2, horizon - h, x + w / 2, horizon + 0.03, _shade((84, 58, 38), rng), depth)
        leaves = _shade((44, 104, 46), rng, 20)
        for _ in range(3):
            canvas.ellipse(x + rng.normal(0, 0.04), horizon - h + rng.normal(0, 0.05), 0.11, 0.1, leaves, depth)


def _peaks(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    for depth in _depths(rng, 4):
        x, w, h = rng.uniform(0, 1), rng.uniform(0.25, 0.4), rng.uniform(0.2, 0.38)
        foot = horizon + 0.03
        canvas.polygon([(x - w, foot), (x, horizon - h), (x + w, foot)], _shade((104, 106, 124), rng), depth)
        cap = [
            (x - 0.3 * w, horizon - 0.7 * h),
            (x, horizon - h),
            (x + 0.3 * w, horizon - 0.7 * h),
            (x, horizon - 0.62 * h),
        ]
        canvas.polygon(cap, (238, 240, 246), depth)


def _towers(
    canvas: Canvas, rng: np.random.Generator, horizon: float, wall: Rgb = (132, 128, 134), pane: Rgb = (206, 214, 220)
) -> None:
    for depth in _depths(rng, 7):
        x, w, h = rng.uniform(0, 1), rng.uniform(0.07, 0.12), rng.uniform(0.15, 0.42)
        canvas.rectangle(x - w, horizon - h, x + w, horizon + 0.03, _shade(wall, rng, 20), depth)
        for row in np.arange(horizon - h + 0.03, horizon - 0.02, 0.06):
            for column in np.arange(x - w + 0.02, x + w - 0.03, 0.05):
                if rng.uniform() < 0.75:
                    canvas.rectangle(column, row, column + 0.025, row + 0.03, pane, depth)


def _furniture(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    x = rng.uniform(0.05, 0.6)
    canvas.rectangle(x, 0.1, x + 0.32, horizon - 0.12, (246, 240, 228), 0.95)
    canvas.rectangle(x + 0.02, 0.12, x + 0.3, horizon - 0.14, _shade((168, 206, 232), rng), 0.96)
    canvas.rectangle(x + 0.15, 0.12, x + 0.17, horizon - 0.14, (246, 240, 228), 0.95)
    x = (x + rng.uniform(0.45, 0.6)) % 0.85
    canvas.rectangle(x, 0.16, x + 0.14, 0.36, (92, 64, 46), 0.95)
    canvas.rectangle(x + 0.02, 0.18, x + 0.12, 0.34, rng.uniform(60, 220, 3), 0.95)
    canvas.rectangle(0, horizon - 0.03, 1, horizon + 0.012, (240, 234, 224), 0.9)


def _dunes(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    canvas.ellipse(rng.uniform(0.15, 0.85), rng.uniform(0.12, 0.34), 0.1, 0.1, (255, 222, 140), 0.985)
    x = np.linspace(0, 1, 24)
    for depth in _depths(rng, 3):
        waves = np.sin(rng.uniform(4, 9) * x + rng.uniform(0, 6)) * 0.04
        crest = horizon - rng.uniform(0.02, 0.12) - waves
        points = [*zip(x, crest, strict=True), (1, horizon + 0.04), (0, horizon + 0.04)]
        canvas.polygon(points, _shade((206, 142, 84), rng, 16), depth)


def _firs(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    for depth in _depths(rng, 9):
        x, w, h = rng.uniform(0, 1), rng.uniform(0.05, 0.08), rng.uniform(0.15, 0.32)
        green = _shade((52, 84, 78), rng)
        for step in range(3):
            y = horizon + 0.02 - step * h / 3
            wide = w * (1 - 0.25 * step)
            canvas.polygon([(x - wide, y), (x, y - h / 2), (x + wide, y)], green, depth)
            tip = [(x - wide / 3, y - h / 3), (x, y - h / 2), (x + wide / 3, y - h / 3)]
            canvas.polygon(tip, (240, 244, 250), depth)


def _lights(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    for _ in range(30):
        x, y = rng.uniform(0, 1), rng.uniform(0, horizon)
        canvas.ellipse(x, y, 0.006, 0.006, (214, 214, 236), 0.99)
    canvas.ellipse(rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.2), 0.05, 0.05, (236, 236, 214), 0.985)
    _towers(canvas, rng, horizon, wall=(30, 30, 48), pane=(236, 190, 92))


PLACES = (
    Scene((86, 160, 224), (196, 226, 240), (226, 206, 160), (240, 222, 178), 9, (30, 10, 6), _sea),
    Scene((140, 176, 160), (196, 214, 176), (70, 96, 52), (92, 112, 60), 12, (30, 30, 13), _trees),
    Scene((120, 170, 222), (222, 230, 238), (126, 150, 92), (104, 136, 74), 14, (12, 18, 10), _peaks),
    Scene((176, 190, 206), (224, 224, 222), (128, 126, 126), (96, 96, 100), 8, (40, 6, 6), _towers),
    Scene((224, 206, 184), (234, 220, 202), (160, 112, 74), (182, 130, 88), 3, (3, 40, 8), _furniture),
    Scene((232, 142, 96), (250, 206, 142), (216, 156, 96), (232, 178, 116), 7, (40, 5, 8), _dunes),
    Scene((164, 178, 198), (214, 222, 232), (226, 232, 242), (242, 246, 252), 7, (10, 10, 5), _firs),
    Scene((14, 16, 44), (52, 40, 84), (48, 46, 66), (34, 34, 50), 4, (40, 8, 6), _lights),
)  # in the order of likes.SCENES
