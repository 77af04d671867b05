"""Finds out which likes went into the stored features, by computing the features again under several rules.

A rule says which posts a query sees (section 3.2). The likes of all other posts are replaced by random numbers before
the local scores (eq. 2, 3) are computed. If the result equals the stored scores to the last bit, none of the hidden
likes went into them. The strictest rule that succeeds is the one the query was built under, whatever the config says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from data_builders.groups import TRAIN, seconds
from data_builders.retrieval.local_score import local_scores
from data_builders.retrieval.memory_bank import newest
from ipa_jax.leakage.stored_data import ELSEWHERE, EMPTY, AccountPosts, StoredData

UNEXPLAINED = -1
SEED = 0  # of the random likes


@dataclass(frozen=True)
class Rule:
    """Which posts a query sees.

    Attributes:
      sees: "bank", the memory bank without the query's own group (train groups; all kept groups if the split is by
        account); "siblings", also the other posts of its group; "itself", also its own post; "everything", all posts
        of all splits.
      past: of those, only posts that are older than the query by more than memory.min_lag_days.
    """

    sees: str
    past: bool

    def __str__(self) -> str:
        what = {
            "bank": "the likes of the memory bank without their own group",
            "siblings": "the likes of other posts of their own group",
            "itself": "the likes of their own post",
            "everything": "the likes of all posts of all splits",
        }[self.sees]
        return what + (", older ones only" if self.past else "")


def rules(memory: Mapping[str, Any]) -> list[Rule]:
    """The rules to try, strictest first. Rules of the past are tried if the data set promises memory.past_only."""
    times = (True, False) if memory["past_only"] else (False,)
    named = [Rule(sees, past) for sees in ("bank", "siblings", "itself") for past in times]
    return [*named, Rule("everything", False)]


def explain(data: StoredData) -> np.ndarray:
    """The position in `rules` of the first rule that gives each image's stored features, int8 [I]; else UNEXPLAINED."""
    found = np.full(len(data.images), UNEXPLAINED, np.int8)
    tried = rules(data.options["memory"])
    generator = np.random.default_rng(SEED)
    filled = np.ones(len(found), bool)
    with tqdm(total=len(found), unit="image", desc="compute features again", disable=None) as bar:
        for account in data.accounts():
            for number, rule in reversed(list(enumerate(tried))):
                agrees = _agrees(account, rule, data.options, generator)
                found[account.row[agrees]] = number
            if data.options["memory"].get("fallback", "none") != "none":
                filled[account.row] = ~(account.retrieved == ELSEWHERE).any(axis=1)
            bar.update(len(account.row))
    for row in np.flatnonzero(~filled):
        filled[row] = _fallback_agrees(data, int(row), generator)
    return np.where(filled, found, UNEXPLAINED).astype(np.int8)


def seen_posts(account: AccountPosts, rule: Rule, options: Mapping[str, Any]) -> np.ndarray:
    """Which of an account's posts an image of each post sees under a rule, bool [M, M]."""
    if rule.sees == "everything":
        return np.ones((len(account.time), len(account.time)), bool)
    own_group = account.group[:, None] == account.group
    bank = (account.split == TRAIN) | (options["split"]["by"] == "account")
    seen = np.tile(bank, (len(bank), 1)) & ~own_group
    if rule.sees != "bank":
        seen |= own_group & ~(np.eye(len(bank), dtype=bool) & (rule.sees == "siblings"))
    if rule.past:
        seen &= account.time[:, None] - account.time > seconds(options["memory"]["min_lag_days"])
    return newest(seen, options["memory"].get("max_posts", -1))


def _agrees(
    account: AccountPosts, rule: Rule, options: Mapping[str, Any], generator: np.random.Generator
) -> np.ndarray:
    """Whether each image's stored features come out if the likes that the rule hides are random, bool [Q]."""
    seen = seen_posts(account, rule, options)
    likes = np.where(seen, account.likes, generator.integers(1, 1 << 40, seen.shape))
    local, count = local_scores(account.time, likes, seen, options["memory"])
    query, post = account.post[:, None], np.maximum(account.retrieved, 0)
    same = seen[query, post] & (local[query, post] == account.local) & (count[query, post] == account.count)
    if options["memory"].get("fallback", "none") != "none":
        same |= account.retrieved == ELSEWHERE  # checked by _fallback_agrees
    return np.where(account.retrieved == EMPTY, account.local == 0, same).all(axis=1)


def _fallback_agrees(data: StoredData, row: int, generator: np.random.Generator) -> bool:
    """Whether the slots of an image that other accounts fill hold local scores of those accounts' train posts only.

    With memory.past_only, the posts must also be older than the query.
    """
    memory, image = data.options["memory"], data.images.row(row, named=True)
    for slot in np.flatnonzero(data.mask[row]):
        name, _, image_id = data.retrieved[row, slot].partition("/")
        if (image["account"], data.retrieved[row, slot]) in data.places:
            continue  # the query's own account
        posts = data.histories.get(name)
        post = data.places.get((name, image_id))
        if posts is None or post is None or name == image["account"]:
            return False
        time, likes, train = posts
        seen = train & (not memory["past_only"] or image["time"] - time > seconds(memory["min_lag_days"]))
        likes = np.where(seen, likes, generator.integers(1, 1 << 40, len(likes)))
        local, count = local_scores(time, likes, seen[None], memory)
        if not (seen[post] and local[0, post] == data.local[row, slot] and count[0, post] == data.count[row, slot]):
            return False
    return True


def newer(data: StoredData) -> Iterator[np.ndarray]:
    """By how many seconds each retrieved post is newer than its query, int64 [slots], one array per account."""
    for account in data.accounts():
        real = account.retrieved >= 0
        yield (account.time[np.maximum(account.retrieved, 0)] - account.time[account.post][:, None])[real]
