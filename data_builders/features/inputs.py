"""What a reading process does for extraction: opens a photo upright and prepares it for each frozen network.

numpy and Pillow alone: jax would cost every reading process a second and its memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_builders import photos
from data_builders.features.background import prepare_background
from data_builders.features.caption import prepare_caption
from data_builders.features.depth import prepare_depth
from data_builders.features.pose import prepare_pose
from data_builders.worker_process import end_with_parent

MAX_ASPECT = 100  # beyond it a photo shrunk to a network's input has nothing left


@dataclass(frozen=True)
class Image:
    """A photo to extract; `path` is relative to the raw root."""

    account: str
    image_id: str
    path: str


@dataclass(frozen=True)
class Inputs:
    """A photo as the networks read it.

    Attributes:
      width, height: of the upright photo, pixels.
      parts: by part of the store, what `prepare_PART` gives.
      reason: why it is left out, "" for a readable one.
    """

    image: Image
    width: int = 0
    height: int = 0
    parts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


class Prepare:
    """Image -> Inputs; a callable that reading processes can be sent.

    Args:
      root: folder that paths are relative to.
      options: `config.extract` as nested dict.
      parts: of the store, of pose, background, caption, depth.
    """

    def __init__(self, root: Path, options: Mapping[str, Any], parts: Sequence[str]):
        self._root, self._options, self._parts = root, options, tuple(parts)

    def __call__(self, image: Image) -> Inputs:
        """Never raises for a photo's sake: one that is missing, broken or of a shape no network takes says why."""
        end_with_parent()
        path = self._root / image.path
        if not path.is_file():
            return Inputs(image, reason=photos.MISSING)
        try:
            photo = photos.read(path)
        except photos.PhotoError:
            return Inputs(image, reason=photos.UNREADABLE)
        height, width = photo.shape[:2]
        if max(height, width) > MAX_ASPECT * min(height, width):
            return Inputs(image, reason=photos.TOO_NARROW)
        parts = {part: PREPARE[part](photo, self._options[part]) for part in self._parts}
        return Inputs(image, width, height, parts)


PREPARE = {
    "pose": prepare_pose,
    "background": prepare_background,
    "caption": prepare_caption,
    "depth": prepare_depth,
}
