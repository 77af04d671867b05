"""The features of an account's images, as retrieval reads them."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Features:
    """What the extractors say of I images. A part (pose: the first three) is None where it is not stored.

    Attributes:
      keypoints: f32 [I, P, 17, 3], x and y in pixels of the upright image, score; rows past `people` are padding.
      boxes: f32 [I, P, 4], x0, y0, x1, y1 in the same pixels.
      people: i32 [I], people found.
      width, height: i32 [I], pixels of the upright image.
      background: f32 [I, D].
      caption: f32 [I, E].
    """

    keypoints: np.ndarray | None
    boxes: np.ndarray | None
    people: np.ndarray | None
    width: np.ndarray
    height: np.ndarray
    background: np.ndarray | None
    caption: np.ndarray | None

    def __len__(self) -> int:
        return len(self.width)

    def rows(self, index: np.ndarray) -> "Features":
        """The images at `index` (positions, slice or bool mask), in its order."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Features(*(None if part is None else part[index] for part in parts))
