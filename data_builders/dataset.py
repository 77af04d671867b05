"""Reads a built data set: groups by record, decoded to numpy, with the index, the options and the statistics.

Every file is checked against the checksums beside it before it is parsed: small ones when they are read, shards once
per opening, in the process that opened the data set. Reading processes import this file, so it loads no jax.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import polars as pl
from array_record.python.array_record_module import ArrayRecordReader

from data_builders import frames
from data_builders.group_record import REMEDY, DatasetError, decode
from data_builders.groups import SPLITS
from data_builders.options import with_defaults
from third_party_ports import checksums
from third_party_ports.checksums import Checksums
from third_party_ports.reading import reading

NAME = "top3000"
_INDEX = {  # columns that every version has
    "groups": {"record": pl.Int32, "images": pl.Int32, "pairs": pl.Int32, "pair_weight": pl.Float64},
    "images": {"record": pl.Int32, "position": pl.Int32, "account": pl.String, "image_id": pl.String,
               "post_id": pl.String, "likes": pl.Int64, "time": pl.Int64, "weight": pl.Float32},
}  # fmt: skip


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
      depth: whether groups have their "depth".
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
        return self._firsts[-1]

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
          depth: u16 [N, side, side], unpacked where it is indexed (group_record.DepthMaps); absent where the data set
            was built with depth.side = 0.

        Raises:
          ValueError: no such record.
        """
        return self.get([record])[0]

    def get(self, records: Sequence[int]) -> list[dict[str, Any]]:
        """The groups of these records, in this order. Raises as `__getitem__`."""
        side = self.options["depth"]["side"] if self._depth else 0
        k = self.options["retrieval"]["k"]
        groups = []
        for record in map(int, records):
            if not 0 <= record < len(self):
                raise ValueError(f"{self.folder}: {self.split} has the records 0 to {len(self) - 1}, not {record}")
            groups.append(decode(self._stored(record), k, side, f"{self.folder}: record {record} of {self.split}"))
        return groups

    def _stored(self, record: int) -> bytes:
        """A tf.train.Example."""
        shard = bisect_right(self._firsts, record) - 1
        with reading(f"{self.folder}: the split {self.split}", DatasetError, REMEDY):
            (stored,) = self._readers[shard].read([record - self._firsts[shard]])
        return stored

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[record] for record in range(len(self)))

    @cached_property
    def _readers(self) -> list[ArrayRecordReader]:
        """A reader per shard. TFDS' data source would hand each read to a pool of threads, which takes longer."""
        self.verify()
        with reading(f"{self.folder}: the split {self.split}", DatasetError, REMEDY):
            readers = [ArrayRecordReader(str(shard), "readahead_buffer_size:0") for shard in self._shards]
            for reader in readers:
                if not reader.ok():
                    reader.close()  # raises what is wrong
        return readers

    @cached_property
    def _firsts(self) -> list[int]:
        """The first record of each shard, and the number of records of the split."""
        with reading(f"{self.folder}: the split {self.split}", DatasetError, REMEDY):
            return list(accumulate((reader.num_records() for reader in self._readers), initial=0))

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
