"""Six objects that stand on the ground beside people, and the balloon, whose size never tells its depth.

An object has its foot at (x, y), the height h in units of the picture's side, and the depth z.
"""

from itertools import pairwise

import numpy as np

from data_builders.demo_world.canvas import Canvas

WHEEL, GLASS, WOOD, LEAF = (34, 34, 38), (176, 206, 222), (150, 96, 52), (62, 128, 58)
BALLOON = 0.085  # radius, the same at every depth
BALLOON_COLOUR = (226, 40, 150)


def dog(canvas: Canvas, rng: np.random.Generator, x: float, y: float, h: float, z: float) -> None:
    """A dog that faces right."""
    fur = np.array([(168, 116, 66), (70, 56, 50), (226, 210, 184)])[rng.integers(3)] + rng.normal(0, 8)
    for leg in (-0.42, -0.26, 0.22, 0.38):
        canvas.limb([(x + leg * h, y - 0.35 * h), (x + leg * h, y - 0.04 * h)], 0.1 * h, fur * 0.85, z)
    canvas.ellipse(x, y - 0.5 * h, 0.52 * h, 0.22 * h, fur, z)
    canvas.limb([(x - 0.48 * h, y - 0.55 * h), (x - 0.7 * h, y - 0.85 * h)], 0.08 * h, fur, z)
    canvas.ellipse(x + 0.52 * h, y - 0.76 * h, 0.2 * h, 0.19 * h, fur, z)
    canvas.ellipse(x + 0.7 * h, y - 0.7 * h, 0.11 * h, 0.08 * h, fur, z)
    canvas.ellipse(x + 0.42 * h, y - 0.8 * h, 0.07 * h, 0.16 * h, fur * 0.6, z)
    canvas.ellipse(x + 0.78 * h, y - 0.72 * h, 0.035 * h, 0.035 * h, WHEEL, z)


def car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, h: float, z: float) -> None:
    """A car from its side."""
    paint = rng.uniform(40, 230, 3)
    roof = [(-0.55, -0.5), (-0.35, -0.92), (0.3, -0.92), (0.6, -0.5)]
    window = [(-0.42, -0.52), (-0.29, -0.82), (0.24, -0.82), (0.45, -0.52)]
    canvas.polygon([(x + a * h, y + b * h) for a, b in roof], paint * 0.9, z)
    canvas.polygon([(x + a * h, y + b * h) for a, b in window], GLASS, z)
    canvas.rectangle(x - 0.95 * h, y - 0.55 * h, x + 0.95 * h, y - 0.18 * h, paint, z)
    for wheel in (-0.55, 0.55):
        canvas.ellipse(x + wheel * h, y - 0.16 * h, 0.19 * h, 0.19 * h, WHEEL, z)
        canvas.ellipse(x + wheel * h, y - 0.16 * h, 0.08 * h, 0.08 * h, (190, 190, 194), z)
    canvas.ellipse(x + 0.88 * h, y - 0.42 * h, 0.06 * h, 0.06 * h, (255, 240, 190), z)


def parasol(canvas: Canvas, rng: np.random.Generator, x: float, y: float, h: float, z: float) -> None:
    """A striped parasol."""
    cloth = rng.uniform(50, 240, 3)
    canvas.limb([(x, y), (x, y - 1.2 * h)], 0.06 * h, (226, 220, 206), z)
    edges = np.linspace(-0.8, 0.8, 6)
    for i, (left, right) in enumerate(pairwise(edges)):
        colour = cloth if i % 2 == 0 else (246, 244, 238)
        canvas.polygon([(x + left * h, y - 0.95 * h), (x, y - 1.5 * h), (x + right * h, y - 0.95 * h)], colour, z)


