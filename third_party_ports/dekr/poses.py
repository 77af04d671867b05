"""From DEKR's output maps to the people in a photo, each with keypoints, a box and a score.

Follows HRNet/DEKR (MIT; CVPR 2021) up to image coordinates. What is stored of the people is this project's choice
(`stored`). Uses NumPy and SciPy, no jax. Base pixels are those of the canvas at test scale 1 (`canvas.Geometry`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from third_party_ports.dekr.canvas import Geometry
from third_party_ports.dekr.maps import (
    CENTRE,
    KEYPOINTS,
    flip_average,
    heat_at,
    peaks,
    pool_size,
    poses_at,
    whole_mean_heat,
)
from third_party_ports.dekr.nms import keep, neighbours
from third_party_ports.dekr.refinement import refined

STRIDE = 4  # canvas pixels per map pixel
FEWEST_VISIBLE = 3  # visible keypoints that a stored person needs
Outputs = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


@dataclass(frozen=True)
class PoseSettings:
    """The released COCO settings, and this project's choices of what is stored.

    Attributes:
      scales: the test scales that the network sees; 1 must be among them.
      flip: whether the network also sees the mirrored canvases.
      max_people: how many peaks are taken per scale, and how many people are kept.
      centre_threshold: a peak of the centre heat must be above this (the original's `keypoint_threshold`).
      pool_threshold1, pool_threshold2: mean side of a map above which centres compete in 7 x 7 or 5 x 5 pixels.
      nms_thre: keypoints nearer than this share of a pose's diagonal are common. None: 0.05 with one scale, else 0.15.
      nms_num_thre: poses with more common keypoints than this are one person.
      decrease: factor of the other scales' centre scores, relative to scale 1.
      match_hmp: whether poses are refined on the heat, with adjust_threshold, max_absorb_distance, gaussian_kernel and
        sigma (see `refinement.refined`).
      original_defect: whether the refinement repeats the original's error at the border (see `refinement.fitted`).
      person_score: a person is stored if the final score is at least this.
      keypoint_score: a keypoint inside the image is visible if its score is above this.
      max_stored: how many people are stored per photo.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = True
    max_people: int = 30
    centre_threshold: float = 0.01
    pool_threshold1: float = 300
    pool_threshold2: float = 200
    nms_thre: float | None = None
    nms_num_thre: int = 8
    decrease: float = 0.9
    match_hmp: bool = False
    adjust_threshold: float = 0.05
    max_absorb_distance: float = 75
    gaussian_kernel: int = 6
    sigma: float = 2.0
    original_defect: bool = False
    person_score: float = 0.1
    keypoint_score: float = 0.05
    max_stored: int = 8


class Person(NamedTuple):
    """A person in a photo.

    Attributes:
      keypoints: float32 [17, 3], x and y in pixels of the photo, and score, which is 0 outside the photo.
      box: float32 [4], (x0, y0, x1, y1) in pixels of the photo.
      score: of the person.
    """

    keypoints: np.ndarray
    box: np.ndarray
    score: float


class ScaleMaps(NamedTuple):
    """One scale's maps, float32: heat [h, w, 18], averaged with the mirrored canvas's; offsets [h, w, 34] as given."""

    scale: float
    heat: np.ndarray
    offset: np.ndarray
    offset_mirrored: np.ndarray | None


class Candidates(NamedTuple):
    """Poses before NMS, scales descending.

    Attributes:
      points: float32 [n, 17, 2], in base pixels.
      centre: [n], centre scores, balanced between scales.
      heat: [n, 17], keypoint heat.
      counts: how many poses each scale gave.
    """

    points: np.ndarray
    centre: np.ndarray
    heat: np.ndarray
    counts: tuple[int, ...]

    @property
    def heat_score(self) -> np.ndarray:
        """[n]: the mean keypoint heat."""
        return self.heat.mean(axis=1)


def people(
    maps: Mapping[float, Outputs],
    geometry: Geometry,
    settings: PoseSettings | None = None,
    rescore: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[Person]:
    """Finds the people in a photo.

    Args:
      maps: by test scale, the network's heat [h, w, 18] and offset [h, w, 34] for the canvas, then for the mirrored
        canvas (or None, None), any float type.
      geometry: of the photo's canvas.
      settings: None: the released ones.
      rescore: keypoints [N, 17, 3] in pixels of the photo -> factors of the scores [N] (`rescoring.rescorer`).

    Returns:
      The people by descending score; an empty list if there are none.

    Raises:
      ValueError: scale 1 is not among the maps, a map's shape does not fit the canvas, or a value is not finite.
    """
    settings = settings or PoseSettings()
    scales = scale_maps(maps, geometry.base)
    found = candidates(scales, geometry.base, settings)
    if len(found.points) == 0:
        return []
    poses = kept_poses(found, select(found, settings))
    scores = poses[..., 2].mean(axis=1)
    if settings.match_hmp:
        poses = refine(poses, scales, geometry.base, settings)
    keypoints = in_image(poses, geometry)
    if rescore is not None:
        scores = scores * rescore(keypoints)
    return stored(keypoints, scores, geometry.height, geometry.width, settings)


def scale_maps(maps: Mapping[float, Outputs], base: tuple[int, int]) -> list[ScaleMaps]:
    """Checks the network's outputs and returns them as float32, scales descending. Raises ValueError as `people`."""
    if 1 not in maps:
        raise ValueError(f"maps of scales {sorted(maps)}: add scale 1, to which the scores refer")
    result = []
    for scale in sorted(maps, reverse=True):
        size = tuple(int(side * scale) // STRIDE for side in base)
        for part, channels in zip(maps[scale], (CENTRE + 1, 2 * KEYPOINTS) * 2, strict=True):
            if part is not None and part.shape != (*size, channels):
                raise ValueError(f"a map of scale {scale:g} is {part.shape}; base {base} needs {(*size, channels)}")
            if part is not None and not np.isfinite(part).all():
                raise ValueError(f"the pose network's output at scale {scale:g} is not finite: check its weights")
        heat, offset = (np.asarray(part, np.float32) for part in maps[scale][:2])
        heat_mirrored, offset_mirrored = (
            None if part is None else np.asarray(part, np.float32) for part in maps[scale][2:]
        )
        if (heat_mirrored is None) != (offset_mirrored is None):
            raise ValueError(f"scale {scale:g} has one map of the mirrored canvas: give heat and offset, or None twice")
        result.append(ScaleMaps(scale, flip_average(heat, heat_mirrored), offset, offset_mirrored))
    return result


def candidates(scales: Sequence[ScaleMaps], base: tuple[int, int], settings: PoseSettings) -> Candidates:
    """Returns a pose for each peak of the centre heat, for all scales."""
    points, centre = [], []
    for maps in scales:
        height, width, _ = maps.heat.shape
        window = pool_size(height, width, settings.pool_threshold1, settings.pool_threshold2)
        values, rows, columns = peaks(maps.heat[..., CENTRE], window, settings.max_people)
        high = values > settings.centre_threshold
        poses = poses_at(maps.offset, maps.offset_mirrored, rows[high], columns[high])
        points.append(poses * np.float32(STRIDE / maps.scale))
        centre.append(values[high])
    best = [values.max() if len(values) else np.float32(1) for values in centre]
    reference = next(top for maps, top in zip(scales, best, strict=True) if maps.scale == 1)
    for i, maps in enumerate(scales):
        if maps.scale != 1:
            centre[i] = centre[i] / best[i] * reference * np.float32(settings.decrease)
    found = np.concatenate(points)
    heat = heat_at([maps.heat for maps in scales], base, found)
    return Candidates(found, np.concatenate(centre), heat, tuple(map(len, points)))


def select(found: Candidates, settings: PoseSettings) -> list[int]:
    """Returns the indices of the candidates that NMS keeps, in its order."""
    share = settings.nms_thre
    if share is None:
        share = 0.05 if len(found.counts) == 1 else 0.15
    near = neighbours(found.points, share, settings.nms_num_thre)
    return keep(near, found.heat_score, settings.max_people)


def kept_poses(found: Candidates, kept: Sequence[int]) -> np.ndarray:
    """Returns poses float32 [k, 17, 3]: x and y in base pixels, and score.

    A score is centre score times keypoint heat; the mean over a pose's keypoints is the person's score.
    """
    rows = np.asarray(kept, int)
    scores = found.centre[rows, None] * found.heat[rows]
    return np.concatenate([found.points[rows], scores[..., None]], axis=-1)


def refine(poses: np.ndarray, scales: Sequence[ScaleMaps], base: tuple[int, int], settings: PoseSettings) -> np.ndarray:
    """Matches the x and y of poses [k, 17, 3] to the heat, see `refinement.refined`."""
    heats = [maps.heat for maps in scales]
    return refined(
        poses,
        lambda j: whole_mean_heat(heats, base, np.array([j]))[..., 0],
        peak_count=settings.max_people,
        max_absorb_distance=settings.max_absorb_distance,
        adjust_threshold=settings.adjust_threshold,
        gaussian_kernel=settings.gaussian_kernel,
        sigma=settings.sigma,
        grid="original_defect" if settings.original_defect else "correct",
    )


def in_image(poses: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Converts poses [k, 17, 3] from base pixels to pixels of the photo, float32. Nothing is clipped."""
    return np.concatenate([geometry.to_image(poses[..., :2]), poses[..., 2:]], axis=-1).astype(np.float32)


def stored(keypoints: np.ndarray, scores: np.ndarray, height: int, width: int, settings: PoseSettings) -> list[Person]:
    """Returns the best people found in a photo, if enough of their keypoints are visible.

    Args:
      keypoints: float32 [k, 17, 3], x and y in pixels of the photo, and score.
      scores: [k], the people's final scores.
      height, width: of the photo.
    """
    x, y = keypoints[..., 0], keypoints[..., 1]
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    keypoints = np.concatenate([keypoints[..., :2], np.where(outside, 0, keypoints[..., 2])[..., None]], axis=-1)
    visible = ~outside & (keypoints[..., 2] > settings.keypoint_score)
    order = np.argsort(-scores, kind="stable")
    chosen = [i for i in order if scores[i] >= settings.person_score][: settings.max_stored]
    return [
        Person(keypoints[i].astype(np.float32), box(keypoints[i, visible[i], :2], height, width), float(scores[i]))
        for i in chosen
        if visible[i].sum() >= FEWEST_VISIBLE
    ]


def box(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the box around points [n, 2], float32 [4], cut to the photo.

    It is wider than the points' extent by 10 % of the longer side, at least 1 px, on each side.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    margin = max(0.1 * float((high - low).max()), 1.0)
    corners = np.concatenate([low - margin, high + margin])
    return np.clip(corners, 0, [width, height, width, height]).astype(np.float32)
