"""The memory bank of a person's history: every usable post, not only those with a pair to train on (section 3.2.1).

Training keeps the groups that have a valid pair, which would cost a weekly poster most of the history. Ranking needs no
pairs, so each post is a group of its own, in train. The first image stands for its post.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from data_builders.features.features import Features
from data_builders.groups import DAY, TRAIN
from data_builders.retrieval.memory_bank import AccountImages

RIPE_DAYS = 7  # likes of younger posts still grow
HIDDEN, UNRIPE, NO_FEATURES = "likes hidden", "younger than 7 days", "no features"  # reasons to leave a post out


@dataclass(frozen=True)
class HistoryBank:
    """The P usable posts of one account, sorted by (time, post id), with one image each.

    Attributes:
      account: its name.
      as_of: Unix seconds, when the likes were counted.
      images: the posts as retrieval reads them, P rows.
      features: of the same P images.
      paths: the image file of each post, relative to the history.
      left_out: reason -> ids of the posts that were left out, in order of time.
    """

    account: str
    as_of: int
    images: AccountImages
    features: Features
    paths: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def as_of_date(self) -> str:
        """The day on which the likes were counted, ISO, UTC."""
        return datetime.fromtimestamp(self.as_of, UTC).date().isoformat()


def history_bank(
    table: pl.DataFrame,
    features: Features,
    *,
    as_of: int,
    rows: np.ndarray | None = None,
    hidden: np.ndarray | None = None,
) -> HistoryBank:
    """Takes the usable posts of one account.

    Args:
      table: T posts of one account, columns as data_builders.posts.post.SCHEMA, in any order.
      features: of the first image of each post; which row is whose says `rows`.
      as_of: Unix seconds, when the likes were counted. Posts younger than 7 days then are left out.
      rows: int [T], the row of `features` for each post of the table, -1 for a post whose photo has none; by default
        the rows of the table.
      hidden: bool [T], posts whose likes are hidden; by default none.

    Raises:
      ValueError: the table holds several accounts, or features, rows or mask do not fit it.
    """
    posts = len(table)
    rows = np.arange(posts) if rows is None else np.asarray(rows, np.int64)
    hidden = np.zeros(posts, bool) if hidden is None else np.asarray(hidden, bool)
    accounts = table["account"].unique().to_list()
    if len(accounts) > 1:
        raise ValueError(f"the history holds {len(accounts)} accounts, {', '.join(sorted(accounts)[:3])}: give one")
    if len(rows) != posts or len(hidden) != posts:
        raise ValueError(f"{posts} posts, but {len(rows)} rows of features and {len(hidden)} marks of hidden likes")
    if posts and rows.max() >= len(features):
        raise ValueError(f"a post has row {rows.max()} of the features, which have only {len(features)} rows")

    marked = _marked(table, rows, hidden, as_of)
    kept = marked.filter(pl.col("reason").is_null())
    left_out = {
        name: tuple(marked.filter(reason=name)["post_id"])
        for name in (HIDDEN, UNRIPE, NO_FEATURES)
        if (marked["reason"] == name).any()
    }
    return HistoryBank(
        account=accounts[0] if accounts else "",
        as_of=int(as_of),
        images=_images(kept),
        features=features.rows(kept["row"].to_numpy()),
        paths=tuple(kept["path"].to_list()),
        left_out=left_out,
    )


def _marked(table: pl.DataFrame, rows: np.ndarray, hidden: np.ndarray, as_of: int) -> pl.DataFrame:
    """The posts in order, with columns row, image_id, path and reason: why a post is left out, null if it is not."""
    columns = {
        "row": rows,
        "hidden": hidden,
        "image_id": table["image_ids"].list.first(),
        "path": table["image_paths"].list.first(),
    }
    reason = (
        pl.when("hidden").then(pl.lit(HIDDEN))
        .when(as_of - pl.col("time") < RIPE_DAYS * DAY).then(pl.lit(UNRIPE))
        .when(pl.col("row") < 0).then(pl.lit(NO_FEATURES))
    )  # fmt: skip
    posts = table.select("post_id", "time", "likes").with_columns(**columns).sort("time", "post_id")
    return posts.with_columns(reason.alias("reason"))


def _images(posts: pl.DataFrame) -> AccountImages:
    count = len(posts)
    return AccountImages(
        post=np.arange(count, dtype=np.int32),
        time=posts["time"].to_numpy().astype(np.int64),
        likes=posts["likes"].to_numpy().astype(np.int64),
        group=np.arange(count, dtype=np.int32),
        split=np.full(count, TRAIN, np.int8),
        image_id=np.array(posts["image_id"].to_list(), dtype=str),
        post_id=np.array(posts["post_id"].to_list(), dtype=str),
    )
