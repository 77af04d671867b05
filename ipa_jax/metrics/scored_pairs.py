"""The scores of a split as groups and pairs in arrays: what every metric of section 4.1.2 starts from.

`scores` is a polars frame with a row per image:

- account: str.
- record: int, the group.
- image_id, post_id: str.
- likes: int, at least 1.
- z: float, the score as z = log s.
- group: only where several runs on one data set are pooled; equal for the records that are one group.

A pair is two images of one group from different posts. It is valid when max likes > min_ratio * min likes (eq. 8).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_builders.groups import is_valid


@dataclass(frozen=True)
class Table:
    """A split's scores in columns, sorted by group: `likes`, `z` and `post` per image [I], the others per group [G]."""

    likes: np.ndarray  # int64 [I]
    z: np.ndarray  # float64 [I]
    post: np.ndarray  # int64 [I], equal for images of one post
    start: np.ndarray  # int64 [G], first image of the group
    size: np.ndarray  # int64 [G]
    account: np.ndarray  # int64 [G], index into `accounts`
    group: np.ndarray  # int64 [G] from 0, equal for a group that several runs have scored
    accounts: list[str]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (groups [g], images [g, n]) for every group size n: the groups of one size as one matrix."""
        for n in np.unique(self.size):
            groups = np.flatnonzero(self.size == n)
            yield groups, self.start[groups, None] + np.arange(n)


@dataclass(frozen=True)
class Pairs:
    """Pairs of images of one group and different posts, [P]: d and t are the log ratios of scores and of likes."""

    group: np.ndarray  # int64, row of the Table's groups
    d: np.ndarray  # float64, z_a - z_b
    t: np.ndarray  # float64, log l_a - log l_b
    larger: np.ndarray  # int64, max of the two likes
    smaller: np.ndarray  # int64

    def take(self, keep: np.ndarray) -> "Pairs":
        """The pairs of a mask or of indices."""
        return Pairs(*(getattr(self, name)[keep] for name in ("group", "d", "t", "larger", "smaller")))

    def valid(self, min_ratio: float) -> "Pairs":
        """The pairs that count (eq. 8)."""
        return self.take(is_valid(self.larger, self.smaller, min_ratio))

    @property
    def correct(self) -> np.ndarray:
        """1 where the image with more likes scores higher, 1/2 where z ties, else 0; float64 [P]."""
        return np.where(self.d == 0, 0.5, np.sign(self.d) == np.sign(self.t))

    def squared_error(self, factor: float = 1.0) -> np.ndarray:
        """(log2(s_a / s_b) - log2(l_a / l_b))^2 of eq. 9, after `factor` on z; float64 [P]."""
        return ((factor * self.d - self.t) / np.log(2)) ** 2


def score_table(images: pl.DataFrame, z: np.ndarray) -> pl.DataFrame:
    """A frame of scores from an index (GroupDataset.images) and z, float [I], in the order of the index."""
    columns = images.select("account", "record", "image_id", "post_id", "likes")
    return columns.with_columns(pl.Series("z", z, dtype=pl.Float64))


def read_scores(scores: pl.DataFrame) -> Table:
    """Sorts a frame of scores into a `Table`.

    Raises:
      ValueError: the frame is empty, or a score is missing or not finite.
    """
    if scores.is_empty():
        raise ValueError("scores: no images; the split is empty")
    scores = scores.sort("record", "image_id")
    z = scores["z"].cast(pl.Float64).to_numpy()
    if bad := int((~np.isfinite(z)).sum()):
        example = scores.row(int(np.flatnonzero(~np.isfinite(z))[0]), named=True)
        raise ValueError(
            f"scores.z: {bad} of {len(z)} scores are not finite, e.g. {example['account']}/{example['image_id']}; "
            "score the split with another checkpoint"
        )
    named = "group" if "group" in scores.columns else "record"
    groups = scores.group_by("record", maintain_order=True).agg(
        pl.len().alias("size"), pl.col("account").first(), group=pl.col(named).first()
    )
    size = groups["size"].cast(pl.Int64).to_numpy()
    accounts = sorted(groups["account"].unique())
    number = {name: i for i, name in enumerate(accounts)}
    return Table(
        likes=scores["likes"].cast(pl.Int64).to_numpy(),
        z=z,
        post=scores["post_id"].rank("dense").cast(pl.Int64).to_numpy(),
        start=np.cumsum(size) - size,
        size=size,
        account=np.array([number[name] for name in groups["account"]]),
        group=groups["group"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        accounts=accounts,
    )


def all_pairs(table: Table) -> Pairs:
    """Every pair of images of one group and different posts, sorted by group."""
    parts = []
    for groups, images in table.blocks():
        i, j = np.triu_indices(images.shape[1], 1)
        group = np.repeat(groups, len(i))
        parts.append(np.stack([group, images[:, i].ravel(), images[:, j].ravel()]))
    group, a, b = np.concatenate(parts, axis=1)
    apart = np.flatnonzero(table.post[a] != table.post[b])
    apart = apart[np.argsort(group[apart], kind="stable")]
    group, a, b = group[apart], a[apart], b[apart]
    l_a, l_b = table.likes[a], table.likes[b]
    return Pairs(group, table.z[a] - table.z[b], np.log(l_a) - np.log(l_b), np.maximum(l_a, l_b), np.minimum(l_a, l_b))


def pool(worlds: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The scores of several data sets as one frame: accounts become "name/account", records are numbered through.

    Args:
      worlds: name of a data set -> its scores.
    """
    parts, first = [], 0
    for name, scores in worlds.items():
        record = pl.col("record").cast(pl.Int64) + first
        parts.append(scores.with_columns(record, account=pl.lit(f"{name}/") + pl.col("account")))
        first = int(parts[-1]["record"].max()) + 1
    return pl.concat(parts)
