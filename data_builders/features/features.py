"""The features of the images of one account, as retrieval reads them."""

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Features:
    """What the extractors say about I images. The arrays of a part that the store lacks are None.

    Attributes:
      keypoints: float32 [I, P, 17, 3], x and y in pixels of the upright image, and score. P is the largest number of
        people in an image; other images are padded. Part "pose".
      boxes: float32 [I, P, 4], x0, y0, x1, y1 in the same pixels. Part "pose".
      people: int32 [I], people found in each image. Part "pose".
      width, height: int32 [I], pixels of the upright image.
      background: float32 [I, D].
      caption: float32 [I, E].
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

    def rows(self, index: np.ndarray | slice) -> "Features":
        """The images at `index`: positions, a slice or a bool mask."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part[index] for name, part in parts.items() if part is not None})
