"""Reads a built data set: groups by record, decoded to numpy, with its index, choices and statistics."""

import json
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl

NAME = "top3000"
SPLITS = ("train", "validation", "test")
_TEXT = ("group_id", "account", "first_post", "category")
_TEXTS = ("image_ids", "post_ids", "retrieved_ids", "captions", "hashtags", "comments")
_LATER_TEXTS = ("machine_captions",)  # since version 1.1.0
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

_IMPORTING = Lock()  # two reading threads that are the first to import TFDS wait for each other for ever


def version_folder(data_dir: Path | str, *, missing_ok: bool = False) -> Path | None:
    """The folder of the shards: `data_dir` itself, or the newest DATA_DIR/top3000/VERSION.

    Raises:
      FileNotFoundError: no data set there (with `missing_ok` None is returned).
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
        f"{data_dir}: no data set {NAME} here (config.data_dir); build it with python -m ipa_jax build --data_dir=..."
    )


def read_metadata(folder: Path) -> dict[str, Any]:
    """metadata.json of a version folder: choices, features (the store's header), random_weights, statistics.

    Raises:
      FileNotFoundError: the file is not there.
    """
    path = folder / "metadata.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: not a data set of data_builders.build; build it again")
    return json.loads(path.read_bytes())


class GroupDataset:
    """One split of a data set. Files are opened on first use, so that it can be pickled to reading processes.

    Args:
      data_dir: what data_builders.build was given, or the version folder itself.
      split: train, validation or test.
      depth: unpack the depth maps too, which is most of the work of reading; without, groups have no "depth".

    Raises:
      FileNotFoundError: no data set there.
      ValueError: no such split.
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
        """metadata.json: choices, features, random_weights, statistics; build_report is the report's full path."""
        metadata = read_metadata(self.folder)
        return metadata | {"build_report": str(self.folder / metadata["build_report"])}

    @property
    def options(self) -> dict[str, Any]:
        """`config.data` of the build."""
        return self.info["choices"]

    @cached_property
    def groups(self) -> "pl.DataFrame":
        """One row a group, sorted by record: record, group_id, account, first_post, images, posts, pairs (valid),
        pair_weight (sum over valid pairs of weight_i * weight_j)."""
        return self._index("groups")

    @cached_property
    def images(self) -> "pl.DataFrame":
        """One row an image, sorted by (record, position): account, image_id, post_id, likes, time (UTC s), weight,
        people (-1 unknown), sponsored, carousel_length, category, duplicate (a test image that train holds too)."""
        return self._index("images")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, record: int) -> dict[str, Any]:
        """One group of N images, K retrieved each (arrays are read-only):

        group_id, account, first_post, category: str; images: N bytes; image_ids, post_ids, captions, hashtags (space
        between), comments (a line each), machine_captions (absent from data sets of version 1.0.0): N str; post [N]
        i32; likes, times [N] i64; pairs [V, 2] i32, i < j;
        retrieved_ids: N * K str ("" empty); similarity [N, K, 4] f64 (total, pose, background, caption); local_score
        [N, K] f64; count [N, K] i32; mask [N, K] bool; foreign [N, K] bool, of another account, its id as account/image
        (only where memory.fallback is on); sponsored [N] bool; people, carousel_length [N] i32; weight
        [N] f32; depth [N, side, side] u16, absent when the data set was built with depth.side = 0.

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
    def _records(self):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        shards = sorted(self.folder.glob(f"{NAME}-{self.split}.array_record-*-of-*"))
        if not shards:
            raise FileNotFoundError(f"{self.folder}: no shards of the split {self.split}; build the data set again")
        return ArrayRecordDataSource([str(shard) for shard in shards])

    def _index(self, kind: str) -> "pl.DataFrame":
        import polars as pl

        return pl.read_parquet(self.folder / f"{kind}-{self.split}.parquet")

    def _decode(self, record: bytes) -> dict[str, Any]:
        # TFDS' own decoder walks nested specs and builds object arrays for each example, and always unpacks depth.
        example = _example_class().FromString(record)
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


def _example_class():
    with _IMPORTING:
        from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example
