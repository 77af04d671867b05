"""Baselines of what is around a photo: when it was posted, by whom, what kind of post it is, what its caption says.

None looks at a pixel, and labels are those of train posts alone. Each returns a frame of scores (scored_pairs.py).
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.sparse import csr_array
from scipy.sparse.linalg import lsqr

from data_builders.dataset import GroupDataset
from data_builders.retrieval.local_score import local_scores
from ipa_jax.metrics.scored_pairs import score_table

YEAR = 365.25 * 86_400  # seconds
MOST_PEOPLE = 3  # more people count as this many
SLOTS = 2**14  # of the hashed bag of words
PENALTIES = (0.3, 1.0, 3.0, 10.0)  # of the ridge; the best one on the held-out part of train is taken


def newer(dataset: GroupDataset) -> pl.DataFrame:
    """z = years since the first post of the group: the later post of a pair wins."""
    return _by_time(dataset, 1)


def older(dataset: GroupDataset) -> pl.DataFrame:
    """As `newer`, but the earlier post of a pair wins."""
    return _by_time(dataset, -1)


def _by_time(dataset: GroupDataset, sign: int) -> pl.DataFrame:
    since = dataset.images.select(pl.col("time") - pl.col("time").min().over("record"))["time"]
    return score_table(dataset.images, sign * since.to_numpy() / YEAR)


def account_constant(dataset: GroupDataset, train: GroupDataset) -> pl.DataFrame:
    """z = mean log likes of the account's train images, 0 without any: all that the number of followers could tell.

    Every pair ties, so accuracy is 50 % by construction: this checks the metric, and that a pair cancels the account.
    """
    means = train.images.group_by("account").agg(pl.col("likes").log().mean().alias("z"))
    z = dataset.images.join(means, on="account", how="left", maintain_order="left")["z"].fill_null(0.0)
    return score_table(dataset.images, z.to_numpy())


def content_type(dataset: GroupDataset, train: GroupDataset) -> pl.DataFrame:
    """z = mean log local score (eq. 3) of the train images of the same type; 0 for a type that train does not have.

    A type is the number of people (0, 1, 2, 3 or more, unknown), carousel or not, sponsored or not. The local score of
    a train image is its likes over the mean likes of its account's train posts within the window.
    """

    def typed(images: pl.DataFrame) -> pl.DataFrame:
        people = pl.col("people").clip(-1, MOST_PEOPLE)
        return images.with_columns(people=people, carousel=pl.col("carousel_length") > 1)

    kinds = ["people", "carousel", "sponsored"]
    known = typed(train.images).with_columns(pl.Series("z", log_local(train)))
    means = known.group_by(kinds).agg(pl.col("z").mean())
    z = typed(dataset.images).join(means, on=kinds, how="left", maintain_order="left")["z"].fill_null(0.0)
    return score_table(dataset.images, z.to_numpy())


def log_local(train: GroupDataset) -> np.ndarray:
    """Log local score of each train image among its account's train posts, float64 [I] in the order of the index."""
    out = np.zeros(len(train.images))
    for (_,), rows in train.images.with_row_index("row").group_by("account", maintain_order=True):
        posts = rows.unique("post_id").sort("time", "post_id")
        time, likes = (posts[name].to_numpy().astype(np.int64) for name in ("time", "likes"))
        local, _ = local_scores(time, likes, np.ones((1, len(posts)), bool), train.options["memory"])
        of_post = dict(zip(posts["post_id"], np.log(local[0]).tolist(), strict=True))
        out[rows["row"].to_numpy()] = [of_post[name] for name in rows["post_id"]]
    return out


def caption_only(dataset: GroupDataset, train: GroupDataset) -> pl.DataFrame:
    """z = ridge regression of log likes, centred per account, on the words and hashtags of the caption.

    Words are hashed into 16,384 slots and each caption is scaled to length 1. The penalty is chosen on every fifth
    train group.
    """
    words, fit = bag_of_words(_texts(train)), train.images
    centred = fit.select(pl.col("likes").log() - pl.col("likes").log().mean().over("account")).to_series().to_numpy()
    held = (fit["record"].to_numpy() % 5 == 0) & (fit["record"].n_unique() > 1)
    errors = []
    for penalty in PENALTIES if held.any() else PENALTIES[:1]:
        weights = ridge(words[~held], centred[~held], penalty)
        errors.append(np.square(words[held] @ weights - centred[held]).mean() if held.any() else 0.0)
    weights = ridge(words, centred, PENALTIES[int(np.argmin(errors))])
    asked = words if dataset is train else bag_of_words(_texts(dataset))
    return score_table(dataset.images, asked @ weights)


def ridge(features: csr_array, target: np.ndarray, penalty: float) -> np.ndarray:
    """The w, float64 [D], that minimises |features w - target|^2 + penalty |w|^2; features [N, D], target [N]."""
    return lsqr(features, target, damp=penalty**0.5, atol=1e-10, btol=1e-10)[0]


def bag_of_words(texts: Sequence[str]) -> csr_array:
    """Counts of hashed words and #tags, float64 [N, SLOTS], each row scaled to length 1 (0 without a word)."""
    rows, columns = [], []
    for row, text in enumerate(texts):
        found = [zlib.crc32(word.encode()) % SLOTS for word in re.findall(r"#?\w+", text.lower())]
        rows += [row] * len(found)
        columns += found
    counts = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(texts), SLOTS))
    counts.sum_duplicates()
    lengths = np.sqrt(counts.multiply(counts).sum(axis=1))
    scale = np.divide(1.0, lengths, out=np.zeros(len(texts)), where=lengths > 0)
    return csr_array(counts.multiply(scale[:, None]))


def _texts(dataset: GroupDataset) -> list[str]:
    """Caption and hashtags of each image, in the index's order."""
    texts = []
    for record in range(len(dataset)):
        example = dataset[record]
        for caption, tags in zip(example["captions"], example["hashtags"], strict=True):
            texts.append(" ".join([caption, *(f"#{tag.removeprefix('#')}" for tag in tags.split())]))
    return texts
