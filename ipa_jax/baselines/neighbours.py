"""Nearest neighbours within the account: by pixels, and by the features of a trained backbone.

z = mean log local score (eq. 3) of the 5 nearest train images of the account. An image's own group is never among
them, nor in the means; no label of a validation or test image is read. Under `memory.past_only` only the past is. 0 for
an image whose account has no train image that it may see.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from data_builders.dataset import GroupDataset
    from data_builders.retrieval.memory_bank import AccountImages

NEIGHBOURS = 5  # as many as the model retrieves
THUMBNAIL = 16  # side of the down-sampled images, pixels

Embed = Callable[["GroupDataset", "pl.DataFrame"], "np.ndarray"]


def pixel_knn(dataset: "GroupDataset", train: "GroupDataset") -> "pl.DataFrame":
    """Near in 16 x 16 RGB pixels; see `knn`."""
    return knn(dataset, train, thumbnails, "pixel kNN")


def backbone_knn(dataset: "GroupDataset", train: "GroupDataset", export: Path) -> "pl.DataFrame":
    """Near by the cosine of the pooled Swin features of an export; see `knn`. Raises ExportError."""
    import numpy as np

    from ipa_jax.baselines.backbone_features import backbone_features

    units = {}
    for split in [train] if dataset is train else [train, dataset]:
        vectors = backbone_features(export, split)
        units[split.split] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return knn(dataset, train, lambda split, rows: units[split.split][rows["row"].to_numpy()], "backbone kNN")


def knn(dataset: "GroupDataset", train: "GroupDataset", embed: Embed, what: str) -> "pl.DataFrame":
    """Scores of the split; see the module.

    Args:
      dataset: the split to score; train: the train split of the same data, the same object to score it itself.
      embed: (split, n rows of its index with a column `row`, their places in it) -> [n, D], compared by Euclidean
        distance.
      what: it is called, beside the progress.
    """
    import numpy as np
    import polars as pl
    from tqdm import tqdm

    from data_builders.groups import TEST, TRAIN
    from ipa_jax.metrics.scored_pairs import score_table

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
    query_vectors: "np.ndarray",
    bank_vectors: "np.ndarray",
    query: "AccountImages",
    bank: "AccountImages",
    options: Mapping[str, Any],
) -> "np.ndarray":
    """float64 [Q]: mean log local score of each query's nearest images among those of the bank that it may see.

    Args:
      query_vectors, bank_vectors: [Q, D] and [M, D], compared by Euclidean distance.
      query, bank: of one account, the bank sorted by time; ties go to the older image.
      options: `config.data` as nested dict; reads memory and split.
    """
    import numpy as np

    from data_builders.retrieval.local_score import local_scores
    from data_builders.retrieval.memory_bank import visible

    # Whatever a train query may see under `exclude`: a yardstick that reads its own likes would be none.
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


def thumbnails(dataset: "GroupDataset", rows: "pl.DataFrame") -> "np.ndarray":
    """uint8 [len(rows), 16 * 16 * 3] of the images at (record, position). Raises ValueError as `decode`."""
    import numpy as np

    from ipa_jax.input.photos import decode

    records = rows["record"].unique(maintain_order=True).to_list()
    examples = dict(zip(records, dataset.get(records), strict=True))
    places = rows.select("record", "position").iter_rows()
    pixels = [decode(examples[record]["images"][position], THUMBNAIL).ravel() for record, position in places]
    return np.stack(pixels)


def _account_images(rows: "pl.DataFrame", first_group: int) -> "AccountImages":
    """Rows of the index of one account as memory_bank.py has them; groups are numbered from `first_group`."""
    import numpy as np

    from data_builders.retrieval.memory_bank import AccountImages

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
