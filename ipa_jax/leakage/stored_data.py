"""A data set as its files hold it: which split each image is in, what it retrieved, hashes of its pixels and bytes.

Everything is read from the stored examples and their index, so that the checks rely neither on what the build reported
nor on the config.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from data_builders.groups import SPLITS
from data_builders.top3000.probe import probe_bytes
from third_party_ports.worker_process import map_in_processes

SLICE = 64  # groups per task of a process
ALONE = 20_000  # up to this many images, more processes cost more time than they save
EMPTY, ELSEWHERE = -1, -2  # in AccountPosts.retrieved: no image; an image that no kept group of the account holds


@dataclass(frozen=True)
class AccountPosts:
    """One account: its M posts in order of (time, post id), and its Q images with what they retrieved (K slots).

    If a post is in several splits, the last of train, validation and test counts.

    Attributes:
      time: int64 [M], UTC seconds.
      likes: int64 [M].
      split: int8 [M], index into SPLITS.
      group: int32 [M], numbered within the account.
      row: [Q], the image's row of `StoredData.images`.
      post: int32 [Q], the image's post.
      retrieved: int32 [Q, K], the post of each slot, or EMPTY or ELSEWHERE.
      local: float64 [Q, K], the stored local scores (eq. 3).
      count: int32 [Q, K], the stored numbers of posts in their means.
    """

    time: np.ndarray
    likes: np.ndarray
    split: np.ndarray
    group: np.ndarray
    row: np.ndarray
    post: np.ndarray
    retrieved: np.ndarray
    local: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class StoredData:
    """All splits of a data set, I images with K slots each.

    Attributes:
      options: `config.data` of the build.
      info: metadata.json of the data set.
      images: a row per image, by split and record: the index's columns, split (its name), group_id, phash, sha256.
      groups: a row per group: the index's columns and split.
      retrieved: str [I, K], image ids; "" for an empty slot.
      local, count, mask: float64, int32 and bool [I, K], as stored.
    """

    options: Mapping[str, Any]
    info: Mapping[str, Any]
    images: pl.DataFrame
    groups: pl.DataFrame
    retrieved: np.ndarray
    local: np.ndarray
    count: np.ndarray
    mask: np.ndarray

    def images_of(self, split: str) -> pl.DataFrame:
        """The images of a split."""
        return self.images.filter(pl.col("split") == split)

    @cached_property
    def posts(self) -> pl.DataFrame:
        """A row per post: account, post_id, group_id, split (the last, if several hold it), time and likes."""
        order = pl.col("split").replace_strict({name: i for i, name in enumerate(SPLITS)}, return_dtype=pl.Int8)
        columns = ["account", "post_id", "group_id", "split", "time", "likes"]
        posts = self.images.with_columns(order=order).sort("order", maintain_order=True)
        return posts.select(columns).unique(["account", "post_id"], keep="last", maintain_order=True)

    @cached_property
    def histories(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Account -> time and likes int64 of its posts in order of (time, post id), and whether each is in train."""
        tables = self.posts.sort("time", "post_id").group_by("account", maintain_order=True)
        return {
            name: (rows["time"].to_numpy(), rows["likes"].to_numpy(), (rows["split"] == "train").to_numpy())
            for (name,), rows in tables
        }

    @cached_property
    def places(self) -> dict[tuple[str, str], int]:
        """(account, image id) -> the position of the image's post in `histories`."""
        posts = self.posts.sort("time", "post_id").select("account", "post_id")
        posts = posts.with_columns(place=pl.int_range(pl.len()).over("account"))
        images = self.images.select("account", "image_id", "post_id").join(posts, on=["account", "post_id"])
        return {(account, image): place for account, image, _, place in images.iter_rows()}

    def accounts(self) -> Iterator[AccountPosts]:
        """Yields the accounts, sorted by name."""
        posts = {name: rows.sort("time", "post_id") for (name,), rows in self.posts.group_by("account")}
        images = self.images.with_row_index("row").select("row", "account", "image_id", "post_id")
        for (name,), rows in sorted(images.group_by("account"), key=lambda item: item[0]):
            table = posts[name]
            number = dict(zip(table["post_id"], range(len(table)), strict=True))
            post_of = dict(zip(rows["image_id"], (number[post] for post in rows["post_id"]), strict=True))
            row = rows["row"].to_numpy()
            known = [[post_of.get(image, ELSEWHERE) for image in slots] for slots in self.retrieved[row]]
            retrieved = np.array(known, np.int32).reshape(len(row), -1)
            yield AccountPosts(
                time=table["time"].to_numpy(),
                likes=table["likes"].to_numpy(),
                split=table["split"].replace_strict(list(SPLITS), list(range(3)), return_dtype=pl.Int8).to_numpy(),
                group=(table["group_id"].rank("dense").cast(pl.Int32) - 1).to_numpy(),
                row=row,
                post=np.array([number[post] for post in rows["post_id"]], np.int32),
                retrieved=np.where(self.mask[row], retrieved, EMPTY),
                local=self.local[row],
                count=self.count[row],
            )


