"""Prepares images as the networks trained on ImageNet expect them, and as torchvision does.

This module needs NumPy and Pillow but no jax, because it runs in processes that only read photos.
Shapes: H W sides in pixels. Channels are R, G, B.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)


def normalise(images: Any) -> Any:
    """Computes (x - MEAN) / STD.

    Args:
      images: [..., 3], uint8 or floating numbers in [0, 1], a NumPy or jax array.

    Returns:
      [..., 3] float32, an array of the same library.

    Raises:
      TypeError: integers of another type, whose range is unknown.
    """
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    elif np.issubdtype(images.dtype, np.integer) or images.dtype == bool:
        raise TypeError(f"normalise: images are {images.dtype}; give uint8, or floating numbers in [0, 1]")
    return (images.astype(np.float32) - MEAN) / STD


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] uint8 -> [*size, 3] uint8, bilinear and antialiased. Values are rounded after each of the two axes."""
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


@cache
def class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, in the order of the scores of the networks trained on them."""
    return tuple((Path(__file__).parent / "imagenet_classes.txt").read_text().splitlines())
