"""An in-memory split with the interface of data_builders.dataset.GroupDataset, so that batches are tested alone."""

import io

import numpy as np
import polars as pl
from PIL import Image


def jpeg(rng: np.random.Generator, side: int = 48) -> bytes:
    """A smooth random photo: coarse noise, enlarged."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    out = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


class StandIn:
    """Groups of the given sizes; likes drawn so that each has a valid pair; the first two images may share a post."""

    def __init__(self, sizes, *, seed=0, k=5, depth_side=8, side=48, carousel=False):
        rng = np.random.default_rng(seed)
        self.options = {"retrieval": {"k": k}, "depth": {"side": depth_side}, "pairs": {"min_ratio": 2}}
        self.folder, self.split = "stand-in", "train"
        self.reads = []
        self.examples = [self._example(rng, record, n, k, depth_side, side, carousel) for record, n in enumerate(sizes)]
        self.images = pl.DataFrame(
            [
                {
                    "record": record,
                    "position": position,
                    "account": example["account"],
                    "image_id": example["image_ids"][position],
                    "post_id": example["post_ids"][position],
                    "likes": int(example["likes"][position]),
                    "weight": float(example["weight"][position]),
                }
                for record, example in enumerate(self.examples)
                for position in range(len(example["likes"]))
            ]
        )
        self.groups = pl.DataFrame(
            [{"record": r, "images": len(e["likes"]), "pairs": len(e["pairs"])} for r, e in enumerate(self.examples)]
        )

    def _example(self, rng, record, n, k, depth_side, side, carousel):
        likes = rng.integers(100, 1000, n)
        likes[-1] = 3 * likes[0]
        post, weight = np.arange(n, dtype=np.int32), np.ones(n, np.float32)
        if carousel and n > 2:  # images 0 and 1 are one post
            likes[1], post, weight = likes[0], np.r_[0, 0, 1 : n - 1].astype(np.int32), np.ones(n, np.float32)
            weight[:2] = 0.5
        both = [(i, j) for i in range(n) for j in range(i + 1, n)]
        pairs = [(i, j) for i, j in both if max(likes[i], likes[j]) > 2 * min(likes[i], likes[j])]
        mask = np.arange(k) < rng.integers(0, k + 1, n)[:, None]
        return {
            "group_id": f"account{record}/p0",
            "account": f"account{record}",
            "images": [jpeg(rng, side) for _ in range(n)],
            "image_ids": [f"{record}_{i}" for i in range(n)],
            "post_ids": [f"p{i}" for i in post],
            "likes": likes.astype(np.int64),
            "pairs": np.array(pairs, np.int32).reshape(-1, 2),
            "similarity": rng.random((n, k, 4)) * mask[..., None],
            "local_score": rng.random((n, k)) * 3 * mask,
            "count": rng.integers(1, 9, (n, k)).astype(np.int32) * mask,
            "mask": mask,
            "depth": rng.integers(0, 65536, (n, depth_side, depth_side), dtype=np.uint16),
            "weight": weight,
        }

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, record):
        return self.examples[record]

    def get(self, records):
        self.reads.extend(records)
        return [self.examples[r] for r in records]
