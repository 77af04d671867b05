"""The feature store's format: its parts, its header, and people and depth as a row stores them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FORMAT = 1
HEADER = "header.json"
PARTS = ("pose", "background", "caption", "depth")
VECTORS = ("background", "caption_vector")  # columns
KEYPOINTS = 17  # COCO's
MAX_PEOPLE = 8


class StoreError(ValueError):
    """A file of a feature store is damaged or of another format. The message names it, and what to do."""


Person = tuple[np.ndarray, np.ndarray, float]  # keypoints [17, 3], box [4], score


def encode_depth(depth: np.ndarray, side: int) -> np.ndarray:
    """Scales a depth map to the whole range of uint16 and shrinks it.

    Args:
      depth: [h, w] numbers of any unit.
      side: pixels, of the result.

    Returns:
      uint16 [side, side]: 0 is the nearest point of the whole map, 65535 its farthest. A constant map gives 0.

    Raises:
      ValueError: the map is empty, is not two-dimensional, or holds a number that is not finite.
    """
    values = np.asarray(depth, np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a depth map must be [h, w] finite numbers; got shape {values.shape}")
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros((side, side), np.uint16)
    values = (values - low) / (high - low)
    if values.shape != (side, side):
        resized = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
        values = np.clip(np.asarray(resized, np.float64), 0, 1)
    return np.rint(values * 65535).astype(np.uint16)


def people_row(people: Sequence[Person], width: int, height: int, where: str) -> dict[str, np.ndarray]:
    """The columns `keypoints`, `boxes` and `scores` of a row, float32 and flat.

    Only the eight people with the highest scores are kept. A keypoint outside the image gets score 0.

    Args:
      people: found in the image, in its pixels.
      width, height: pixels of the image.
      where: the beginning of error messages.

    Raises:
      ValueError: a shape is wrong, or a number is not finite.
    """
    best = sorted(people, key=lambda person: -float(person[2]))[:MAX_PEOPLE]
    keypoints = np.array([person[0] for person in best] or np.zeros((0, KEYPOINTS, 3)), np.float32)
    boxes = np.array([person[1] for person in best] or np.zeros((0, 4)), np.float32)
    scores = np.array([person[2] for person in best], np.float32)
    if keypoints.shape[1:] != (KEYPOINTS, 3) or boxes.shape[1:] != (4,):
        raise ValueError(
            f"{where}: a person is (keypoints [17, 3], box [4], score); got shapes "
            f"{keypoints.shape[1:]} and {boxes.shape[1:]}"
        )
    if not (np.isfinite(keypoints).all() and np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f"{where}: a keypoint, box or score is not a finite number")
    x, y = keypoints[..., 0], keypoints[..., 1]
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    keypoints[..., 2] = np.where(outside, 0, keypoints[..., 2])
    return {"keypoints": keypoints.ravel(), "boxes": boxes.ravel(), "scores": scores}


def check_header(header: Mapping[str, Any], path: Path) -> None:
    """Raises StoreError for a header of another format, or one that does not describe all of its parts."""
    if header["format"] != FORMAT:
        raise StoreError(
            f"{path}/header.json: format is {header['format']}, but this version reads {FORMAT}: extract again"
        )
    for part, extractor in header["extractors"].items():
        if part not in PARTS:
            raise StoreError(f"{path}/header.json: extractors has {part!r}, which is not one of {', '.join(PARTS)}")
        if set(extractor) != {"name", "version", "weights_sha256"}:
            raise StoreError(
                f"{path}/header.json: {part} needs name, version and weights_sha256, got {dict(extractor)}"
            )
    if "depth" in header["extractors"] and header["depth_side"] < 1:
        raise StoreError(f"{path}/header.json: depth_side is {header['depth_side']}: the part depth needs 1 or more")
    if not isinstance(header["random_weights"], bool):
        raise StoreError(f"{path}/header.json: random_weights is {header['random_weights']!r}, not true or false")
