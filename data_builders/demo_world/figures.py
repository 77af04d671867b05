"""People in six poses, drawn limb by limb from COCO's 17 keypoints. The feature store gets the same keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_builders.demo_world.canvas import Canvas, Colour, Point
from data_builders.demo_world.scenes import ground_y

NOSE, L_EAR, R_EAR = 0, 3, 4
L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = range(5, 11)
L_HIP, R_HIP, L_KNEE, R_KNEE, L_ANKLE, R_ANKLE = range(11, 17)
JITTER = 0.012  # sd of a joint's place from figure to figure, as a share of the height
MARGIN = 0.07  # between the keypoints and their box, as a share of the height: heads and hands are wider than joints

_SKIN = np.array([(244, 208, 178), (222, 172, 130), (176, 122, 84), (110, 74, 52)])
_HAIR = np.array([(36, 26, 22), (92, 58, 34), (198, 156, 92), (150, 66, 34)])


@dataclass(frozen=True)
class Figure:
    """A person in the picture. Lengths are in units of the picture's side.

    Attributes:
      keypoints: [17, 2], x and y.
      box: [4], x0, y0, x1, y1.
      height: of the person when standing.
      depth: from 0 (near) to 1 (far).
    """

    keypoints: np.ndarray
    box: np.ndarray
    height: float
    depth: float


_Pair = Sequence[Point]  # left and right


def _pose(elbows: _Pair, wrists: _Pair, hips: _Pair, knees: _Pair, ankles: _Pair, lift: float = 0.0) -> np.ndarray:
    """Keypoints [17, 2] in units of the standing height, x to the right, y up from the ground."""
    head = [(0, 0.91), (0.025, 0.93), (-0.025, 0.93), (0.055, 0.92), (-0.055, 0.92), (0.12, 0.80), (-0.12, 0.80)]
    upper = [(x, y + lift) for x, y in (*head, *elbows, *wrists)]
    return np.array([*upper, *hips, *knees, *ankles])


def _both(x: float, y: float) -> _Pair:
    return (x, y), (-x, y)


_STANDING = _pose(_both(0.16, 0.63), _both(0.18, 0.48), _both(0.08, 0.50), _both(0.085, 0.27), _both(0.09, 0.03))
_LYING = np.stack([0.5 - _STANDING[:, 1], 0.13 + 0.9 * _STANDING[:, 0]], axis=1)  # the head to the left

TEMPLATES = (
    _STANDING,
    _pose(_both(0.22, 0.92), _both(0.25, 1.09), _both(0.08, 0.50), _both(0.1, 0.27), _both(0.12, 0.03)),
    _pose(
        [(0.21, 0.66), (-0.2, 0.65)],
        [(0.3, 0.76), (-0.3, 0.55)],
        _both(0.07, 0.50),
        [(0.17, 0.31), (-0.12, 0.26)],
        [(0.27, 0.06), (-0.3, 0.08)],
    ),
    _pose(
        _both(0.19, 0.62),
        _both(0.17, 0.47),
        _both(0.09, 0.2),
        _both(0.22, 0.24),
        [(-0.02, 0.04), (0.02, 0.03)],
        lift=-0.3,
    ),
    _pose(
        _both(0.13, 0.97),
        _both(0.02, 1.1),
        _both(0.08, 0.50),
        [(0.24, 0.40), (-0.07, 0.27)],
        [(0.02, 0.30), (-0.06, 0.03)],
    ),
    _LYING,
)  # in the order of likes.POSES


def place(pose: int, x: float, height: float, depth: float, horizon: float, rng: np.random.Generator) -> Figure:
    """A figure that stands on the ground at `depth`, with its middle at x. pose: its number in TEMPLATES."""
    body = TEMPLATES[pose] + rng.normal(0, JITTER, size=(17, 2))
    ground = ground_y(depth, horizon)
    keypoints = np.stack([x + height * body[:, 0], ground - height * body[:, 1]], axis=1)
    margin = MARGIN * height
    box = np.concatenate([keypoints.min(axis=0) - margin, keypoints.max(axis=0) + margin])
    return Figure(keypoints, np.clip(box, 0, 1), height, depth)


def draw(figure: Figure, canvas: Canvas, rng: np.random.Generator) -> None:
    """Draws legs, trunk, arms and head, in random clothes."""
    k, h, depth = figure.keypoints, figure.height, figure.depth
    skin, hair = _SKIN[rng.integers(4)] + rng.normal(0, 6), _HAIR[rng.integers(4)]
    shirt, trousers = rng.uniform(30, 235, 3), rng.uniform(20, 150, 3)

    def limb(joints: Sequence[int], width: float, colour: Colour) -> None:
        canvas.limb([tuple(k[joint]) for joint in joints], width * h, colour, depth)

    def ellipse(centre: np.ndarray, rx: float, ry: float, colour: Colour) -> None:
        canvas.ellipse(centre[0], centre[1], rx * h, ry * h, colour, depth)

    for hip, knee, ankle in ((R_HIP, R_KNEE, R_ANKLE), (L_HIP, L_KNEE, L_ANKLE)):
        limb((hip, knee, ankle), 0.085, trousers)
        ellipse(k[ankle] + (0, 0.01 * h), 0.05, 0.03, (40, 34, 34))
    limb((L_HIP, R_HIP), 0.09, trousers)
    trunk = (L_SHOULDER, R_SHOULDER, R_HIP, L_HIP)
    canvas.polygon([tuple(k[joint]) for joint in trunk], shirt, depth)
    limb((L_SHOULDER, R_SHOULDER), 0.085, shirt)
    neck = (k[L_SHOULDER] + k[R_SHOULDER]) / 2
    head = (k[L_EAR] + k[R_EAR]) / 2
    canvas.limb([tuple(neck), tuple(head)], 0.06 * h, skin, depth)
    for shoulder, elbow, wrist in ((R_SHOULDER, R_ELBOW, R_WRIST), (L_SHOULDER, L_ELBOW, L_WRIST)):
        limb((elbow, wrist), 0.055, skin)
        limb((shoulder, elbow), 0.065, shirt)
    up = (head - neck) / max(np.linalg.norm(head - neck), 1e-6)
    ellipse(head + 0.018 * h * up, 0.082, 0.088, hair)
    ellipse(head - 0.012 * h * up, 0.066, 0.072, skin)
    for eye in (1, 2):
        ellipse(k[eye], 0.009, 0.012, (30, 24, 24))
