"""A small posts.csv with photos and a feature store, drawn at random: the raw data of the build's tests."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from configs import full
from data_builders.features.store import FeatureWriter

PARTS = ("pose", "background", "caption", "depth")
SIDE = 8  # of the depth maps


def options(**changes) -> dict:
    """`config.data` of the tests; changes such as memory={"exclude": "post"} are laid over it."""
    data = full.get_config("tiny").data.to_dict()
    data["depth"]["side"] = SIDE
    for section, fields in changes.items():
        data[section].update(fields)
    return data


def write(
    folder: Path,
    *,
    accounts: int = 6,
    posts: int = 40,
    side: int = 24,
    seed: int = 0,
    carousels: bool = False,
    parts: tuple[str, ...] = PARTS,
    lacking: tuple[str, ...] = (),
    random_weights: bool = False,
    named: str = "user.",
) -> None:
    """Writes folder/raw/posts.csv with its images and folder/features.

    Args:
      carousels: every third post has three images.
      parts: of the store.
      lacking: image paths without a row in the store.
      named: what accounts are called, before their number.
    """
    rng = np.random.default_rng(seed)
    raw = folder / "raw"
    (raw / "photos").mkdir(parents=True)
    extractors = {part: {"name": part, "version": "1", "weights_sha256": "0" * 64} for part in parts}
    rows = []
    with FeatureWriter(
        folder / "features",
        extractors=extractors,
        depth_side=SIDE if "depth" in parts else 0,
        random_weights=random_weights,
        shard_rows=64,
    ) as writer:
        for account in range(accounts):
            times = np.sort(rng.integers(0, posts * 2 * 86_400, posts)) + 1_500_000_000
            for post in range(posts):
                likes = int(rng.lognormal(5, 0.8)) + 1
                for image in range(3 if carousels and post % 3 == 0 else 1):
                    path = f"photos/{account}_{post}{'abc'[image] if image else ''}.png"
                    noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
                    Image.fromarray(noise).save(raw / path)
                    rows.append(
                        [
                            path,
                            f"{named}{account}",
                            likes,
                            int(times[post]),
                            f"{account}_{post}",
                            f"caption {post} #tag{post % 3} #both",
                        ]
                    )
                    if path not in lacking:
                        _write_features(writer, rng, f"{named}{account}", path, side)
    with open(raw / "posts.csv", "w", newline="") as file:
        csv.writer(file).writerows([["image", "account", "likes", "timestamp", "post", "caption"], *rows])


def _write_features(writer: FeatureWriter, rng: np.random.Generator, account: str, path: str, side: int) -> None:
    parts = writer.header["extractors"]
    people = []
    for _ in range(rng.integers(0, 3)):
        keypoints = np.column_stack([rng.uniform(0, side, (17, 2)), rng.uniform(0, 1, 17)])
        people.append((keypoints, np.array([1, 1, *rng.uniform(5, side, 2)]), float(rng.uniform())))
    vectors = {"background": rng.normal(size=6), "caption": rng.normal(size=4)}
    depth = rng.random((side, side))
    writer.write(
        account,
        path,
        side,
        side,
        people=people if "pose" in parts else None,
        background=vectors["background"] if "background" in parts else None,
        caption_vector=vectors["caption"] if "caption" in parts else None,
        caption_text=f"seen on {path}" if "caption" in parts else None,
        depth=depth if "depth" in parts else None,
    )
