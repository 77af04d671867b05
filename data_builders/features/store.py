"""The feature store: what the frozen extractors say of each image, one folder, written once and read by account.

The folder holds `header.json` and shards `part-00000.arrow`, `part-00001.arrow`, ... (Arrow IPC files, memory-mapped).
A shard is complete or absent (it is renamed into place), so a killed writer loses at most `shard_rows` rows, and with
`journal` none; opening a FeatureWriter on the folder again goes on behind them. Columns of a shard, one row an image:

    account, image_id    string    the key
    width, height        int32     of the EXIF-upright pixels that keypoints, boxes and depth live in
    keypoints            list<f32> P * 17 * 3 numbers (x, y in pixels, score), COCO order      part "pose"
    boxes, scores        list<f32> P * 4 (x0, y0, x1, y1) and P numbers                        part "pose"
    background           f32[D]                                                                part "background"
    caption_vector       f32[E]                                                                part "caption"
    caption_text         string    or null
    depth                binary    zlib of uint16, little-endian, [side, side], 0 = nearest    part "depth"

The header names each part's extractor, its version and the hash of its weights; a part not named there is lacking.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_builders.features import journal as feature_journal
from data_builders.features.reader import FeatureReader
from data_builders.features.rows import (
    FORMAT,
    VECTORS,
    Person,
    check_header,
    encode_depth,
    people_row,
    shard_paths,
    shard_schema,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FeatureReader", "FeatureWriter"]


class FeatureWriter:
    """Writes or extends the store at `path`. Use as a context manager; rows are kept even when the block raises.

    Args:
      path: the folder; made when absent.
      extractors: for each part that this store holds (of pose, background, caption, depth) a dict with
        `name`, `version` and `weights_sha256`.
      depth_side: side of the stored depth maps in pixels (0 without the part depth).
      random_weights: some extractor ran with random weights; training refuses such features unless told otherwise.
      shard_rows: rows a shard holds; what a killed process can lose.
      journal: keeps each row on disk at once, until its shard is full: for rows that cost seconds each.

    Raises:
      ValueError: a part is unknown or incompletely described, or the folder was written with another header, or
        another process is writing to it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        extractors: Mapping[str, Mapping[str, str]],
        depth_side: int,
        random_weights: bool = False,
        shard_rows: int = 1024,
        journal: bool = False,
    ):
        self.path = Path(path)
        self.header = {
            "format": FORMAT,
            "extractors": {part: dict(extractors[part]) for part in sorted(extractors)},
            "depth_side": int(depth_side),
            "random_weights": bool(random_weights),
        }
        check_header(self.header, self.path)
        self._shard_rows = shard_rows
        self._rows: list[dict] = []
        self._dims: dict[str, int] = {}
        self._keys: set[tuple[str, str]] = set()
        self._journal: feature_journal.Journal | None = None
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = _lock(self.path)
        try:
            if any(shard_paths(self.path)) or feature_journal.read(self.path):
                self._resume()
            else:  # also where a run ended before its first row
                _write_atomically(self.path / "header.json", json.dumps(self.header, indent=2).encode())
            self._shards = len(shard_paths(self.path))
            self._recover()
        except BaseException:
            self.close()
            raise
        self._journal = feature_journal.Journal(self.path) if journal else None

    def _recover(self) -> None:
        """Rows that a killed writer had only in its journal become a shard."""
        for row in feature_journal.read(self.path):
            key = (row["account"], row["image_id"])
            if key not in self._keys:
                self._keys.add(key)
                self._rows.append(row)
                self._dims |= {column: len(row[column]) for column in VECTORS if row.get(column) is not None}
        self.flush()
        (self.path / feature_journal.NAME).unlink(missing_ok=True)

    def _resume(self) -> None:
        stored = FeatureReader(self.path)
        for field, wanted in self.header.items():
            if stored.header[field] != wanted:
                raise ValueError(
                    f"{self.path}/header.json: {field} is {stored.header[field]!r}, this writer has "
                    f"{wanted!r}; write to another folder, or delete this one"
                )
        self._keys.update(stored.keys())
        self._dims = stored.dims

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(self, *exc) -> None:
        self.flush()
        self.close()

    def close(self) -> None:
        """Lets another writer have the store; rows that were not flushed are lost, or in the journal."""
        if self._journal:
            self._journal.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._keys

    def write(
        self,
        account: str,
        image_id: str,
        width: int,
        height: int,
        *,
        people: Sequence[Person] | None = None,
        background: np.ndarray | None = None,
        caption_vector: np.ndarray | None = None,
        caption_text: str | None = None,
        depth: np.ndarray | None = None,
    ) -> bool:
        """Adds one image; False (and nothing is written) when its key is there already.

        People beyond the eight of the highest scores are dropped; a keypoint outside the image gets score 0.

        Args:
          people: each (keypoints [17, 3] x, y in pixels and score; box [4] x0, y0, x1, y1; score); [] = nobody.
          background, caption_vector: [D] and [E], the same length in every row.
          depth: [h, w], any unit and size; see `encode_depth`.

        Raises:
          ValueError: a part of the header is None, a part outside it is given, or a shape is wrong.
        """
        key = (account, image_id)
        if key in self._keys:
            return False
        if width < 1 or height < 1:
            raise ValueError(f"{account}/{image_id}: width and height must be positive, got {width} x {height}")
        given = {"pose": people, "background": background, "caption": caption_vector, "depth": depth}
        for part, value in given.items():
            if (value is not None) != (part in self.header["extractors"]):
                has = "does not name" if value is not None else "names"
                raise ValueError(
                    f"{account}/{image_id}: the store's header {has} the part {part!r}, and the row "
                    f"{'gives it' if value is not None else 'lacks it'}"
                )
        row = {"account": account, "image_id": image_id, "width": width, "height": height, "caption_text": caption_text}
        if people is not None:
            row |= people_row(people, width, height, f"{account}/{image_id}")
        for column, vector in (("background", background), ("caption_vector", caption_vector)):
            if vector is not None:
                row[column] = self._vector(vector, column, f"{account}/{image_id}")
        if depth is not None:
            encoded = encode_depth(depth, self.header["depth_side"])
            row["depth"] = zlib.compress(encoded.astype("<u2").tobytes(), 6)
        if self._journal:
            self._journal.append(row, self._schema())
        self._rows.append(row)
        self._keys.add(key)
        if len(self._rows) >= self._shard_rows:
            self.flush()
        return True

    def _vector(self, vector: np.ndarray, column: str, where: str) -> np.ndarray:
        vector = np.asarray(vector, np.float32)
        length = self._dims.setdefault(column, vector.size)
        if vector.shape != (length,) or not length or not np.isfinite(vector).all():
            raise ValueError(f"{where}: {column} must be {length} finite numbers, got shape {vector.shape}")
        return vector

    def flush(self) -> None:
        """Writes the rows held so far as one shard."""
        import pyarrow as pa

        if not self._rows:
            return
        schema = self._schema()
        columns = {name: [row[name] for row in self._rows] for name in schema.names}
        table = pa.table(columns, schema=schema)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(table)
        _write_atomically(self.path / f"part-{self._shards:05d}.arrow", sink.getvalue())
        self._shards += 1
        self._rows = []
        if self._journal:
            self._journal.delete()

    def _schema(self) -> "pa.Schema":
        return shard_schema(self.header["extractors"], self._dims)


def _lock(path: Path) -> int:
    """A descriptor of the folder that holds it alone until it is closed or the process ends.

    Raises ValueError where another writer holds it.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise ValueError(f"{path}: another process is writing to this store; wait for it, or end it") from error
    return folder


def _write_atomically(path: Path, data) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
