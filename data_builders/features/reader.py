"""Reads a feature store. The module `store` describes the format."""

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from data_builders.features.features import Features
from data_builders.features.rows import (
    HEADER,
    KEYPOINTS,
    PARTS,
    VECTORS,
    StoreError,
    check_header,
)
from data_builders.features.shards import shard_paths, shard_schema
from third_party_ports import seals
from third_party_ports.reading import reading, warn_once

HEADER_REMEDY = "extract again with ipa-jax extract, into another folder, or copy the store again"
SHARD_REMEDY = "delete the damaged shard and run the same ipa-jax extract command again, which extracts its rows alone"
_OLD = "{}: files have no checksum (an earlier version wrote them), so damage would not show; extract again to have one"


class FeatureReader:
    """Reads the store at `path`. The shards are memory-mapped; only the keys are in memory.

    Args:
      path: the folder.
      verify: whether to check the shards' seals, once, now; a worker whose parent has done that need not.

    Attributes:
      header: what header.json says.
      parts: the parts that the store has, of pose, background, caption, depth.
      dims: lengths of the vectors in the columns `background` and `caption_vector`, if they are stored.
      decoded_with: versions of the libraries that decoded the photos, one mapping for each set of versions; {} stands
        for unknown ones. Empty for a store that does not say.

    Raises:
      FileNotFoundError: `path` has no store.
      StoreError: a file is damaged, or the header has another format.
    """

    def __init__(self, path: str | Path, *, verify: bool = True):
        self.path = Path(path)
        self.header = read_header(self.path)
        self.decoded_with: list[dict[str, str]] = self.header.get("decoded_with", [])
        self.parts = tuple(part for part in PARTS if part in self.header["extractors"])
        shards = shard_paths(self.path)
        checked = _check(self.path, shards) if verify else [True] * len(shards)
        self._shards = [_open(*shard, self.header["extractors"]) for shard in zip(shards, checked, strict=True)]
        self.dims = _dims(self._shards[0].schema) if self._shards else {}
        for shard, table in zip(shards, self._shards, strict=True):
            if _dims(table.schema) != self.dims:
                raise StoreError(f"{shard}: its vectors have other lengths than the first shard's; {SHARD_REMEDY}")
        keys = [
            pl.DataFrame(table.select(["account", "image_id"])).with_columns(
                shard=pl.lit(number, pl.Int32), row=pl.int_range(pl.len(), dtype=pl.Int32)
            )
            for number, table in enumerate(self._shards)
        ]
        empty = {"account": pl.String, "image_id": pl.String, "shard": pl.Int32, "row": pl.Int32}
        self._index = pl.concat(keys).sort("account", maintain_order=True) if keys else pl.DataFrame(schema=empty)
        self._spans: dict[str, tuple[int, int]] = {}
        start = 0
        for account, length in self._index.group_by("account", maintain_order=True).len().iter_rows():
            self._spans[account] = (start, length)
            start += length

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key[1] in self._rows_of(key[0])

    def keys(self) -> Iterable[tuple[str, str]]:
        """All keys (account, image_id), sorted by account."""
        return self._index.select("account", "image_id").iter_rows()

    def missing(self, keys: Iterable[tuple[str, str]] | pl.DataFrame) -> list[tuple[str, str]]:
        """Keys without a row, in the order of `keys`: pairs, or a frame with the columns account and image_id."""
        if not isinstance(keys, pl.DataFrame):
            keys = pl.DataFrame(list(keys), schema={"account": pl.String, "image_id": pl.String}, orient="row")
        keys = keys.select("account", "image_id")
        return keys.join(self._index, on=["account", "image_id"], how="anti", maintain_order="left").rows()

    def load(self, account: str, image_ids: Sequence[str]) -> Features:
        """The features of these images of one account, in this order. Raises KeyError for an image without a row."""
        rows = self._take(account, image_ids)
        with reading(f"{self.path}: the features of {account}", StoreError, SHARD_REMEDY):
            return self._features(rows)

    def _features(self, rows: pa.Table) -> Features:
        keypoints = boxes = people = None
        if "pose" in self.parts:
            people = np.array([len(scores) for scores in rows["scores"]], np.int32)
            most = int(people.max(initial=0))
            keypoints = np.zeros((len(people), most, KEYPOINTS, 3), np.float32)
            boxes = np.zeros((len(people), most, 4), np.float32)
            for image, count in enumerate(people):
                keypoints[image, :count] = _numbers(rows["keypoints"][image]).reshape(count, KEYPOINTS, 3)
                boxes[image, :count] = _numbers(rows["boxes"][image]).reshape(count, 4)
        return Features(
            keypoints=keypoints,
            boxes=boxes,
            people=people,
            width=rows["width"].to_numpy().astype(np.int32),
            height=rows["height"].to_numpy().astype(np.int32),
            background=_matrix(rows, "background") if "background" in self.parts else None,
            caption=_matrix(rows, "caption_vector") if "caption" in self.parts else None,
        )

    def depth(self, account: str, image_ids: Sequence[str]) -> np.ndarray:
        """Depth maps uint16 [I, side, side]: 0 is an image's nearest point, 65535 its farthest.

        Raises:
          KeyError: an image has no row.
          ValueError: the store lacks the part depth.
        """
        self.require("depth")
        side = self.header["depth_side"]
        maps = np.empty((len(image_ids), side, side), np.uint16)
        for image, value in enumerate(self._take(account, image_ids)["depth"]):
            with reading(f"{self.path}: the depth of {account}/{image_ids[image]}", StoreError, SHARD_REMEDY):
                maps[image] = np.frombuffer(zlib.decompress(value.as_buffer()), "<u2").reshape(side, side)
        return maps

    def people(self, account: str, image_ids: Sequence[str]) -> np.ndarray:
        """People found in each image, int32 [I]. Raises as `depth`, for the part pose."""
        self.require("pose")
        counts = self._take(account, image_ids)["scores"].combine_chunks().value_lengths()
        return counts.to_numpy().astype(np.int32)

    def caption_texts(self, account: str, image_ids: Sequence[str]) -> list[str | None]:
        """The captions; None for an image without text. Raises KeyError for an image without a row."""
        return self._take(account, image_ids)["caption_text"].to_pylist()

    def require(self, part: str) -> None:
        """Raises ValueError if the store lacks `part`."""
        if part not in self.parts:
            raise ValueError(
                f"{self.path}/header.json: the store lacks the part {part}; it has {', '.join(self.parts) or 'none'}"
            )

    def _rows_of(self, account: str) -> dict[str, tuple[int, int]]:
        if account not in self._spans:
            return {}
        rows = self._index.slice(*self._spans[account])
        return {image: (shard, row) for _, image, shard, row in rows.iter_rows()}

    def _take(self, account: str, image_ids: Sequence[str]) -> pa.Table:
        known = self._rows_of(account)
        lost = [image for image in image_ids if image not in known]
        if lost:
            raise KeyError(f"{self.path}: no row for {account}/{lost[0]} ({len(lost)} of {len(image_ids)} images)")
        places = np.array([known[image] for image in image_ids], np.int64).reshape(-1, 2)
        pieces, order = [], []
        for shard in np.unique(places[:, 0]):
            wanted = np.flatnonzero(places[:, 0] == shard)
            pieces.append(self._shards[shard].take(places[wanted, 1]))
            order.append(wanted)
        if not pieces:
            return self._shards[0].slice(0, 0).combine_chunks()
        return pa.concat_tables(pieces).combine_chunks().take(np.argsort(np.concatenate(order)))


