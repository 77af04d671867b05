"""The nearest images of train and the memory bank to each test image: by their pixels, and to a backbone."""

from pathlib import Path

import numpy as np
import polars as pl
from tqdm import tqdm

from data_builders.dataset import GroupDataset
from data_builders.top3000.duplicates import nearest_bits
from data_builders.top3000.probe import probe_bytes
from ipa_jax.baselines.backbone_features import backbone_features

CHUNK = 256  # test images compared with all of train at once


def nearest(export: Path, data_dir: Path | str) -> pl.DataFrame:
    """How near each test image is to another image.

    Args:
      export: the export/ folder of a run with a Swin.
      data_dir: a built data set.
    Returns:
      A row per test image, in the index's order: account, record and image_id; bits int64, as `nearest_bits` counts
      them; cosine float64, to the nearest image of the account (-1 without one); cosine_any float64, to the nearest
      image of the account or of train. Images of the query's own group and post do not count.
    Raises:
      ExportError: there is no export, or its network has no Swin.
      FileNotFoundError: no data set exists there.
      DatasetError: a file of it is damaged.
    """
    train, test = (GroupDataset(data_dir, name, depth=False) for name in ("train", "test"))
    for split in (train, test):
        split.verify()  # what is damaged is named before hours are spent
    seen, asked = backbone_features(export, train), backbone_features(export, test)
    centre = seen.mean(axis=0)
    images = pl.concat([_with_hashes(train), _with_hashes(test)]).with_row_index("row")
    vectors = unit(np.concatenate([seen, asked]) - centre)
    by_account = test.options["split"]["by"] == "account"
    cosine = _account_cosines(images, vectors, len(seen), by_account)
    cosine_any = cosine.copy()
    for start in range(len(seen), len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        cosine_any[rows] = np.maximum(cosine[rows], (vectors[rows] @ vectors[: len(seen)].T).max(axis=1))
    found = images.with_columns(cosine=pl.Series(cosine), cosine_any=pl.Series(cosine_any)).tail(len(asked))
    found = found.with_columns(bits=pl.Series(nearest_bits(images, by_account)))
    return found.select("account", "record", "image_id", "bits", "cosine", "cosine_any")


def _with_hashes(dataset: GroupDataset) -> pl.DataFrame:
    """The split's images in the columns that `nearest_bits` reads."""
    return dataset.images.select("account", "record", "image_id", "post_id").with_columns(
        phash=pl.Series(hashes(dataset), dtype=pl.UInt64),
        group_id=pl.lit(dataset.split) + pl.col("record").cast(pl.String),
        split=pl.lit(dataset.split),
    )


def _account_cosines(images: pl.DataFrame, vectors: np.ndarray, train: int, by_account: bool) -> np.ndarray:
    """Cosine to the nearest image of the account, float64 [I]; -1 for train images and without such an image.

    Args:
      images: train images, then test images, with their position in the column `row`.
      vectors: [I, D], of length 1.
      train: how many of the images are in train.
      by_account: the split is by account, so other test groups of the account are in the memory bank.
    """
    cosine = np.full(len(images), -1.0)
    bank = images if by_account else images.head(train)
    banks = bank.partition_by("account", as_dict=True)
    for (account,), queries in images[train:].group_by("account"):
        others = banks.get((account,))
        if others is None:
            continue
        for (group,), query in queries.group_by("group_id"):
            known = others.filter(pl.col("group_id") != group, ~pl.col("post_id").is_in(query["post_id"].implode()))
            if known.is_empty():
                continue
            rows = query["row"].to_numpy()
            cosine[rows] = (vectors[rows] @ vectors[known["row"].to_numpy()].T).max(axis=1)
    return cosine


def hashes(dataset: GroupDataset) -> np.ndarray:
    """The perceptual hash of each image, uint64 [I], in the index's order; 0 if an image cannot be decoded."""
    found = []
    with tqdm(total=len(dataset.images), desc=f"hash {dataset.split}", unit="image", disable=None) as bar:
        for example in dataset:
            found += [(probe_bytes(data) or (0,))[0] for data in example["images"]]
            bar.update(len(example["images"]))
    return np.array(found, np.uint64)


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows scaled to length 1, float64 [N, D]; a zero row stays zero."""
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def as_lists(found: pl.DataFrame) -> dict[str, dict[str, list[list]]]:
    """{account: {record: [bits, cosines, cosines of any account]}}, with images in the index's order."""
    lists: dict[str, dict[str, list[list]]] = {}
    for (account, record), rows in found.group_by("account", "record", maintain_order=True):
        cosines = [[round(value, 4) for value in rows[name]] for name in ("cosine", "cosine_any")]
        lists.setdefault(account, {})[str(record)] = [rows["bits"].to_list(), *cosines]
    return lists