def read(data_dir: Path | str, workers: int | None = None) -> StoredData:
    """Reads all splits.

    Args:
      data_dir: the --data_dir of the build.
      workers: processes for large data sets; one per core if None.
    Raises:
      FileNotFoundError: no data set exists there.
      ValueError: the index and the examples hold different images.
    """
    images, groups, parts = [], [], []
    datasets = {name: GroupDataset(data_dir, name, depth=False) for name in SPLITS}
    total = sum(len(dataset.images) for dataset in datasets.values())
    slices = [
        (dataset, list(range(begin, min(begin + SLICE, len(dataset)))))
        for dataset in datasets.values()
        for begin in range(0, len(dataset), SLICE)
    ]
    with tqdm(total=total, unit="image", desc="read the data set", disable=None) as bar:
        for part in map_in_processes(
            read_slice, slices, processes=1 if total <= ALONE else workers or os.cpu_count() or 1
        ):
            parts.append(part)
            bar.update(len(part["local"]))
    for name, dataset in datasets.items():
        label = pl.lit(name).alias("split")
        ids = dataset.groups.select("record", "group_id")
        images.append(dataset.images.join(ids, on="record", how="left", maintain_order="left").with_columns(label))
        groups.append(dataset.groups.with_columns(label))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table = pl.concat(images)
    if table["image_id"].to_list() != columns["image_id"].tolist():
        raise ValueError(f"{data_dir}: the index lists other images than the examples hold; build the data set again")
    table = table.with_columns(
        phash=pl.Series(columns["phash"], dtype=pl.UInt64), sha256=pl.Series(columns["sha256"].tolist())
    )
    return StoredData(
        options=datasets["test"].options,
        info=datasets["test"].info,
        images=table,
        groups=pl.concat(groups),
        **{name: columns[name] for name in ("retrieved", "local", "count", "mask")},
    )


def read_slice(task: tuple[GroupDataset, list[int]]) -> dict[str, np.ndarray]:
    """The images of some records of a split, in order: image_id, phash, sha256 (hex), retrieved, local, count, mask.

    The phash of an image that cannot be decoded is 0.
    """
    dataset, records = task
    found: dict[str, list] = {
        name: [] for name in ("image_id", "phash", "sha256", "retrieved", "local", "count", "mask")
    }
    for example in dataset.get(records):
        n = len(example["likes"])
        for data in example["images"]:
            phash, digest = probe_bytes(data) or (0, hashlib.sha256(data).digest())
            found["phash"].append(np.array([phash], np.uint64))
            found["sha256"].append(np.array([digest.hex()]))
        found["image_id"].append(np.array(example["image_ids"]))
        found["retrieved"].append(np.array(example["retrieved_ids"], dtype=object).reshape(n, -1))
        for name, field in (("local", "local_score"), ("count", "count"), ("mask", "mask")):
            found[name].append(example[field])
    return {name: np.concatenate(values) for name, values in found.items()}
