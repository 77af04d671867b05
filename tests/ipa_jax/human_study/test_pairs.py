"""Which pairs are drawn, and what the digest tells apart."""

from collections import Counter

import numpy as np
import pytest

from data_builders.dataset import GroupDataset
from ipa_jax.human_study import pairs


def test_pairs_are_valid_ones_of_the_split_each_once(dataset):
    drawn = pairs.draw(dataset, 60, 0, 1)
    assert len({(p.record, *sorted(p[1:])) for p in drawn}) == 60
    for record, left, right in drawn:
        group = dataset[record]
        assert sorted((left, right)) in group["pairs"].tolist()
        low, high = sorted(group["likes"][[left, right]])
        assert high > 2 * low and group["post"][left] != group["post"][right]


def test_all_pairs_of_the_split_can_be_asked_for_and_no_more(dataset):
    total = int(dataset.groups["pairs"].sum())
    drawn = pairs.draw(dataset, total, 0, 1)
    wanted = {(r, *pair) for r in range(len(dataset)) for pair in map(tuple, dataset[r]["pairs"].tolist())}
    assert {(p.record, *sorted(p[1:])) for p in drawn} == wanted
    with pytest.raises(ValueError, match=rf"--pairs={total + 1}.*{total} valid pairs"):
        pairs.draw(dataset, total + 1, 0, 1)


def test_a_draw_hangs_on_seed_and_participant_alone(dataset):
    assert pairs.draw(dataset, 20, 3, 7) == pairs.draw(dataset, 20, 3, 7)
    assert len({tuple(pairs.draw(dataset, 20, seed, who)) for seed in (0, 1) for who in (1, 2)}) == 4


def test_neither_side_is_favoured(dataset):
    """Nor every pair's larger position, nor the image with more likes: 1200 pairs, 5 standard errors."""
    drawn = [pair for who in range(40) for pair in pairs.draw(dataset, 30, 0, who)]
    likes = {tuple(place): n for *place, n in dataset.images.select("record", "position", "likes").iter_rows()}
    liked_left = np.mean([likes[r, a] > likes[r, b] for r, a, b in drawn])
    first_left = np.mean([a < b for _, a, b in drawn])
    assert abs(liked_left - 0.5) < 0.072 and abs(first_left - 0.5) < 0.072
    per_group = Counter(pair.record for pair in drawn)
    expected = 1200 * dataset.groups["pairs"].to_numpy() / dataset.groups["pairs"].sum()
    for record, count in zip(dataset.groups["record"], expected, strict=True):
        assert abs(per_group[record] - count) < 5 * np.sqrt(count) + 1


def test_the_digest_tells_data_sets_apart(dataset, folder):
    assert pairs.digest(dataset) == pairs.digest(GroupDataset(folder / "data", "train"))
    assert pairs.digest(dataset) != pairs.digest(GroupDataset(folder / "data", "test"))
    other = GroupDataset(folder / "data", "train")
    other.__dict__["images"] = dataset.images.with_columns(likes=dataset.images["likes"] + 1)
    assert pairs.digest(dataset) != pairs.digest(other)
