"""The memory bank of PARA's photos: train images at random, each with the local score of its own account (4.2.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from data_builders.dataset import GroupDataset
from data_builders.features.features import Features
from data_builders.retrieval.local_score import local_scores
from data_builders.retrieval.similarity import Comparison
from data_builders.retrieval.top_k import Retrieved, best_images, nothing

SIZE = 500  # images, as in the paper
PAIRS = 1 << 21  # of a photo and a bank image, compared at once


@dataclass(frozen=True)
class Bank:
    """M train images of any accounts, newest first, then by account and image id: this order decides ties.

    Attributes:
      names: "ACCOUNT/IMAGE_ID".
      photos: the files' content.
      post: int [M], numbers the posts from 0.
      local: f64 [M], the local score among all train posts of the account (eq. 3).
      count: i32 [M], |A_r| of eq. 2.
    """

    names: list[str]
    photos: list[bytes]
    post: np.ndarray
    local: np.ndarray
    count: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


def draw_bank(train: GroupDataset, size: int, seed: int) -> Bank:
    """Draws images without replacement; all of them if the split has fewer.

    Raises:
      DatasetError: a file of the data set is damaged.
    """
    images = train.images
    chosen = np.random.default_rng(seed).choice(len(images), min(size, len(images)), replace=False)
    drawn = images[np.sort(chosen)].sort(["time", "account", "image_id"], descending=[True, False, False])
    locals_ = {
        name: _local(images.filter(account=name), train.options["memory"])
        for name in drawn["account"].unique(maintain_order=True)
    }
    keys = drawn.select("account", "post_id").rows()
    local = [locals_[account][post] for account, post in keys]
    photos = {}
    for (record,), places in drawn.group_by("record", maintain_order=True):
        stored = train[int(str(record))]["images"]  # a group at a time: each may hold 30 photos
        photos |= {(record, position): stored[position] for position in places["position"]}
    return Bank(
        names=[f"{account}/{image}" for account, image in drawn.select("account", "image_id").iter_rows()],
        photos=[photos[place] for place in drawn.select("record", "position").iter_rows()],
        post=np.unique([f"{account}\0{post}" for account, post in keys], return_inverse=True)[1],
        local=np.array([value for value, _ in local], np.float64),
        count=np.array([count for _, count in local], np.int32),
    )


def _local(images: pl.DataFrame, memory: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Post id -> its local score and |A_r| among an account's posts, for a query that sees all of them."""
    posts = images.unique("post_id").sort("time", "post_id")
    seen = np.ones((1, len(posts)), bool)
    local, count = local_scores(posts["time"].to_numpy(), posts["likes"].to_numpy(), seen, memory)
    return dict(zip(posts["post_id"], zip(local[0].tolist(), count[0].tolist(), strict=True), strict=True))


def retrieve(query: Features, bank: Bank, bank_features: Features, options: Mapping[str, Any]) -> Retrieved:
    """The Top-K of the bank for each photo; `Retrieved.index` points into the bank.

    Args:
      query: features of the photos.
      bank: M images.
      bank_features: of them, in this order.
      options: `config.data` as a nested dict; reads similarity, pose and retrieval.

    Raises:
      ValueError: as `Comparison`.
    """
    k = options["retrieval"]["k"]
    result = nothing(len(query), k)
    if not len(bank):
        return result
    result.bank[:] = len(np.unique(bank.post))
    step = max(1, PAIRS // len(bank))
    for begin in range(0, len(query), step):
        rows = slice(begin, begin + step)
        some = query.rows(rows)
        compared = Comparison(some, bank_features, options["similarity"], options["pose"]["keypoint_threshold"])
        seen = np.ones((len(some), len(bank)), bool)
        asked, image, slot, parts = best_images(compared, seen, bank.post, k)
        result.index[rows][asked, slot] = image
        result.similarity[rows][asked, slot] = parts.T
        result.local_score[rows][asked, slot] = bank.local[image]
        result.count[rows][asked, slot] = bank.count[image]
        result.mask[rows][asked, slot] = True
    return result
