"""Reads a built data set: groups by record, decoded to numpy, with the index, the options and the statistics.

Reading processes import this file, so it loads no jax.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import polars as pl
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from data_builders.groups import SPLITS
from data_builders.options import with_defaults

NAME = "top3000"
_TEXT = ("group_id", "account", "first_post", "category")
_TEXTS = ("image_ids", "post_ids", "retrieved_ids", "captions", "hashtags", "comments")
_LATER_TEXTS = ("machine_captions",)  # since version 1.1.0 of the data set
_NUMBERS = {
    "post": np.int32,
    "likes": np.int64,
    "times": np.int64,
    "pairs": np.int32,
    "similarity": np.float64,
    "local_score": np.float64,
    "count": np.int32,
    "mask": np.bool_,
    "sponsored": np.bool_,
    "people": np.int32,
    "carousel_length": np.int32,
    "weight": np.float32,
}


@overload
def version_folder(data_dir: Path | str) -> Path: ...


@overload
def version_folder(data_dir: Path | str, *, missing_ok: bool) -> Path | None: ...


def version_folder(data_dir: Path | str, *, missing_ok: bool = False) -> Path | None:
    """The folder of the shards: `data_dir` itself, or the newest DATA_DIR/top3000/VERSION.

    Returns None where no data set exists, if `missing_ok`.

    Raises:
      FileNotFoundError: no data set exists there.
    """
    data_dir = Path(data_dir)
    if (data_dir / "dataset_info.json").exists():
        return data_dir
    versions = [info.parent for info in (data_dir / NAME).glob("*.*.*/dataset_info.json")]
    if versions:
        return max(versions, key=lambda folder: [int(number) for number in folder.name.split(".")])
    if missing_ok:
        return None
    raise FileNotFoundError(
        f"{data_dir} (config.data_dir, --data_dir) holds no data set {NAME}: build it with ipa-jax build --data_dir=..."
    )


def read_metadata(folder: Path) -> dict[str, Any]:
    """metadata.json of a version folder.

    Returns:
      {"choices": `config.data` of the build, "features": the feature store's header, "source", "random_weights",
      "statistics", "build_report": file name}.

    Raises:
      FileNotFoundError: the folder has no metadata.json.
    """
    path = folder / "metadata.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: the folder is not a data set of ipa-jax build; build it again")
    return json.loads(path.read_bytes())


class GroupDataset:
    """One split of a data set. It opens files on first use, so it can be pickled to reading processes.

    Args:
      data_dir: the --data_dir of the build, or the version folder itself.
      split: train, validation or test.
      depth: whether to unpack the depth maps, which is most of the work of reading. Without them a group has no
        "depth".

    Raises:
      FileNotFoundError: no data set exists there.
      ValueError: the split is none of the three.
    """

    def __init__(self, data_dir: Path | str, split: str, *, depth: bool = True):
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        self.folder = version_folder(data_dir)
        self.split = split
        self._depth = depth

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "split": self.split, "_depth": self._depth}

    @cached_property
    def info(self) -> dict[str, Any]:
        """metadata.json as `read_metadata` gives it, except that build_report is the report's full path."""
        metadata = read_metadata(self.folder)
        return metadata | {"build_report": str(self.folder / metadata["build_report"])}

    @cached_property
    def options(self) -> dict[str, Any]:
        """`config.data` of the build; a field that an earlier version did not have has today's default."""
        return with_defaults(self.info["choices"])

    @cached_property
    def groups(self) -> pl.DataFrame:
        """One row per group, sorted by record: record, group_id, account, first_post, images, posts, pairs (valid),
        pair_weight (sum over valid pairs of weight_i * weight_j)."""
        return self._index("groups")

    @cached_property
    def images(self) -> pl.DataFrame:
        """One row per image, sorted by (record, position): account, image_id, post_id, likes, time (UTC seconds),
        weight, people (-1: unknown), sponsored, carousel_length, category, duplicate (a test image that train holds
        too)."""
        return self._index("images")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, record: int) -> dict[str, Any]:
        """One group of N images, each with K retrieved images. The arrays are read-only.

        Returns a dict of
          group_id, account, first_post, category: str.
          images: N bytes, the files.
          image_ids, post_ids, captions, hashtags (separated by spaces), comments (one per line): N str.
          machine_captions: N str; absent from data sets of version 1.0.0.
          post i32, likes i64, times i64 (UTC seconds): [N].
          sponsored bool, people i32, carousel_length i32, weight f32: [N].
          pairs: i32 [V, 2], the valid pairs, i < j.
          retrieved_ids: N * K str, "" for an empty slot.
          similarity: f64 [N, K, 4], S (eq. 1), pose, background, caption.
          local_score f64 (eq. 3), count i32 (|A_r| of eq. 2), mask bool: [N, K].
          foreign: bool [N, K], slots filled from another account, whose retrieved id is ACCOUNT/IMAGE_ID; only where
            memory.fallback is on.
          depth: u16 [N, side, side]; absent where the data set was built with depth.side = 0.

        Raises:
          ValueError: no such record.
        """
        return self._decode(self._records[record])

    def get(self, records: Sequence[int]) -> list[dict[str, Any]]:
        """The groups of these records, in this order."""
        records = [int(record) for record in records]
        return [self._decode(data) for data in self._records.__getitems__(records)] if records else []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[record] for record in range(len(self)))

    @cached_property
    def _records(self) -> ArrayRecordDataSource:
        shards = sorted(self.folder.glob(f"{NAME}-{self.split}.array_record-*-of-*"))
        if not shards:
            raise FileNotFoundError(f"{self.folder}: no shards of the split {self.split}; build the data set again")
        return ArrayRecordDataSource([str(shard) for shard in shards])

    def _index(self, kind: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{kind}-{self.split}.parquet")

    def _decode(self, record: bytes) -> dict[str, Any]:
        # TFDS' own decoder is slower: it builds object arrays for each example and always unpacks depth.
        # Protobuf makes the class Example when it is imported, so pyright does not see it.
        example = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue]
        values = {name: feature.bytes_list.value for name, feature in example.features.feature.items()}
        group: dict[str, Any] = {name: values[name][0].decode() for name in _TEXT}
        group |= {name: [text.decode() for text in values[name]] for name in _TEXTS}
        for name in _LATER_TEXTS:
            if name in values:
                group[name] = [text.decode() for text in values[name]]
        group["images"] = list(values["images"])
        for name, dtype in _NUMBERS.items():
            group[name] = np.frombuffer(values[name][0], dtype)
        n, k = len(group["likes"]), self.options["retrieval"]["k"]
        group["pairs"] = group["pairs"].reshape(-1, 2)
        group["similarity"] = group["similarity"].reshape(n, k, 4)
        if "foreign" in values:
            group["foreign"] = np.frombuffer(values["foreign"][0], np.bool_)
        for name in ("local_score", "count", "mask", *["foreign"] * ("foreign" in group)):
            group[name] = group[name].reshape(n, k)
        side = self.options["depth"]["side"]
        if side and self._depth:
            group["depth"] = np.frombuffer(zlib.decompress(values["depth"][0]), np.uint16).reshape(n, side, side)
        return group
