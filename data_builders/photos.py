"""A decoded photo in RGB, whatever its mode. Pillow and numpy alone."""

import numpy as np
from PIL import Image


def rgb(image: Image.Image) -> Image.Image:
    """The image in mode RGB."""
    if image.mode == "P":  # a palette with transparency warns unless it goes through RGBA
        image = image.convert("RGBA")
    elif image.mode.startswith("I"):  # 16-bit gray: Pillow would clip it at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")