def read_header(path: Path) -> dict[str, Any]:
    """header.json of the store at `path`, checked.

    Raises:
      FileNotFoundError: `path` has no store.
      StoreError: the header is damaged or of another format.
    """
    file = path / HEADER
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is missing, so this is not a feature store: give --features the folder that `ipa-jax extract` "
            "wrote"
        )
    if not seals.check(file, StoreError, HEADER_REMEDY, ours=False):
        warn_once(_OLD.format(path))
    header = seals.read_json(file, StoreError, HEADER_REMEDY, ours=False)
    with reading(file, StoreError, HEADER_REMEDY):
        check_header(header, path)
    return header


def _check(path: Path, shards: Sequence[Path]) -> list[bool]:
    """Whether each shard has a seal, which is checked, several at a time. Raises StoreError for a damaged one."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        sealed = list(threads.map(lambda shard: seals.check(shard, StoreError, SHARD_REMEDY, ours=False), shards))
    if not all(sealed):
        warn_once(_OLD.format(path))
    return sealed


def _open(shard: Path, checked: bool, extractors: Mapping[str, Any]) -> pa.Table:
    """The rows of a shard, memory-mapped. A shard that could not be checked is validated, which reads all of it."""
    with reading(shard, StoreError, SHARD_REMEDY):
        table = pa.ipc.open_file(pa.memory_map(str(shard))).read_all()
        expected = shard_schema(extractors, _dims(table.schema))
        for field in expected:
            if not (found := table.schema.field(field.name)).equals(field):
                raise ValueError(f"the column is {found} in place of {field}")
        if not checked:
            table.validate(full=True)
    return table.select(expected.names).replace_schema_metadata(None)


def _dims(schema: pa.Schema) -> dict[str, int]:
    """The lengths of the vectors in a shard."""
    return {column: schema.field(column).type.list_size for column in VECTORS if column in schema.names}


def _numbers(value: pa.ListScalar) -> np.ndarray:
    return value.values.to_numpy()


def _matrix(rows: pa.Table, column: str) -> np.ndarray:
    """A fixed-size list column as [I, D] float32."""
    array = rows[column].combine_chunks()
    return array.flatten().to_numpy().reshape(len(array), array.type.list_size)
