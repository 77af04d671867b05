"""Reads a built data set: groups by record, decoded to numpy, with the index, the options and the statistics.

Every file is checked against the checksums beside it before it is parsed: small ones when they are read, shards once
per opening, in the process that opened the data set. Reading processes import this file, so it loads no jax.
"""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import polars as pl
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from data_builders import frames
from data_builders.groups import SPLITS
from data_builders.options import with_defaults
from third_party_ports import checksums
from third_party_ports.checksums import Checksums
from third_party_ports.reading import damaged, reading, reason

NAME = "top3000"
REMEDY = "build it again with ipa-jax build --overwrite, or copy the data set's folder again"
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
_INDEX = {  # columns that every version has
    "groups": {"record": pl.Int32, "images": pl.Int32, "pairs": pl.Int32, "pair_weight": pl.Float64},
    "images": {"record": pl.Int32, "position": pl.Int32, "account": pl.String, "image_id": pl.String,
               "post_id": pl.String, "likes": pl.Int64, "time": pl.Int64, "weight": pl.Float32},
}  # fmt: skip


class DatasetError(ValueError):
    """A file of a data set is missing, damaged or from elsewhere. The message names it, and what to do."""


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
    infos = (data_dir / NAME).glob("*.*.*/dataset_info.json")
    versions = [info.parent for info in infos if re.fullmatch(r"\d+\.\d+\.\d+", info.parent.name)]
    if versions:
        return max(versions, key=lambda folder: [int(number) for number in folder.name.split(".")])
    if missing_ok:
        return None
    raise FileNotFoundError(
        f"{data_dir} (config.data_dir, --data_dir) holds no data set {NAME}: build it with ipa-jax build --data_dir=..."
    )


def open_checksums(folder: Path) -> Checksums:
    """The checksums of a version folder; a data set of an earlier version has none, and is warned of once.

    Raises:
      DatasetError: they are damaged.
    """
    return checksums.read(folder, DatasetError, REMEDY)


def read_metadata(folder: Path, sums: Checksums | None = None) -> dict[str, Any]:
    """metadata.json of a version folder.

    Args:
      folder: the version folder.
      sums: its checksums, if they are open.

    Returns:
      {"choices": `config.data` of the build, "features": the feature store's header, "source", "random_weights",
      "statistics", "build_report": file name}.

    Raises:
      DatasetError: the folder has no metadata.json, or a damaged one.
    """
    content = (sums or open_checksums(folder)).read("metadata.json")
    with reading(folder / "metadata.json", DatasetError, REMEDY):
        metadata = json.loads(content)
        for field, kind in (("choices", dict), ("source", dict), ("random_weights", bool), ("build_report", str)):
            if not isinstance(metadata[field], kind):
                raise ValueError(f"the field {field!r} is {metadata[field]!r}")
    return metadata


class GroupDataset:
    """One split of a data set. It opens files on first use, so it can be pickled to reading processes.

    Args:
      data_dir: the --data_dir of the build, or the version folder itself.
      split: train, validation or test.
      depth: whether to unpack the depth maps, which is most of the work of reading. Without them a group has no
        "depth".
      verify: "full" hashes the shards before the first record is read; "index" only compares their sizes.

    Raises:
      FileNotFoundError: no data set exists there.
      ValueError: the split is none of the three.
      DatasetError: a file is damaged; also raised by everything that reads one.
    """

    def __init__(self, data_dir: Path | str, split: str, *, depth: bool = True, verify: str = "full"):
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
        self.folder = version_folder(data_dir)
        self.split = split
        self._depth = depth
        self._verify = verify

    def __getstate__(self) -> dict[str, Any]:
        self.verify()  # here, so that no reading process has to
        return {name: getattr(self, name) for name in ("folder", "split", "_depth", "_verify", "_sums")}

    def verify(self) -> None:
        """Checks the shards of the split, in parallel, unless they have been checked.

        Raises:
          DatasetError: a shard is missing or damaged.
        """
        if self._verify:
            self._sums.check((shard.name for shard in self._shards), sizes_only=self._verify == "index")
            self._verify = ""

    def read(self, name: str) -> bytes:
        """The content of a file beside the shards, checked. Raises DatasetError if it is missing or damaged."""
        return self._sums.read(name)

    @cached_property
    def _sums(self) -> Checksums:
        return open_checksums(self.folder)

    @cached_property
    def info(self) -> dict[str, Any]:
        """metadata.json as `read_metadata` gives it, except that build_report is the report's full path."""
        metadata = read_metadata(self.folder, self._sums)
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
        if not 0 <= record < len(self):
            raise ValueError(f"{self.folder}: {self.split} has the records 0 to {len(self) - 1}, not {record}")
        return self.get([record])[0]

    def get(self, records: Sequence[int]) -> list[dict[str, Any]]:
        """The groups of these records, in this order."""
        records = [int(record) for record in records]
        if not records:
            return []
        side = self.options["depth"]["side"] if self._depth else 0
        with reading(f"{self.folder}: the split {self.split}", DatasetError, REMEDY):
            stored = self._records.__getitems__(records)
        groups = []
        for record, data in zip(records, stored, strict=True):
            try:
                groups.append(_decode(data, self.options["retrieval"]["k"], side))
            except Exception as error:  # protobuf, zlib and numpy have their own
                place = f"{self.folder}: record {record} of {self.split}"
                raise damaged(place, DatasetError, reason(error), REMEDY) from error
        return groups

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[record] for record in range(len(self)))

    @cached_property
    def _records(self) -> ArrayRecordDataSource:
        self.verify()
        with reading(f"{self.folder}: the split {self.split}", DatasetError, REMEDY):
            records = ArrayRecordDataSource([str(shard) for shard in self._shards])
            len(records)  # opens the shards, which may fail
        return records

    @property
    def _shards(self) -> list[Path]:
        """The shards in order. Raises DatasetError unless all are there: their names say of how many they are."""
        shards = sorted(self.folder.glob(f"{NAME}-{self.split}.array_record-*-of-*"))
        of = int(shards[0].name.rpartition("-")[2]) if shards else 1
        if len(shards) != of:
            raise DatasetError(f"{self.folder}: {len(shards)} of {of} shards of {self.split} are there; {REMEDY}")
        return shards

    def _index(self, kind: str) -> pl.DataFrame:
        name = f"{kind}-{self.split}.parquet"
        return frames.parse(self.read(name), self.folder / name, _INDEX[kind], DatasetError, REMEDY)


def _decode(record: bytes, k: int, side: int) -> dict[str, Any]:
    """A stored example as `GroupDataset.__getitem__` describes it; with depth maps of `side` pixels, unless it is 0."""
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
    n = len(group["likes"])
    group["pairs"] = group["pairs"].reshape(-1, 2)
    group["similarity"] = group["similarity"].reshape(n, k, 4)
    if "foreign" in values:
        group["foreign"] = np.frombuffer(values["foreign"][0], np.bool_)
    for name in ("local_score", "count", "mask", *["foreign"] * ("foreign" in group)):
        group[name] = group[name].reshape(n, k)
    if side:
        group["depth"] = np.frombuffer(zlib.decompress(values["depth"][0]), np.uint16).reshape(n, side, side)
    return group
