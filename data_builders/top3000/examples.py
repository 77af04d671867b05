"""Makes the examples of one account, an example per group. A build takes one account at a time, to save memory."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_builders import photos
from data_builders.features.features import Features
from data_builders.features.store import FeatureReader
from data_builders.groups import image_weights
from data_builders.retrieval.accounts import Account, group_id
from data_builders.retrieval.cross_account import Pool, fill
from data_builders.retrieval.top_k import Retrieved
from data_builders.top3000.steps import PAPER, Steps

PEOPLE_UNKNOWN = -1  # if the store has no poses


def examples(
    account: Account,
    split: int,
    raw: Path,
    reader: FeatureReader,
    options: Mapping[str, Any],
    pool: Pool | None = None,
    steps: Steps = PAPER,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Makes the examples of one account in one split.

    Args:
      account: the account.
      split: groups.TRAIN, VALIDATION or TEST.
      raw: the folder that image paths are relative to.
      reader: the feature store.
      options: `config.data` as a nested dict.
      pool: fills the free slots of short banks, with memory.fallback = "cross_account".
      steps: the functions that the build calls.

    Yields:
      (group id, example); top3000_dataset_builder.example_features lists the fields.

    Raises:
      FileNotFoundError, KeyError: an image file, or its features, disappeared since they were checked.
    """
    groups = steps.groups_of_split(account, split)
    if not groups:
        return
    ids = account.images.image_id
    features = features_of(account, reader)
    retrieved = steps.retrieve(account.images, features, options, split)
    keys = None
    if pool:
        retrieved, keys = fill(retrieved, account.name, account.images, features, pool, options, split)
    people = np.full(len(ids), PEOPLE_UNKNOWN, np.int32) if features.people is None else features.people
    columns = account.posts.to_dict(as_series=False)
    paths = [path for post in columns["image_paths"] for path in post]
    for group, positions in groups:
        example = _example(account, group, positions, columns, retrieved)
        if keys is not None:
            foreign = keys[positions] != ""
            own = np.array(example["retrieved_ids"], object).reshape(foreign.shape)
            example["retrieved_ids"] = np.where(foreign, keys[positions], own).ravel().tolist()
            example["foreign"] = foreign
        example["people"] = people[positions]
        texts = reader.caption_texts(account.name, ids[positions].tolist())
        example["machine_captions"] = [text or "" for text in texts]
        example["images"] = [image_bytes(raw / paths[i], options["image"]["max_side"]) for i in positions]
        if options["depth"]["side"]:
            example["depth"] = reader.depth(account.name, ids[positions].tolist())
        yield example["group_id"], example


def features_of(account: Account, reader: FeatureReader) -> Features:
    """Features of the images of an account with a kept group. An image outside of kept groups, which no query sees and
    which the store may lack, has those of another. Raises KeyError if an image of a kept group has no row."""
    kept = account.images.group >= 0
    features = reader.load(account.name, account.images.image_id[kept].tolist())
    return features.rows(np.maximum(np.cumsum(kept) - 1, 0))


def image_bytes(path: Path, max_side: int) -> bytes:
    """The content of an image file. An image longer than `max_side` pixels becomes an upright JPEG of that size.

    0 keeps every file as it is.
    """
    data = path.read_bytes()
    if not max_side:
        return data
    if max(photos.size(data)) <= max_side:
        return data
    upright = photos.upright(data)
    upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    shrunk = io.BytesIO()
    upright.save(shrunk, "JPEG", quality=92)
    return shrunk.getvalue()


def _example(
    account: Account, group: int, positions: np.ndarray, columns: Mapping[str, list], retrieved: Retrieved
) -> dict[str, Any]:
    images = account.images
    post = images.post[positions]
    first = account.first_post(group)
    index = retrieved.index[positions]
    return {
        "group_id": group_id(account.name, first),
        "account": account.name,
        "first_post": first,
        "image_ids": images.image_id[positions].tolist(),
        "post_ids": images.post_id[positions].tolist(),
        "post": np.unique(post, return_inverse=True)[1].astype(np.int32),
        "likes": images.likes[positions],
        "times": images.time[positions],
        "pairs": account.kept.pairs[group],
        "retrieved_ids": np.where(index >= 0, images.image_id[index], "").ravel().tolist(),
        "similarity": retrieved.similarity[positions],
        "local_score": retrieved.local_score[positions],
        "count": retrieved.count[positions],
        "mask": retrieved.mask[positions],
        "captions": [columns["caption"][p] for p in post],
        "hashtags": [" ".join(columns["hashtags"][p]) for p in post],
        "comments": ["\n".join(columns["comments"][p]) for p in post],
        "category": columns["category"][0],
        "sponsored": np.array([columns["sponsored"][p] for p in post], bool),
        "carousel_length": np.array([columns["carousel_length"][p] for p in post], np.int32),
        "weight": image_weights(post).astype(np.float32),
    }
