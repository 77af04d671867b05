"""The feature store: what the frozen extractors say of each image, one folder, written once and read by account.

The folder holds `header.json` and shards `part-00000.arrow`, `part-00001.arrow`, ... (Arrow IPC files, memory-mapped).
A shard is complete or absent (it is renamed into place), so a killed extraction loses at most `shard_rows` rows;
opening a FeatureWriter on the folder again goes on behind them. Columns of a shard, one row an image:

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

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_builders.feature_rows import KEYPOINTS, Person, encode_depth, people_row, shard_schema

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from data_builders.similarity import Features

FORMAT = 1
PARTS = ("pose", "background", "caption", "depth")


class FeatureWriter:
    """Writes or extends the store at `path`. Use as a context manager; rows are kept even when the block raises.

    Args:
      path: the folder; made when absent.
      extractors: for each part that this store holds (of pose, background, caption, depth) a dict with
        `name`, `version` and `weights_sha256`.
      depth_side: side of the stored depth maps in pixels (0 without the part depth).
      random_weights: some extractor ran with random weights; training refuses such features unless told otherwise.
      shard_rows: rows a shard holds; what a killed process can lose.

    Raises:
      ValueError: a part is unknown or incompletely described, or the folder was written with another header.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        extractors: Mapping[str, Mapping[str, str]],
        depth_side: int,
        random_weights: bool = False,
        shard_rows: int = 1024,
    ):
        self.path = Path(path)
        self.header = {
            "format": FORMAT,
            "extractors": {part: dict(extractors[part]) for part in sorted(extractors)},
            "depth_side": int(depth_side),
            "random_weights": bool(random_weights),
        }
        _check_header(self.header, self.path)
        self._shard_rows = shard_rows
        self._rows: list[dict] = []
        self._dims: dict[str, int] = {}
        self._keys: set[tuple[str, str]] = set()
        self.path.mkdir(parents=True, exist_ok=True)
        if (self.path / "header.json").exists():
            self._resume()
        else:
            _write_atomically(self.path / "header.json", json.dumps(self.header, indent=2).encode())
        self._shards = len(_shard_paths(self.path))

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
        schema = shard_schema(self.header["extractors"], self._dims)
        columns = {name: [row[name] for row in self._rows] for name in schema.names}
        table = pa.table(columns, schema=schema)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema) as writer:
            writer.write_table(table)
        _write_atomically(self.path / f"part-{self._shards:05d}.arrow", sink.getvalue())
        self._shards += 1
        self._rows = []


