"""A split of a few plain gray images, in place of a built data set."""

import io

import numpy as np
import polars as pl
from PIL import Image

DAY = 86_400
KEYS = ["account", "record", "position", "image_id", "post_id", "likes", "time", "people", "sponsored",
        "carousel_length"]  # fmt: skip


class Split:
    """Stands in for GroupDataset: groups of (day, likes, gray level) images of accounts, one post per image.

    retrieved: more fields of each example.
    """

    def __init__(self, prefix, groups, options, retrieved=None):
        self.split = {"r": "train", "v": "validation"}.get(prefix, "test")
        rows = []
        self.examples = []
        for record, (account, images) in enumerate(groups):
            for position, (day, likes, _) in enumerate(images):
                name = f"{prefix}{record}-{position}"
                rows.append((account, record, position, name, name, likes, int(day * DAY), 0, False, 1))
            n, k = len(images), options["retrieval"]["k"]
            example = {"images": [png(colour) for *_, colour in images], "similarity": np.zeros((n, k, 4))}
            example |= {
                "captions": [""] * n,
                "hashtags": [""] * n,
                "local_score": np.zeros((n, k)),
                "mask": np.zeros((n, k), bool),
            }
            self.examples.append(example | (retrieved[record] if retrieved else {}))
        self.images = pl.DataFrame(rows, schema=KEYS, orient="row")
        self.options = options

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, record):
        return self.examples[record]

    def get(self, records):
        return [self.examples[record] for record in records]


def png(level):
    """A plain 20 x 30 picture of one gray level."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), level, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
