"""Near-duplicates between test and train: a model could remember a photo that was posted again."""

from typing import Any

import numpy as np
import polars as pl

EXAMPLES = 10  # of each kind, in the report
FAR = 64  # bits: stands for no other image
COMPARED = 1 << 24  # pairs of hashes compared at once


def hamming_nearest(queries: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of `bank` u64 [M > 0] for each 64-bit hash of `queries` u64 [Q]: (bits i64 [Q], position i64 [Q])."""
    bits = np.bitwise_count(queries[:, None] ^ bank[None, :])  # [Q, M]
    nearest = bits.argmin(axis=1)
    return bits[np.arange(len(queries)), nearest].astype(np.int64), nearest


def nearest_bits(images: pl.DataFrame, by_account: bool) -> np.ndarray:
    """The distance of each test image to the nearest image of another id that is in train or in a memory bank.

    It looks at the train images of all accounts. If the split is by account, it also looks at the other groups of the
    test image's account, which are its memory bank.

    Args:
      images: columns split ("train", "test", others), account, group_id, post_id, image_id, phash (u64).
      by_account: whether config.data.split.by is "account".

    Returns:
      i64 [test images, in order], bits of the pHash that differ; FAR where there is no other image.
    """
    test, train = (images.filter(pl.col("split") == split) for split in ("test", "train"))
    train = train.join(test, on=["account", "image_id"], how="anti")["phash"].to_numpy()
    hashes, bits = test["phash"].to_numpy(), np.full(len(test), FAR, np.int64)
    step = max(1, COMPARED // max(1, len(train)))
    for begin in range(0, len(test) if len(train) else 0, step):
        bits[begin : begin + step] = hamming_nearest(hashes[begin : begin + step], train)[0]
    if by_account:
        for _, own in test.with_row_index("row").group_by("account"):
            for _, queries in own.group_by("group_id"):
                bank = own.filter(pl.col("group_id") != queries["group_id"][0])
                bank = bank.filter(~pl.col("post_id").is_in(queries["post_id"].implode()))["phash"].to_numpy()
                if len(bank):
                    rows = queries["row"].to_numpy()
                    bits[rows] = np.minimum(bits[rows], hamming_nearest(hashes[rows], bank)[0])
    return bits


def find(
    test: pl.DataFrame, train: pl.DataFrame, probes: pl.DataFrame, max_bits: int
) -> tuple[pl.Series, dict[str, Any]]:
    """Looks for test images that train holds too.

    Args:
      test, train: images of the index, with columns account, image_id and path.
      probes: path, phash (u64) and sha256 of the files.
      max_bits: a near-duplicate differs in at most this many of the 64 bits of the pHash, from an image of its own
        account. Equal files are searched in all accounts.

    Returns:
      For each test image whether it is a duplicate of either kind, bool; and the report: max_bits, "near" and
      "equal_files" with test_images, share and examples, "either" with test_images and share.
    """
    hashes = probes.select("path", "phash", "sha256").unique("path")
    test, train = (frame.join(hashes, on="path", how="left", maintain_order="left") for frame in (test, train))
    near = np.zeros(len(test), bool)
    near_examples: list[dict] = []
    banks = {account: frame for (account,), frame in train.group_by("account")}
    for (account,), queries in test.with_row_index("row").group_by("account", maintain_order=True):
        if account not in banks:
            continue
        bank = banks[account]
        bits, nearest = hamming_nearest(queries["phash"].to_numpy(), bank["phash"].to_numpy())
        for query in np.flatnonzero(bits <= max_bits):
            near[queries["row"][int(query)]] = True
            if len(near_examples) < EXAMPLES:
                near_examples.append(
                    {
                        "account": account,
                        "test": queries["image_id"][int(query)],
                        "train": bank["image_id"][int(nearest[query])],
                        "bits": int(bits[query]),
                    }
                )
    in_train = train.group_by("sha256").agg(
        pl.col("account").sort_by("account", "image_id").first().alias("other"),
        pl.col("image_id").sort_by("account", "image_id").first().alias("train"),
    )
    equal = test.join(in_train, on="sha256", how="left", maintain_order="left")
    equal_examples = equal.filter(pl.col("other").is_not_null()).head(EXAMPLES)
    equal_examples = equal_examples.select("account", test="image_id", train_account="other", train="train").to_dicts()
    same_file = equal["other"].is_not_null().to_numpy()
    either = near | same_file
    report = {
        "max_bits": max_bits,
        "near": _share(near) | {"examples": near_examples},
        "equal_files": _share(same_file) | {"examples": equal_examples},
        "either": _share(either),
    }
    return pl.Series("duplicate", either), report


def _share(found: np.ndarray) -> dict[str, Any]:
    return {"test_images": int(found.sum()), "share": float(found.mean())}
