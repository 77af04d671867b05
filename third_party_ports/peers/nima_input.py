"""NIMA's input: the photo resized to a square by nearest neighbour, in [-1, 1], as its Keras loader did in training.

Runs in processes that only read images, so it needs NumPy and Pillow, and no JAX.
"""

from typing import Any

import numpy as np
from PIL import Image


def resized(image: np.ndarray, side: int = 224) -> np.ndarray:
    """[H, W, 3] uint8 RGB -> [side, side, 3] uint8. The aspect is ignored; each pixel is the nearest of the photo."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST))


def scaled(images: Any) -> Any:
    """[...] in 0 to 255 -> float32 in [-1, 1], NumPy to NumPy and JAX to JAX. No mean is subtracted."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)
