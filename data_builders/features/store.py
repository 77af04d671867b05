"""The feature store: a folder with what the extractors say about each image, written once and read by account.

The folder has `header.json` and the shards `part-00000.arrow`, `part-00001.arrow` and so on: Arrow IPC files that are
memory-mapped. A shard is renamed into place when it is complete, so a writer that is killed loses at most `shard_rows`
rows, and none with `journal`. A FeatureWriter that opens the folder again resumes. A shard has one row per image:

    account, image_id    string    the key
    width, height        int32     of the EXIF-upright pixels that keypoints, boxes and depth live in
    keypoints            list<f32> P * 17 * 3 numbers (x, y in pixels, score), COCO order      part "pose"
    boxes, scores        list<f32> P * 4 (x0, y0, x1, y1) and P numbers                        part "pose"
    background           f32[D]                                                                part "background"
    caption_vector       f32[E]                                                                part "caption"
    caption_text         string    or null
    depth                binary    zlib of uint16, little-endian, [side, side], 0 = nearest    part "depth"

The header describes the extractor of each part by `name`, `version` and `weights_sha256`; a part that it does not name
is not stored. `decoded_with` lists the versions of the libraries that decoded the photos; a store may lack it.

Header and shards are sealed (third_party_ports.seals), and checked before they are parsed. Rows of a shard that was
deleted because of damage are extracted again.
"""

import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from data_builders.features import journal as feature_journal
from data_builders.features.reader import FeatureReader, read_header
from data_builders.features.rows import (
    FORMAT,
    HEADER,
    VECTORS,
    Person,
    check_header,
    encode_depth,
    people_row,
)
from data_builders.features.shards import new_shard, shard_paths, shard_schema
from third_party_ports import seals
from third_party_ports.files import lock, write_bytes

__all__ = ["FeatureReader", "FeatureWriter"]


class FeatureWriter:
    """Writes a store, or extends an existing one. Use it as a context manager; rows are kept even if the block raises.

    Args:
      path: the folder; it is made if it does not exist.
      extractors: for each part of this store (of pose, background, caption, depth) a mapping with `name`, `version` and
        `weights_sha256`.
      depth_side: pixels, the side of the stored depth maps; 0 without the part depth.
      random_weights: an extractor has random weights. Training refuses such features unless told otherwise.
      shard_rows: rows of a shard, which are what a killed process can lose.
      journal: writes each row to disk at once, until its shard is full. Use it if a row takes seconds to make.
      wait: seconds to wait for another process that writes to the folder.
      decoded_with: versions of the libraries that decode the photos here, as photos.versions gives them; None if the
        features do not come from photo files. The header lists them when the first row is written.

    Raises:
      ValueError: a part is unknown or not fully described, or the folder has rows under another header.
      StoreError: a file in the folder is damaged.
      BlockingIOError: another process writes to the folder.
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
        wait: float = 0,
        decoded_with: Mapping[str, str] | None = None,
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
        self._decoded_with = None if decoded_with is None else dict(decoded_with)  # None: nothing left to note
        self.path.mkdir(parents=True, exist_ok=True)
        self._held = ExitStack()
        self._held.enter_context(lock(self.path, wait))
        try:
            for torn in self.path.glob(".*.tmp*"):  # temporary files of a writer that was killed
                torn.unlink()
            if any(shard_paths(self.path)) or feature_journal.read(self.path):
                self._resume()
            else:  # also if a run ended before its first row
                seals.write_json(self.path / HEADER, self.header)
            self._recover()
        except BaseException:
            self.close()
            raise
        self._journal = feature_journal.Journal(self.path) if journal else None

    def _recover(self) -> None:
        """Makes a shard of the rows that a killed writer had only in its journal."""
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
                    f"{self.path}/header.json: {field} is {stored.header[field]!r} there and {wanted!r} now; write to "
                    "another folder, or delete this one"
                )
        self._keys.update(stored.keys())
        self._dims = stored.dims

    def __enter__(self) -> "FeatureWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Releases the folder for another writer. Rows that were not flushed stay in the journal, or are lost."""
        if self._journal:
            self._journal.close()
        self._held.close()

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
        """Adds an image. Returns False, and writes nothing, if the store has its key.

        Args:
          account, image_id: the key.
          width, height: pixels of the upright image.
          people: for each (keypoints [17, 3] x, y in pixels and score; box [4] x0, y0, x1, y1; score); [] if nobody was
            found. Only the eight people with the highest scores are kept; a keypoint outside the image gets score 0.
          background, caption_vector: [D] and [E] numbers, of the same length in every row.
          caption_text: for people to read.
          depth: [h, w] of any unit and size; see `encode_depth`.

        Raises:
          ValueError: a part of the header is missing, a part outside it is given, or a shape is wrong.
        """
        key, where = (account, image_id), f"{account}/{image_id}"
        if key in self._keys:
            return False
        if width < 1 or height < 1:
            raise ValueError(f"{where}: width and height must be positive, got {width} x {height}")
        given = {"pose": people, "background": background, "caption": caption_vector, "depth": depth}
        self._check_parts(given, where)
        row: dict[str, Any] = {"account": account, "image_id": image_id, "width": width, "height": height}
        row["caption_text"] = caption_text
        if people is not None:
            row |= people_row(people, width, height, where)
        for column, vector in (("background", background), ("caption_vector", caption_vector)):
            if vector is not None:
                row[column] = self._vector(vector, column, where)
        if depth is not None:
            encoded = encode_depth(depth, self.header["depth_side"])
            row["depth"] = zlib.compress(encoded.astype("<u2").tobytes(), 6)
        if self._decoded_with is not None:
            self.note_decoders([self._decoded_with])
            self._decoded_with = None
        if self._journal:
            self._journal.append(row, shard_schema(self.header["extractors"], self._dims))
        self._rows.append(row)
        self._keys.add(key)
        if len(self._rows) >= self._shard_rows:
            self.flush()
        return True

    def note_decoders(self, decoded_with: Sequence[Mapping[str, str]]) -> None:
        """Adds versions of libraries that decoded photos of this store to its header, unless it has them."""
        stored = read_header(self.path)
        known = stored.get("decoded_with", [{}] if shard_paths(self.path) else [])  # {}: rows of unknown versions
        new = [dict(versions) for versions in decoded_with if versions not in known]
        if new:
            seals.write_json(self.path / HEADER, stored | {"decoded_with": known + new})

    def _check_parts(self, given: Mapping[str, Any], where: str) -> None:
        for part, value in given.items():
            named = part in self.header["extractors"]
            if named and value is None:
                raise ValueError(f"{where}: the row lacks the part {part!r}, which the store's header names")
            if value is not None and not named:
                raise ValueError(f"{where}: the row has the part {part!r}, which the store's header does not name")

    def _vector(self, vector: np.ndarray, column: str, where: str) -> np.ndarray:
        vector = np.asarray(vector, np.float32)
        length = self._dims.setdefault(column, vector.size)
        if vector.shape != (length,) or not length or not np.isfinite(vector).all():
            raise ValueError(f"{where}: {column} must be {length} finite numbers, got shape {vector.shape}")
        return vector

    def flush(self) -> None:
        """Writes the rows that were added since the last shard as a shard."""
        if not self._rows:
            return
        schema = shard_schema(self.header["extractors"], self._dims)
        columns = {name: [row[name] for row in self._rows] for name in schema.names}
        table = pa.table(columns, schema=schema.with_metadata({seals.FIELD: seals.EMPTY}))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        write_bytes(new_shard(self.path), seals.sealed(sink.getvalue().to_pybytes()))
        self._rows = []
        if self._journal:
            self._journal.delete()