def bicycle(canvas: Canvas, rng: np.random.Generator, x: float, y: float, h: float, z: float) -> None:
    """A bicycle from its side."""
    paint = rng.uniform(40, 220, 3)
    rear, front = (x - 0.55 * h, y - 0.34 * h), (x + 0.55 * h, y - 0.34 * h)
    saddle, pedal, fork = (x - 0.22 * h, y - 0.8 * h), (x - 0.08 * h, y - 0.34 * h), (x + 0.4 * h, y - 0.85 * h)
    for wheel in (rear, front):
        canvas.ring(*wheel, 0.34 * h, 0.07 * h, WHEEL, z)
    for bar in ((rear, saddle), (rear, pedal), (saddle, pedal), (saddle, fork), (pedal, fork), (fork, front)):
        canvas.limb(bar, 0.07 * h, paint, z)
    canvas.limb([(x - 0.34 * h, y - 0.86 * h), (x - 0.12 * h, y - 0.86 * h)], 0.08 * h, WHEEL, z)
    canvas.limb([(x + 0.34 * h, y - 1.0 * h), fork, (x + 0.54 * h, y - 0.98 * h)], 0.06 * h, WHEEL, z)


def guitar(canvas: Canvas, rng: np.random.Generator, x: float, y: float, h: float, z: float) -> None:
    """A guitar that stands upright."""
    wood = np.array(WOOD) + rng.normal(0, 22, 3)
    canvas.ellipse(x, y - 0.3 * h, 0.34 * h, 0.3 * h, wood, z)
    canvas.ellipse(x, y - 0.7 * h, 0.26 * h, 0.23 * h, wood, z)
    canvas.ellipse(x, y - 0.5 * h, 0.12 * h, 0.12 * h, (48, 30, 20), z)
    canvas.limb([(x, y - 0.6 * h), (x, y - 1.45 * h)], 0.1 * h, (84, 52, 32), z)
    canvas.rectangle(x - 0.1 * h, y - 1.6 * h, x + 0.1 * h, y - 1.42 * h, (48, 30, 20), z)
    canvas.rectangle(x - 0.14 * h, y - 0.22 * h, x + 0.14 * h, y - 0.17 * h, (48, 30, 20), z)


def flowers(canvas: Canvas, rng: np.random.Generator, x: float, y: float, h: float, z: float) -> None:
    """Flowers in a pot."""
    petals = rng.uniform(90, 255, 3)
    for _ in range(6):
        tip = (x + rng.uniform(-0.45, 0.45) * h, y - rng.uniform(0.8, 1.25) * h)
        canvas.limb([(x, y - 0.3 * h), tip], 0.05 * h, LEAF, z)
        canvas.ellipse(*tip, 0.15 * h, 0.15 * h, petals, z)
        canvas.ellipse(*tip, 0.06 * h, 0.06 * h, (250, 214, 92), z)
    pot = [(-0.3, -0.45), (0.3, -0.45), (0.2, 0.0), (-0.2, 0.0)]
    canvas.polygon([(x + a * h, y + b * h) for a, b in pot], (178, 92, 60), z)


THINGS = (dog, car, parasol, bicycle, guitar, flowers)  # in the order of likes.OBJECTS
HALF_WIDTH = (0.85, 0.95, 0.8, 0.92, 0.36, 0.6)  # in units of h
TALLNESS = (0.95, 0.95, 1.5, 1.0, 1.6, 1.4)  # in units of h


def balloon(canvas: Canvas, x: float, y: float, z: float) -> None:
    """The balloon looks the same at every depth z: only the depth map tells near from far."""
    r = BALLOON
    canvas.limb([(x, y + r), (x - 0.02, y + 1.6 * r), (x + 0.01, y + 2.1 * r)], 0.012, (240, 240, 240), z)
    canvas.ellipse(x, y, 0.92 * r, 1.05 * r, BALLOON_COLOUR, z)
    canvas.polygon([(x - 0.02, y + 1.2 * r), (x, y + r), (x + 0.02, y + 1.2 * r)], BALLOON_COLOUR, z)
    canvas.ellipse(x - 0.3 * r, y - 0.35 * r, 0.25 * r, 0.3 * r, (255, 190, 226), z)
