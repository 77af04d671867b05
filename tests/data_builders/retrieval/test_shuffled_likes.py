"""The shuffled control: likes of train and validation posts move to other posts, those of test posts stay."""

import random

import numpy as np
import polars as pl
import pytest

from data_builders.groups import SPLITS, TEST
from data_builders.retrieval import shuffled_likes
from data_builders.retrieval.accounts import accounts, groups_of_split
from tests.helpers.random_accounts import plain_choices

DAY = 86_400


def posts(seed, accounts=6, number=120, carousels=False):
    """A posts table with what grouping reads."""
    rng, rows = random.Random(seed), []
    for account in range(accounts):
        time = 0
        for post in range(number):
            time += rng.randrange(4 * DAY)
            images = [f"{post}-{i}" for i in range(rng.choice([1, 3]) if carousels else 1)]
            rows.append((f"u{account}", f"p{post:03}", time, 1 + rng.randrange(1000) * (1 + account), images))
    return pl.DataFrame(rows, schema=["account", "post_id", "time", "likes", "image_ids"], orient="row")


def read(table, options):
    """Split -> {(account, first post): (post ids, likes, pairs)} of the kept groups."""
    found = {name: {} for name in SPLITS}
    for account in accounts(table, options):
        for split, name in enumerate(SPLITS):
            for group, at in groups_of_split(account, split):
                images = account.images
                value = (images.post_id[at].tolist(), images.likes[at].tolist(), account.kept.pairs[group].tolist())
                found[name][account.name, account.first_post(group)] = value
    return found


@pytest.mark.parametrize("by", ["group", "account"])
@pytest.mark.parametrize("carousels", [False, True])
def test_only_test_groups_stay_as_they_are(by, carousels):
    options = plain_choices()
    options["split"]["by"] = by
    table = posts(0, accounts=40 if by == "account" else 6, number=90, carousels=carousels)
    plain, shuffled = read(table, options), read(table, options | {"shuffle_likes": True})
    assert plain["test"] == shuffled["test"] and plain["test"]
    for name in ("train", "validation"):
        assert plain[name] != shuffled[name]
        common = plain[name].keys() & shuffled[name].keys()
        moved = [a != b for key in common for a, b in zip(plain[name][key][1], shuffled[name][key][1], strict=True)]
        assert np.mean(moved) > 0.8
    assert read(table, options | {"shuffle_likes": True}) == shuffled


def test_likes_are_permuted_within_account_and_split():
    options = plain_choices()
    for account, rows in posts(1).group_by("account"):
        args = (account[0], *(rows[name].to_list() for name in ("post_id", "time", "likes")), [1] * len(rows))
        drawn = shuffled_likes.shuffle(*args, options["groups"], options["split"])
        walked = shuffled_likes.assign_groups(np.array(args[2]), np.array(args[4]), 7.0, 30)
        first = {n: args[1][int(np.flatnonzero(walked == n)[0])] for n in set(walked.tolist())}
        split = np.array([shuffled_likes.split_of(account[0], first[n], 0, "group") for n in walked.tolist()])
        likes = np.array(args[3])
        for name in range(3):
            assert sorted(drawn[split == name]) == sorted(likes[split == name])
        np.testing.assert_array_equal(drawn[split == TEST], likes[split == TEST])


def test_images_of_a_post_keep_sharing_their_likes():
    table = posts(2, carousels=True)
    for groups in read(table, plain_choices() | {"shuffle_likes": True}).values():
        for names, likes, _ in groups.values():
            assert len(set(zip(names, likes, strict=True))) == len(set(names))
