"""The index beside the shards: record, size and pairs of each group, and record of each image.

With it, packing and reports do not have to read the records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from tensorflow_datasets.core.hashing import Hasher

from data_builders.features.store import FeatureReader
from data_builders.groups import SPLITS, image_weights
from data_builders.retrieval.accounts import Account, group_id
from data_builders.top3000 import examples
from data_builders.top3000.steps import PAPER, Steps

GROUPS = pl.Schema(
    {
        "record": pl.Int32,
        "group_id": pl.String,
        "account": pl.String,
        "first_post": pl.String,
        "images": pl.Int32,
        "posts": pl.Int32,
        "pairs": pl.Int32,
        "pair_weight": pl.Float64,
    }
)
IMAGES = pl.Schema(
    {
        "record": pl.Int32,
        "position": pl.Int32,
        "account": pl.String,
        "image_id": pl.String,
        "post_id": pl.String,
        "likes": pl.Int64,
        "time": pl.Int64,
        "weight": pl.Float32,
        "people": pl.Int32,
        "sponsored": pl.Boolean,
        "carousel_length": pl.Int32,
        "category": pl.String,
        "path": pl.String,
    }
)


@dataclass(frozen=True)
class Index:
    """The index of a data set, and the counts of its build report.

    Attributes:
      groups, images: for each split a frame of the columns GROUPS or IMAGES, sorted by record (and position).
      accounts, posts: number of accounts with posts, and of their posts.
      all_pairs: for each split the number of pairs of images of different posts in kept groups, valid or not.
      dropped: number of groups that were not kept, by reason ("one post" are the singletons).
      too_young: number of posts that posts.min_age_days dropped.
    """

    groups: dict[str, pl.DataFrame]
    images: dict[str, pl.DataFrame]
    accounts: int
    posts: int
    all_pairs: dict[str, int]
    dropped: dict[str, int]
    too_young: int

    def statistics(self) -> dict[str, Any]:
        """For each split its totals {images, groups, pairs, pair_weight}; and "mean_log_likes" of the train images."""
        totals = {
            split: {
                "images": len(self.images[split]),
                "groups": len(frame),
                "pairs": int(frame["pairs"].sum()),
                "pair_weight": float(frame["pair_weight"].sum()),
            }
            for split, frame in self.groups.items()
        }
        return totals | {"mean_log_likes": float(np.log(self.images["train"]["likes"].to_numpy()).mean())}


def build(accounts: Sequence[Account], reader: FeatureReader, steps: Steps = PAPER) -> Index:
    """Lists the kept groups of all accounts, and their images, with the records that TFDS will give them."""
    groups: dict[str, list[dict]] = {split: [] for split in SPLITS}
    images: dict[str, list[pl.DataFrame]] = {split: [] for split in SPLITS}
    all_pairs: dict[str, int] = dict.fromkeys(SPLITS, 0)
    dropped: dict[str, int] = {}
    too_young = 0
    for account in accounts:
        too_young += account.kept.too_young
        for reason, count in account.kept.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        for split, name in enumerate(SPLITS):
            here = steps.groups_of_split(account, split)
            if not here:
                continue
            first = len(groups[name])
            groups[name] += [_group_row(account, group, positions) for group, positions in here]
            all_pairs[name] += sum(int(account.kept.all_pairs[group]) for group, _ in here)
            images[name].append(_image_rows(account, [positions for _, positions in here], first, reader))
    frames = {split: _with_records(groups[split], images[split], split) for split in SPLITS}
    return Index(
        groups={split: frames[split][0] for split in SPLITS},
        images={split: frames[split][1] for split in SPLITS},
        accounts=len(accounts),
        posts=sum(len(account.posts) for account in accounts),
        all_pairs=all_pairs,
        dropped=dropped,
        too_young=too_young,
    )


def records(keys: list[str], split: str) -> np.ndarray:
    """The record that each key gets in its split, i32. TFDS sorts the examples of all shards by their salted hash."""
    hasher = Hasher(split)
    hashes = [hasher.hash_key(key) for key in keys]
    rank = np.empty(len(keys), np.int32)
    rank[sorted(range(len(keys)), key=hashes.__getitem__)] = np.arange(len(keys))
    return rank


def _group_row(account: Account, group: int, positions: np.ndarray) -> dict[str, Any]:
    post, pairs, first = account.images.post[positions], account.kept.pairs[group], account.first_post(group)
    weight = image_weights(post)
    return {
        "group_id": group_id(account.name, first),
        "account": account.name,
        "first_post": first,
        "images": len(positions),
        "posts": len(np.unique(post)),
        "pairs": len(pairs),
        "pair_weight": float((weight[pairs[:, 0]] * weight[pairs[:, 1]]).sum()),
    }


def _image_rows(account: Account, groups: list[np.ndarray], first_row: int, reader: FeatureReader) -> pl.DataFrame:
    """The images of some groups of an account; "row" is the group's position among the split's groups so far."""
    images, posts = account.images, account.posts
    flat = np.concatenate(groups)
    post = images.post[flat]
    paths = posts["image_paths"].explode()
    people = np.full(len(flat), examples.PEOPLE_UNKNOWN, np.int32)
    if "pose" in reader.parts:
        people = reader.people(account.name, images.image_id[flat].tolist())
    return pl.DataFrame(
        {
            "row": np.repeat(np.arange(first_row, first_row + len(groups)), [len(positions) for positions in groups]),
            "position": np.concatenate([np.arange(len(positions)) for positions in groups]),
            "account": pl.repeat(account.name, len(flat), eager=True),
            "image_id": images.image_id[flat].tolist(),
            "post_id": images.post_id[flat].tolist(),
            "likes": images.likes[flat],
            "time": images.time[flat],
            "weight": np.concatenate([image_weights(images.post[positions]) for positions in groups]),
            "people": people,
            "sponsored": posts["sponsored"].gather(post),
            "carousel_length": posts["carousel_length"].gather(post),
            "category": posts["category"].gather(post),
            "path": paths.gather(flat),
        }
    )


def _with_records(groups: list[dict], images: list[pl.DataFrame], split: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    rank = records([group["group_id"] for group in groups], split)
    group_frame = pl.DataFrame(groups).with_columns(record=pl.Series(rank))
    image_frame = pl.concat(images)
    image_frame = image_frame.with_columns(record=pl.Series(rank[image_frame["row"].to_numpy()]))
    group_frame = group_frame.select(list(GROUPS)).cast(GROUPS).sort("record")
    return group_frame, image_frame.select(list(IMAGES)).cast(IMAGES).sort("record", "position")
