"""The shards of a feature store: names and columns. Not in `rows`, as processes that read photos load no pyarrow."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pyarrow as pa


def shard_paths(path: Path) -> list[Path]:
    """The shards of the store at `path`, in order; only complete ones have these names."""
    return sorted(path.glob("part-*.arrow"))


def new_shard(path: Path) -> Path:
    """The first free name of a shard: one that was deleted because of damage leaves its number to the next."""
    return next(shard for number in count() if not (shard := path / f"part-{number:05d}.arrow").exists())


def shard_schema(extractors: Mapping[str, object], dims: Mapping[str, int]) -> pa.Schema:
    """Columns of a shard of a store with these parts; `dims` has the lengths of its vectors."""
    fields = {"account": pa.string(), "image_id": pa.string(), "width": pa.int32(), "height": pa.int32()}
    if "pose" in extractors:
        fields |= dict.fromkeys(("keypoints", "boxes", "scores"), pa.list_(pa.float32()))
    if "background" in extractors:
        fields["background"] = pa.list_(pa.float32(), dims["background"])
    if "caption" in extractors:
        fields["caption_vector"] = pa.list_(pa.float32(), dims["caption_vector"])
    fields["caption_text"] = pa.string()
    if "depth" in extractors:
        fields["depth"] = pa.binary()
    return pa.schema(list(fields.items()))
