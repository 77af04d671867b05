"""A folder in the layout of PARA, made up: drawn photos, and raters who like bright ones."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

HEAD = ("sessionId", "imageName", "userId", "aestheticScore", "qualityScore", "compositionScore", "colorScore",
        "dofScore", "contentScore", "lightScore", "isObjectEmphasis", "imgEmotion", "difficultyOfJudgment",
        "contentPreference", "willingnessToShare", "semantic")  # fmt: skip
RATES = HEAD.index("willingnessToShare")
DIVIDED = 5  # every so-many-th photo is one that no two raters agree on


def write(folder: Path, *, sessions: int = 12, each: int = 10, raters: int = 26, seed: int = 0) -> Path:
    """Writes folder/annotation/PARA-Images.csv and folder/imgs/SESSION/IMAGE with photos whose brightness is the mean
    rate, from dark (1) to bright (5); returns the folder."""
    rng = np.random.default_rng(seed)
    liked, files = rng.uniform(1, 5, sessions * each), []
    for number, quality in enumerate(liked):
        file = folder / "imgs" / f"session{number // each + 1}" / f"iaa_pub{number + 1}_.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(rng.normal(20 + 45 * (quality - 1), 12, (40, 60, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file)
        files.append(file)
    annotate(folder, files, liked, raters=raters, seed=seed)
    return folder


def annotate(folder: Path, files: Sequence[Path], liked: Sequence[float], *, raters: int = 26, seed: int = 0) -> None:
    """Writes the ratings of photos, whose mean is about `liked`; raters are divided over every DIVIDED-th photo."""
    rng = np.random.default_rng(seed)
    (folder / "annotation").mkdir(parents=True, exist_ok=True)
    with open(folder / "annotation" / "PARA-Images.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        for number, (photo, quality) in enumerate(zip(files, liked, strict=True)):
            rates = np.clip(np.round(rng.normal(quality, 0.4, raters)), 1, 5)
            if number % DIVIDED == 0:
                rates = np.resize([1, 2, 3, 4, 5], raters)
            for rater, rate in enumerate(rates):
                row: list[object] = [*photo.parts[-2:], f"A{rater:04}", *[3.0] * 7, 1, 1, 0, 3.0, float(rate), "scene"]
                writer.writerow(row)
