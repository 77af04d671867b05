"""Leaks that a build can have: each replaces one or two steps of the paper's build.

The steps work in one process only: a build through Beam cannot use them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from data_builders.features.features import Features
from data_builders.groups import TEST, TRAIN, VALIDATION, assign_groups
from data_builders.retrieval.accounts import Account, groups_of_split
from data_builders.retrieval.local_score import local_scores
from data_builders.retrieval.memory_bank import AccountImages
from data_builders.retrieval.top_k import Retrieved, Sight, retrieve
from data_builders.top3000.steps import Steps

WIDE = 4  # "sampling" keeps test groups whose most likes are more than so many times their fewest

Groups = list[tuple[int, np.ndarray]]


def _with_test_groups(into: int, *, beside: bool) -> Steps:
    """The split `into` holds the groups of test, beside its own groups or in place of them."""

    def leaky_groups(account: Account, split: int) -> Groups:
        if split != into:
            return groups_of_split(account, split)
        own = groups_of_split(account, into) if beside else []
        return own + groups_of_split(account, TEST)

    def retrieve_all(
        images: AccountImages, features: Features, options: Mapping[str, Any], split: int | None = None
    ) -> Retrieved:
        return retrieve(images, features, options)  # as the queries of `into` come from two splits

    return Steps(groups_of_split=leaky_groups, retrieve=retrieve_all)


def no_test() -> Steps:
    """Train also holds the test groups."""
    return _with_test_groups(TRAIN, beside=True)


def feature_selection() -> Steps:
    """Validation, on which everything is chosen, holds the test groups."""
    return _with_test_groups(VALIDATION, beside=False)


def preprocessing() -> Steps:
    """Retrieval is the paper's, but local scores divide by means over all posts of kept groups."""

    def retrieve_scaled(
        images: AccountImages, features: Features, options: Mapping[str, Any], split: int | None = None
    ) -> Retrieved:
        found = retrieve(images, features, options, split)
        kept = images.rows(images.group >= 0)
        _, first = np.unique(kept.post, return_index=True)
        posts = kept.rows(first)
        local, count = local_scores(posts.time, posts.likes, np.ones((1, len(posts)), bool), options["memory"])
        at = np.searchsorted(posts.post, images.post[np.where(found.mask, found.index, 0)])
        at = np.minimum(at, len(posts) - 1)
        found.local_score[found.mask] = local[0, at][found.mask]
        found.count[found.mask] = count[0, at][found.mask]
        return found

    return Steps(retrieve=retrieve_scaled)


def own_group() -> Steps:
    """A query sees the other posts of its own group."""

    def whole_account(images: AccountImages, split_by: str) -> np.ndarray:
        return images.group >= 0

    def visible(query: AccountImages, bank: AccountImages, memory: Mapping[str, Any], split_by: str) -> np.ndarray:
        own_group, own_post = query.group[:, None] == bank.group, query.post[:, None] == bank.post
        return ((bank.split == TRAIN) | own_group) & ~own_post

    def retrieve_near(
        images: AccountImages, features: Features, options: Mapping[str, Any], split: int | None = None
    ) -> Retrieved:
        options = {**options, "memory": {**options["memory"], "exclude": "post"}}  # as each post sees another bank
        return retrieve(images, features, options, split, Sight(whole_account, visible))

    return Steps(retrieve=retrieve_near)


def temporal() -> Steps:
    """A query sees later posts, although memory.past_only promises that it does not."""

    def retrieve_any_time(
        images: AccountImages, features: Features, options: Mapping[str, Any], split: int | None = None
    ) -> Retrieved:
        require_fields("temporal", options)
        options = {**options, "memory": {**options["memory"], "past_only": False}}
        return retrieve(images, features, options, split)

    return Steps(retrieve=retrieve_any_time)


def sibling() -> Steps:
    """The rows of every group alternate between two groups, so that one post can be in two splits."""

    def dealt(time: np.ndarray, post_images: np.ndarray, window_days: float, max_images: int) -> np.ndarray:
        walked = assign_groups(time, post_images, window_days, max_images)
        return np.where(walked < 0, walked, 2 * walked + np.arange(len(walked)) % 2).astype(np.int32)

    return Steps(assign_groups=dealt)


def sampling() -> Steps:
    """Test keeps only groups whose likes differ much."""

    def wide_groups(account: Account, split: int) -> Groups:
        kept = []
        for group, positions in groups_of_split(account, split):
            likes = account.images.likes[positions]
            if split != TEST or likes.max() > WIDE * likes.min():
                kept.append((group, positions))
        return kept

    return Steps(groups_of_split=wide_groups)


STEPS: dict[str, Callable[[], Steps]] = {
    "no_test": no_test,
    "preprocessing": preprocessing,
    "feature_selection": feature_selection,
    "own_group": own_group,
    "temporal": temporal,
    "sibling": sibling,
    "sampling": sampling,
}


def require_fields(name: str, options: Mapping[str, Any]) -> None:
    """Raises ValueError if the leak `name` breaks nothing under these options (`config.data`)."""
    if name == "temporal" and not options["memory"]["past_only"]:
        raise ValueError("--plant=temporal breaks what past_only promises: add --config.data.memory.past_only=True")