class FeatureReader:
    """Reads the store at `path`; shards stay memory-mapped, only the keys are held in memory.

    Attributes:
      header: dict with `format`, `extractors`, `depth_side`, `random_weights`.
      parts: tuple, the parts that the store holds, of pose, background, caption, depth.
      dims: dict, length of `background` and of `caption_vector` where stored.

    Raises:
      FileNotFoundError: there is no store at `path`.
      ValueError: its header is not of this format.
    """

    def __init__(self, path: str | Path):
        import polars as pl
        import pyarrow as pa

        self.path = Path(path)
        if not (self.path / "header.json").exists():
            raise FileNotFoundError(
                f"{self.path}/header.json: no feature store here; write one with "
                "data_builders.feature_store.FeatureWriter and pass its folder as --features"
            )
        self.header = json.loads((self.path / "header.json").read_bytes())
        _check_header(self.header, self.path)
        self.parts = tuple(part for part in PARTS if part in self.header["extractors"])
        self._shards = [pa.ipc.open_file(pa.memory_map(str(shard))).read_all() for shard in _shard_paths(self.path)]
        self.dims = {
            column: self._shards[0].schema.field(column).type.list_size
            for column in ("background", "caption_vector")
            if self._shards and column in self._shards[0].column_names
        }
        keys = [
            pl.from_arrow(table.select(["account", "image_id"])).with_columns(
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
        """All (account, image_id), sorted by account."""
        return self._index.select("account", "image_id").iter_rows()

    def missing(self, keys: "Iterable[tuple[str, str]] | pl.DataFrame") -> list[tuple[str, str]]:
        """Those of `keys` (pairs, or a frame with columns account and image_id) that have no row, in order."""
        import polars as pl

        if not isinstance(keys, pl.DataFrame):
            keys = pl.DataFrame(list(keys), schema={"account": pl.String, "image_id": pl.String}, orient="row")
        keys = keys.select("account", "image_id")
        return keys.join(self._index, on=["account", "image_id"], how="anti", maintain_order="left").rows()

    def load(self, account: str, image_ids: Sequence[str]) -> "Features":
        """The features of these images of one account, in this order; a part that the store lacks is None.

        Raises:
          KeyError: an image has no row.
        """
        from data_builders.similarity import Features

        rows = self._take(account, image_ids)
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
        """Depth maps uint16 [I, side, side], 0 = the image's nearest point, 65535 its farthest.

        Raises:
          KeyError: an image has no row.
          ValueError: the store holds no depth.
        """
        self.require("depth")
        side = self.header["depth_side"]
        maps = np.empty((len(image_ids), side, side), np.uint16)
        for image, value in enumerate(self._take(account, image_ids)["depth"]):
            maps[image] = np.frombuffer(zlib.decompress(value.as_buffer()), "<u2").reshape(side, side)
        return maps

    def depth_bytes(self, account: str, image_ids: Sequence[str]) -> list[bytes]:
        """The depth maps as they are stored: zlib of uint16, little-endian, [side, side]. Raises as `depth`."""
        self.require("depth")
        return self._take(account, image_ids)["depth"].to_pylist()

    def people(self, account: str, image_ids: Sequence[str]) -> np.ndarray:
        """People found in each image, i32 [I]. Raises as `depth`, for the part pose."""
        self.require("pose")
        counts = self._take(account, image_ids)["scores"].combine_chunks().value_lengths()
        return counts.to_numpy().astype(np.int32)

    def caption_texts(self, account: str, image_ids: Sequence[str]) -> list[str | None]:
        """What the caption extractor wrote; None where it kept no text."""
        return self._take(account, image_ids)["caption_text"].to_pylist()

    def require(self, part: str) -> None:
        """Raises ValueError unless the store holds `part`."""
        if part not in self.parts:
            raise ValueError(f"{self.path}/header.json names no extractor for the part {part!r}; it has {self.parts}")

    def _rows_of(self, account: str) -> dict[str, tuple[int, int]]:
        if account not in self._spans:
            return {}
        rows = self._index.slice(*self._spans[account])
        return {image: (shard, row) for _, image, shard, row in rows.iter_rows()}

    def _take(self, account: str, image_ids: Sequence[str]) -> "pa.Table":
        import pyarrow as pa

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


def _check_header(header: dict, path: Path) -> None:
    if header["format"] != FORMAT:
        raise ValueError(f"{path}/header.json: format {header['format']}, this code reads {FORMAT}; extract again")
    for part, extractor in header["extractors"].items():
        if part not in PARTS:
            raise ValueError(f"{path}: extractors has the part {part!r}; parts are {', '.join(PARTS)}")
        if set(extractor) != {"name", "version", "weights_sha256"}:
            raise ValueError(f"{path}: extractors[{part!r}] needs name, version, weights_sha256; got {dict(extractor)}")
    if "depth" in header["extractors"] and header["depth_side"] < 1:
        raise ValueError(f"{path}: depth_side must be positive when the part depth is stored")


def _numbers(value) -> np.ndarray:
    return value.values.to_numpy()


def _matrix(rows: "pa.Table", column: str) -> np.ndarray:
    """A fixed-size list column as [I, D] float32."""
    array = rows[column].combine_chunks()
    return array.flatten().to_numpy().reshape(len(array), array.type.list_size)


def _shard_paths(path: Path) -> list[Path]:
    return sorted(path.glob("part-*.arrow"))


def _write_atomically(path: Path, data) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
