"""Baselines that look at other photos of the account: what the model retrieves, and the nearest photos by pixels.

Of the nearest photos, z is the mean log local score (eq. 3) of the 5 nearest train images of the account. An image's
own group is never among them, nor in the means, and no label of a validation or test image is read. With
`memory.past_only` only older images count. An image whose account has no train image to look at gets z = 0.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from data_builders.groups import TEST, TRAIN
from data_builders.retrieval.local_score import local_scores, similarity_weighted
from data_builders.retrieval.memory_bank import AccountImages, visible
from ipa_jax.input.photos import decode
from ipa_jax.metrics.scored_pairs import score_table

BATCH = 256  # groups read at once
NEIGHBOURS = 5  # as many as the model retrieves
THUMBNAIL = 16  # side of the down-sampled images, pixels

# (split, n rows of its index with their numbers in the column `row`) -> vectors [n, D].
Embed = Callable[[GroupDataset, pl.DataFrame], np.ndarray]


def retrieval_only(dataset: GroupDataset) -> pl.DataFrame:
    """z = sum_k S_k log local_k / sum_k S_k over the retrieved images (eq. 1, 3); 0 without a similar one."""
    z = [
        similarity_weighted(example["similarity"][..., 0], example["local_score"], example["mask"])
        for example in _examples(dataset, "retrieval-only")
    ]
    return score_table(dataset.images, np.concatenate(z))


def _examples(dataset: GroupDataset, what: str) -> Iterator[dict[str, Any]]:
    """All groups in order, read in batches, with a progress bar."""
    with tqdm(total=len(dataset), desc=what, unit="group", disable=None) as bar:
        for begin in range(0, len(dataset), BATCH):
            batch = dataset.get(list(range(begin, min(begin + BATCH, len(dataset)))))
            yield from batch
            bar.update(len(batch))


def pixel_knn(dataset: GroupDataset, train: GroupDataset) -> pl.DataFrame:
    """Neighbours by the distance of 16 x 16 RGB pixels; see `knn`."""
    return knn(dataset, train, thumbnails, "pixel kNN")


def knn(dataset: GroupDataset, train: GroupDataset, embed: Embed, what: str) -> pl.DataFrame:
    """Scores of a split by the nearest train images of each account.

    Args:
      dataset: the split to score.
      train: the train split of the same data set; the same object as `dataset` to score train itself.
      embed: gives the vectors of images, which are compared by Euclidean distance.
      what: the name beside the progress.
    """
    asked = dataset.images.with_row_index("row").with_columns(split=pl.lit(TEST))
    known = train.images.with_row_index("row").with_columns(split=pl.lit(TRAIN))
    same = dataset is train
    z = np.zeros(len(asked))
    banks = known.partition_by("account", as_dict=True)
    queries = asked.partition_by("account", as_dict=True)
    for account, query in tqdm(queries.items(), desc=what, unit="account", disable=None):
        if account not in banks:
            continue
        bank, query = (rows.sort("time", "post_id", "position") for rows in (banks[account], query))
        bank_vectors = embed(train, bank)
        query_vectors = bank_vectors if same else embed(dataset, query)
        z[query["row"].to_numpy()] = nearest_log_local(
            query_vectors,
            bank_vectors,
            _account_images(query, 0 if same else len(train)),  # groups of other splits have numbers of their own
            _account_images(bank, 0),
            train.options,
        )
    return score_table(dataset.images, z)


def nearest_log_local(
    query_vectors: np.ndarray,
    bank_vectors: np.ndarray,
    query: AccountImages,
    bank: AccountImages,
    options: Mapping[str, Any],
) -> np.ndarray:
    """The mean log local score of each query's nearest images in the bank that it may see, float64 [Q].

    Args:
      query_vectors: [Q, D]; compared with those of the bank by Euclidean distance.
      bank_vectors: [M, D].
      query: the images to score, of one account.
      bank: the account's train images, sorted by time. Of two images at one distance the older is nearer.
      options: the options of the build, `config.data` as nested dict; reads memory and split.
    """
    # Whatever `exclude` lets the model's train queries see: a baseline that reads its own likes would say nothing.
    memory = {**options["memory"], "exclude": "group"}
    seen = visible(query, bank, memory, options["split"]["by"])  # [Q, M]
    _, first, post = np.unique(bank.post, return_index=True, return_inverse=True)
    posts = bank.rows(first)
    seen_posts = visible(query, posts, memory, options["split"]["by"])
    local, _ = local_scores(posts.time, posts.likes, seen_posts, memory)  # [Q, posts]
    logs = np.log(np.where(seen_posts, local, 1))[:, post]  # [Q, M]
    a, b = query_vectors.astype(np.float64), bank_vectors.astype(np.float64)  # pixels are whole numbers: exact
    distance = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    distance = np.where(seen, distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
    real = np.take_along_axis(seen, nearest, axis=1)
    chosen = np.where(real, np.take_along_axis(logs, nearest, axis=1), 0)
    return chosen.sum(axis=1) / np.maximum(real.sum(axis=1), 1)


def thumbnails(dataset: GroupDataset, rows: pl.DataFrame) -> np.ndarray:
    """uint8 [len(rows), 16 * 16 * 3] of the images at (record, position). Raises PhotoError as `decode`."""
    records = rows["record"].unique(maintain_order=True).to_list()
    examples = dict(zip(records, dataset.get(records), strict=True))
    places = rows.select("record", "position").iter_rows()
    pixels = [decode(examples[record]["images"][position], THUMBNAIL).ravel() for record, position in places]
    return np.stack(pixels)


def _account_images(rows: pl.DataFrame, first_group: int) -> AccountImages:
    """Rows of the index of one account as memory_bank.py has them; groups are numbered from `first_group`."""
    order = rows.select("time", "post_id").rows()
    number = {key: i for i, key in enumerate(sorted(set(order)))}
    return AccountImages(
        post=np.array([number[key] for key in order], np.int32),
        time=rows["time"].to_numpy().astype(np.int64),
        likes=rows["likes"].to_numpy().astype(np.int64),
        group=rows["record"].to_numpy().astype(np.int32) + np.int32(first_group),
        split=rows["split"].to_numpy().astype(np.int8),
        image_id=rows["image_id"].to_numpy().astype(str),
        post_id=rows["post_id"].to_numpy().astype(str),
    )
