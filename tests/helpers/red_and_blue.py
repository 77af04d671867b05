"""A small history that can be learned: red photos get four times the likes of blue ones."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

DAY = 86_400
RED, BLUE = 2, 160  # hues, of 256


def photo(hue: int, rng: np.random.Generator) -> bytes:
    """A noisy photo of one colour."""
    hsv = np.stack([np.full((8, 8), hue), rng.integers(120, 255, (8, 8)), rng.integers(60, 255, (8, 8))], -1)
    image = Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB").resize((96, 80), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def write_history(folder: Path, rng: np.random.Generator, posts: int = 70) -> None:
    """Writes posts.csv and the photos of ann, a post every other day."""
    folder.mkdir()
    rows = ["image,account,likes,timestamp"]
    for number in range(posts):
        red = int(rng.integers(2))
        (folder / f"{number}.jpg").write_bytes(photo(RED if red else BLUE, rng))
        likes = int(rng.lognormal(np.log(400 if red else 100), 0.1))
        rows.append(f"{number}.jpg,ann,{likes},{1_600_000_000 + number * 2 * DAY}")
    (folder / "posts.csv").write_text("\n".join(rows) + "\n")
