"""What EfficientNet-Lite expects of a photo. NumPy and Pillow only: it runs in processes that only read photos.

Published top-1 accuracies hold for this input; with ImageNet's mean and standard deviation the classes get worse.
"""

from typing import Any

import numpy as np
from PIL import Image

BORDER = 32  # px: a photo's shorter side stands for side + BORDER


def centre_square(photo: np.ndarray, side: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [side, side, 3]: the centre square of side / (side + BORDER) of the shorter side,
    bicubic and antialiased."""
    height, width = photo.shape[:2]
    cut = min(height, width) * side / (side + BORDER)
    left, top = (width - cut) / 2, (height - cut) / 2
    box = (left, top, left + cut, top + cut)
    return np.asarray(Image.fromarray(photo).resize((side, side), Image.Resampling.BICUBIC, box))


def scaled(images: Any) -> Any:
    """uint8 values 0 to 255 [..., 3], of NumPy or jax -> float32, (x - 127) / 128."""
    return (images.astype(np.float32) - 127) / 128
