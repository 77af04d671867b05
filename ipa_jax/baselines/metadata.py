"""Yardsticks of what is around a photo: when it was posted, by whom, what kind of post it is, what its caption says.

None looks at a pixel; labels are those of train posts alone. Each returns a scores frame (scored_pairs.py).
"""

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from scipy.sparse import csr_array

    from data_builders.dataset import GroupDataset

YEAR = 365.25 * 86_400  # seconds
MOST_PEOPLE = 3  # more count as so many
SLOTS = 2**14  # of the hashed bag of words
PENALTIES = (0.3, 1.0, 3.0, 10.0)  # of the ridge; the one that does best on the held-out part of train is taken


def newer(dataset: "GroupDataset", sign: int = 1) -> "pl.DataFrame":
    """z = years from the first post of the group; the later post of a pair wins. With sign -1 the older one does."""
    import polars as pl

    from ipa_jax.metrics.scored_pairs import score_table

    since = dataset.images.select(pl.col("time") - pl.col("time").min().over("record"))["time"]
    return score_table(dataset.images, sign * since.to_numpy() / YEAR)


def account_constant(dataset: "GroupDataset", train: "GroupDataset") -> "pl.DataFrame":
    """z = mean log likes of the account's train images, 0 where it has none: all that followers could tell.

    Every pair ties, so its accuracy is 50 % by construction: a check of the metric, and of what a pair cancels.
    """
    import polars as pl

    from ipa_jax.metrics.scored_pairs import score_table

    means = train.images.group_by("account").agg(pl.col("likes").log().mean().alias("z"))
    z = dataset.images.join(means, on="account", how="left", maintain_order="left")["z"].fill_null(0.0)
    return score_table(dataset.images, z.to_numpy())


def content_type(dataset: "GroupDataset", train: "GroupDataset") -> "pl.DataFrame":
    """z = mean log local score (eq. 3) of the train images of the same type, 0 for a type that train lacks.

    A type is the number of people (0, 1, 2, 3 or more, unknown), carousel or not, sponsored or not. A train image's
    local score is its likes over the mean of its account's train posts within the window.
    """
    import polars as pl

    from ipa_jax.metrics.scored_pairs import score_table

    def typed(images: "pl.DataFrame") -> "pl.DataFrame":
        people = pl.col("people").clip(-1, MOST_PEOPLE)
        return images.with_columns(people=people, carousel=pl.col("carousel_length") > 1)

    kinds = ["people", "carousel", "sponsored"]
    known = typed(train.images).with_columns(pl.Series("z", log_local(train)))
    means = known.group_by(kinds).agg(pl.col("z").mean())
    z = typed(dataset.images).join(means, on=kinds, how="left", maintain_order="left")["z"].fill_null(0.0)
    return score_table(dataset.images, z.to_numpy())


def log_local(train: "GroupDataset") -> "np.ndarray":
    """Float64 [I]: log local score of each train image among its account's train posts, in the index's order."""
    import numpy as np

    from data_builders.retrieval.local_score import local_scores

    out = np.zeros(len(train.images))
    for (_,), rows in train.images.with_row_index("row").group_by("account", maintain_order=True):
        posts = rows.unique("post_id").sort("time", "post_id")
        time, likes = (posts[name].to_numpy().astype(np.int64) for name in ("time", "likes"))
        local, _ = local_scores(time, likes, np.ones((1, len(posts)), bool), train.options["memory"])
        of_post = dict(zip(posts["post_id"], np.log(local[0]).tolist(), strict=True))
        out[rows["row"].to_numpy()] = [of_post[name] for name in rows["post_id"]]
    return out


def caption_only(dataset: "GroupDataset", train: "GroupDataset") -> "pl.DataFrame":
    """z = ridge regression of log likes, centred in each account, on the words and hashtags of the caption.

    Words are hashed into 16,384 slots, each caption of length 1. The penalty is chosen on every fifth train group.
    """
    import numpy as np
    import polars as pl

    from ipa_jax.metrics.scored_pairs import score_table

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


def ridge(features: "csr_array", target: "np.ndarray", penalty: float) -> "np.ndarray":
    """Float64 [D] that minimises |features w - target|^2 + penalty |w|^2; features: scipy sparse [N, D]."""
    from scipy.sparse.linalg import lsqr

    return lsqr(features, target, damp=penalty**0.5, atol=1e-10, btol=1e-10)[0]


def bag_of_words(texts: Sequence[str]) -> "csr_array":
    """Scipy sparse float64 [N, SLOTS]: counts of hashed words and #tags, each row of length 1 (0 without a word)."""
    import numpy as np
    from scipy.sparse import csr_array

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


def _texts(dataset: "GroupDataset") -> list[str]:
    """Caption and hashtags of each image, in the index's order."""
    texts = []
    for record in range(len(dataset)):
        example = dataset[record]
        for caption, tags in zip(example["captions"], example["hashtags"], strict=True):
            texts.append(" ".join([caption, *(f"#{tag.removeprefix('#')}" for tag in tags.split())]))
    return texts
