"""Photos for the report: pairs ordered right and wrong (Figure 1) and what was retrieved for a query (Figure 4)."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from data_builders.groups import is_valid
from data_builders.photos import PhotoError, upright
from ipa_jax.metrics.scored_pairs import read_scores

THUMBNAIL = 320  # pixels of the longer side


def data_uri(photo: bytes) -> str:
    """A stored photo as the data URI of an EXIF-upright JPEG of at most THUMBNAIL pixels a side.

    Raises ValueError for a file that is no readable JPEG, PNG or WebP image.
    """
    try:
        small = upright(photo, near=THUMBNAIL)
    except PhotoError as error:
        raise ValueError(f"images: {error}; build the data set again") from error
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


class Album:
    """Photos of the data set by account and image id, each with what the index knows of it.

    `splits` maps a name to a GroupDataset (or to anything with its `images` and `get`), `lead` first: retrieved images
    lie in the train split, or, where the split is by account, in the query's own.
    """

    def __init__(self, splits: Mapping[str, object], order: Sequence[str]):
        self._splits = [splits[name] for name in order]
        self._cache: dict[tuple[str, str], dict] = {}

    def photo(self, account: str, image_id: str) -> dict:
        """{"uri", "image_id", "account", "likes", "time", "caption"}. Raises KeyError for an image in no split."""
        if (account, image_id) not in self._cache:
            self._cache[account, image_id] = self._read(account, image_id)
        return self._cache[account, image_id]

    def _read(self, account: str, image_id: str) -> dict:
        for split in self._splits:
            row = split.images.filter(pl.col("account") == account, pl.col("image_id") == image_id)
            if row.height:
                place = row.row(0, named=True)
                group = split.get([place["record"]])[0]
                at = place["position"]
                return {
                    "uri": data_uri(group["images"][at]),
                    "image_id": image_id,
                    "account": account,
                    "likes": int(group["likes"][at]),
                    "time": int(group["times"][at]),
                    "caption": group["captions"][at],
                }
        raise KeyError(f"{account}/{image_id} is retrieved, but in no split's index; build the data set again")


def pair_examples(scores: pl.DataFrame, min_ratio: float, count: int, seed: int) -> dict[str, list[tuple[int, int]]]:
    """Rows (more likes, fewer likes) of `scores` for valid pairs: {"right", "wrong", "worst"}, `count` each.

    right and wrong are drawn at random, one an account while there are enough; worst are the wrong pairs of the
    largest |z_a - z_b|, one an account. `scores` is sorted by record, image_id.
    """
    table = read_scores(scores)
    corners = []
    for _, images in table.blocks():
        i, j = np.triu_indices(images.shape[1], 1)
        corners.append(np.stack([images[:, i].ravel(), images[:, j].ravel()]))
    a, b = np.concatenate(corners, axis=1)
    more, fewer = np.where(table.likes[a] >= table.likes[b], [a, b], [b, a])
    valid = (table.post[a] != table.post[b]) & is_valid(table.likes[a], table.likes[b], min_ratio)
    more, fewer = more[valid], fewer[valid]
    margin = table.z[more] - table.z[fewer]
    account = scores["account"].to_numpy()[more]
    order = np.random.default_rng(seed).permutation(len(more))

    def choose(candidates: np.ndarray) -> list[tuple[int, int]]:
        seen, first, later = set(), [], []
        for pair in candidates.tolist():
            (later if account[pair] in seen else first).append(pair)
            seen.add(account[pair])
            if len(first) == count:
                break
        return [(int(more[pair]), int(fewer[pair])) for pair in (first + later)[:count]]

    return {
        "right": choose(order[margin[order] > 0]),
        "wrong": choose(order[margin[order] < 0]),
        "worst": choose(np.argsort(margin, kind="stable")[: int((margin < 0).sum())]),
    }


def pair_cards(rows: Sequence[tuple[int, int]], scores: Mapping[str, pl.DataFrame], album: Album) -> list[dict]:
    """A card a pair: both photos with likes and z of the first run, both ratios, and each run's verdict.

    The photo with more likes stands first.
    """
    lead = next(iter(scores.values()))
    cards = []
    for more, fewer in rows:
        sides = []
        for row in (more, fewer):
            entry = lead.row(row, named=True)
            sides.append(album.photo(entry["account"], entry["image_id"]) | {"z": entry["z"]})
        margins = {name: table["z"][more] - table["z"][fewer] for name, table in scores.items()}
        cards.append(
            {
                "account": sides[0]["account"],
                "sides": sides,
                "true_ratio": sides[0]["likes"] / sides[1]["likes"],
                "predicted_ratio": float(np.exp(np.clip(sides[0]["z"] - sides[1]["z"], -50, 50))),
                "verdicts": [
                    {"name": name, "right": bool(margin > 0), "tie": bool(margin == 0)}
                    for name, margin in margins.items()
                ],
            }
        )
    return cards


def retrieval_cards(scores: pl.DataFrame, test: object, album: Album, count: int, seed: int) -> list[dict]:
    """Query images of different accounts, drawn at random, with their retrieved images, similarities and local scores.

    `test` is the GroupDataset that the records of `scores` index. Among 4 * count draws the fullest Top-K come first.
    """
    draw = scores.with_row_index("row").sample(fraction=1.0, shuffle=True, seed=seed)
    drawn = []
    for entry in draw.unique("account", keep="first", maintain_order=True).head(4 * count).iter_rows(named=True):
        group = test.get([entry["record"]])[0]
        drawn.append((entry, group, list(group["image_ids"]).index(entry["image_id"])))
    drawn.sort(key=lambda item: -int(np.sum(item[1]["mask"][item[2]])))
    cards = []
    for entry, group, at in drawn[:count]:
        account, k = entry["account"], len(group["mask"][at])
        retrieved = []
        for slot in np.flatnonzero(group["mask"][at]).tolist():
            total, pose, background, caption = (float(part) for part in group["similarity"][at][slot])
            owner, name = account, group["retrieved_ids"][at * k + slot]
            if "foreign" in group and group["foreign"][at][slot]:
                owner, name = name.split("/", 1)
            retrieved.append(
                album.photo(owner, name)
                | {
                    "similarity": total,
                    "parts": {"pose": pose, "background": background, "caption": caption},
                    "local_score": float(group["local_score"][at][slot]),
                    "count": int(group["count"][at][slot]),
                }
            )
        query = album.photo(account, entry["image_id"]) | {"z": entry["z"]}
        cards.append({"account": account, "query": query, "retrieved": retrieved, "empty": k - len(retrieved)})
    return cards
