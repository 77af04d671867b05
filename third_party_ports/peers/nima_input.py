"""NIMA's view of a photo: warped to a square by nearest neighbour, -1 to 1, as its Keras loader had it in training.

Runs in processes that only read images: NumPy and Pillow, no JAX.
"""

from typing import Any

import numpy as np
from PIL import Image


def resized(image: np.ndarray, side: int = 224) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> [side, side, 3] uint8, the aspect ignored, each pixel the nearest one of the photo."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST))


def scaled(images: Any) -> Any:
    """[...] 0 to 255, as a NumPy or a JAX array -> float32 in [-1, 1] of its kind. No mean, no deviation."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)
