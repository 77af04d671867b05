"""One row of the feature store: people, depth and the columns of a shard as they are stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
PARTS = ("pose", "background", "caption", "depth")
VECTORS = ("background", "caption_vector")
KEYPOINTS = 17  # COCO
MAX_PEOPLE = 8

Person = tuple[np.ndarray, np.ndarray, float]  # keypoints [17, 3], box [4], score


def encode_depth(depth: np.ndarray, side: int) -> np.ndarray:
    """A depth map [h, w] of any unit as uint16 [side, side]: min-max over the whole map, a constant map gives 0.

    Raises:
      ValueError: the map is not two-dimensional, is empty or holds a number that is not finite.
    """
    from PIL import Image

    values = np.asarray(depth, np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"a depth map is a finite array [h, w]; got shape {values.shape}")
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros((side, side), np.uint16)
    values = (values - low) / (high - low)
    if values.shape != (side, side):
        resized = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR)
        values = np.clip(np.asarray(resized, np.float64), 0, 1)
    return np.rint(values * 65535).astype(np.uint16)


def people_row(people: Sequence[Person], width: int, height: int, where: str) -> dict[str, np.ndarray]:
    """Columns keypoints, boxes and scores: the eight people of the highest scores, keypoints outside at score 0.

    Raises:
      ValueError: a shape is wrong or a number not finite; `where` begins the message.
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
        raise ValueError(f"{where}: a keypoint, box or score is not finite")
    x, y = keypoints[..., 0], keypoints[..., 1]
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    keypoints[..., 2] = np.where(outside, 0, keypoints[..., 2])
    return {"keypoints": keypoints.ravel(), "boxes": boxes.ravel(), "scores": scores}


def shard_schema(extractors: Mapping[str, object], dims: Mapping[str, int]) -> "pa.Schema":
    """Columns of a shard of a store with these parts; `dims` holds the lengths of its vectors."""
    import pyarrow as pa

    fields = {"account": pa.string(), "image_id": pa.string(), "width": pa.int32(), "height": pa.int32()}
    if "pose" in extractors:
        fields |= dict.fromkeys(("keypoints", "boxes", "scores"), pa.list_(pa.float32()))
    if "background" in extractors:
        fields["background"] = pa.list_(pa.float32(), dims["background"])
    if "caption" in extractors:
        fields["caption_vector"] = pa.list_(pa.float32(), dims["caption_vector"])
    fields["caption_text"] = pa.string()
    if "depth" in extractors:
        fields["depth"] = pa.binary()
    return pa.schema(list(fields.items()))


def check_header(header: dict, path: Path) -> None:
    """Raises ValueError for a header of another format or one that describes its parts incompletely."""
    if header["format"] != FORMAT:
        raise ValueError(f"{path}/header.json: format {header['format']}, this code reads {FORMAT}; extract again")
    for part, extractor in header["extractors"].items():
        if part not in PARTS:
            raise ValueError(f"{path}: extractors has the part {part!r}; parts are {', '.join(PARTS)}")
        if set(extractor) != {"name", "version", "weights_sha256"}:
            raise ValueError(f"{path}: extractors[{part!r}] needs name, version, weights_sha256; got {dict(extractor)}")
    if "depth" in header["extractors"] and header["depth_side"] < 1:
        raise ValueError(f"{path}: depth_side must be positive when the part depth is stored")


def shard_paths(path: Path) -> list[Path]:
    """The complete shards of the store at `path`, in order."""
    return sorted(path.glob("part-*.arrow"))
