"""Photos for the report: pairs in the right and the wrong order (Figure 1), and what a query retrieved (Figure 4)."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from data_builders.dataset import GroupDataset
from data_builders.groups import is_valid
from data_builders.photos import PhotoError, upright
from ipa_jax.metrics.scored_pairs import read_scores
from ipa_jax.report.runs import Splits

THUMBNAIL = 320  # pixels of the longer side


def data_uri(photo: bytes) -> str:
    """A stored photo as the data URI of an upright JPEG, at most THUMBNAIL pixels a side.

    Raises:
      ValueError: the photo cannot be read.
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
    """Photos of the data set by account and image id, each with what the data set knows of it."""

    def __init__(self, splits: Splits, order: Sequence[str]):
        """Looks images up in the splits in this order."""
        self._splits = [splits[name] for name in order]
        self._cache: dict[tuple[str, str], dict[str, Any]] = {}

    def photo(self, account: str, image_id: str) -> dict[str, Any]:
        """{"uri", "content" (the file), "image_id", "account", "likes", "time", "caption"}.

        Raises:
          ValueError: no split has the image, or it cannot be read.
        """
        if (account, image_id) not in self._cache:
            self._cache[account, image_id] = self._read(account, image_id)
        return self._cache[account, image_id]

    def _read(self, account: str, image_id: str) -> dict[str, Any]:
        for split in self._splits:
            row = split.images.filter(pl.col("account") == account, pl.col("image_id") == image_id)
            if row.height:
                place = row.row(0, named=True)
                group = split.get([place["record"]])[0]
                at = place["position"]
                return {
                    "uri": data_uri(group["images"][at]),
                    "content": group["images"][at],
                    "image_id": image_id,
                    "account": account,
                    "likes": int(group["likes"][at]),
                    "time": int(group["times"][at]),
                    "caption": group["captions"][at],
                }
        raise ValueError(f"{account}/{image_id} was retrieved, but no split has it; build the data set again")


def pair_examples(
    scores: pl.DataFrame, min_ratio: float, count: int, seed: int, kinds: Sequence[str] = ("right", "wrong", "worst")
) -> dict[str, list[tuple[int, int]]]:
    """Chooses valid pairs to show, from different accounts as long as there are enough.

    Args:
      scores: sorted by record and image_id.
      min_ratio: of eq. 8.
      count: of each kind.
      seed: of the draw.
      kinds: "any", "right" and "wrong" are drawn at random; "worst" are the wrong pairs of the largest |z_a - z_b|.
    Returns:
      For each kind pairs of rows of `scores`, the image with more likes first.
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
    account = scores["account"].gather(more).to_list()
    order = np.random.default_rng(seed).permutation(len(more))

    def choose(ordered: np.ndarray) -> list[tuple[int, int]]:
        seen: set[str] = set()
        first: list[int] = []
        later: list[int] = []
        for pair in ordered.tolist():
            (later if account[pair] in seen else first).append(pair)
            seen.add(account[pair])
            if len(first) == count:
                break
        return [(int(more[pair]), int(fewer[pair])) for pair in (first + later)[:count]]

    candidates = {
        "any": order,
        "right": order[margin[order] > 0],
        "wrong": order[margin[order] < 0],
        "worst": np.argsort(margin, kind="stable")[: int((margin < 0).sum())],
    }
    return {kind: choose(candidates[kind]) for kind in kinds}


def pair_cards(
    rows: Sequence[tuple[int, int]], scores: Mapping[str, pl.DataFrame], album: Album
) -> list[dict[str, Any]]:
    """A card per pair: both photos with likes and z of the first run, both ratios, and whether each run is right.

    Args:
      rows: of `pair_examples`.
      scores: run -> its scores, all with the same rows.
      album: of the photos.
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


def retrieval_cards(
    scores: pl.DataFrame, split: GroupDataset, album: Album, count: int, seed: int
) -> list[dict[str, Any]]:
    """Query images of different accounts, drawn at random, with their retrieved images, similarities and local scores.

    Of 4 * count queries that are drawn, the ones that retrieved most are shown.

    Args:
      scores: of the split.
      split: what the records of `scores` index.
      album: of the photos.
      count: how many queries to show, at most.
      seed: of the draw.
    """
    draw = scores.with_row_index("row").sample(fraction=1.0, shuffle=True, seed=seed)
    drawn = []
    for entry in draw.unique("account", keep="first", maintain_order=True).head(4 * count).iter_rows(named=True):
        group = split.get([entry["record"]])[0]
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
