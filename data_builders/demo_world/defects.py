"""Defects of real copies of the dataset. Each is planted on a post of its own, so that tests can check its count."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import numpy as np

from data_builders.demo_world.parameters import Parameters

_STREAM = 2  # of random numbers; likes.py has others


class Defect(StrEnum):
    """A kind of defect. A post has at most one. The value is the name of the parameter with its rate."""

    INFO_MISSING = "info_missing"
    INFO_EMPTY = "info_empty"
    INFO_BROKEN = "info_broken"
    VIDEO = "video"
    LIKES_HIDDEN = "likes_hidden"
    LIKES_MISSING = "likes_missing"
    LIKES_BELOW_1 = "likes_below_1"
    NO_TIMESTAMP = "no_timestamp"
    IMAGE_MISSING = "image_missing"
    FIRST_IMAGE_MISSING = "first_image_missing"
    IMAGE_UNREADABLE = "image_unreadable"
    NO_FEATURES = "no_features"
    DUPLICATE_POST = "duplicate_post"
    DUPLICATE_ROW = "duplicate_row"


REASONS = {
    Defect.INFO_MISSING: "info missing",
    Defect.INFO_EMPTY: "info empty",
    Defect.INFO_BROKEN: "info broken",
    Defect.VIDEO: "video",
    Defect.LIKES_HIDDEN: "likes hidden (-1)",
    Defect.LIKES_MISSING: "likes missing",
    Defect.LIKES_BELOW_1: "likes below 1",
    Defect.NO_TIMESTAMP: "no timestamp",
    Defect.IMAGE_MISSING: "image missing",
    Defect.FIRST_IMAGE_MISSING: "image missing",
    Defect.IMAGE_UNREADABLE: "image unreadable",
    Defect.NO_FEATURES: "no features",
    Defect.DUPLICATE_POST: "duplicate post",
    Defect.DUPLICATE_ROW: "duplicate mapping row",
}  # the reason under which a reader counts each
ON_GOOD_POSTS = (Defect.DUPLICATE_POST, Defect.DUPLICATE_ROW)  # these repeat a good post; the others need an extra one


def plan(seed: int, accounts: int, posts: int, parameters: Parameters) -> list[list[Defect]]:
    """The defects of each account.

    Every kind with a rate above 0 occurs at least once. Missing features are the exception: in a small world a single
    one can exceed the 1 % that a build accepts.
    """
    rng = np.random.default_rng([seed, _STREAM])
    planted: list[list[Defect]] = [[] for _ in range(accounts)]
    for defect in Defect:
        rate = getattr(parameters, defect)
        count = round(rate * accounts * posts)
        if rate > 0 and defect is not Defect.NO_FEATURES:
            count = max(1, count)
        if defect in ON_GOOD_POSTS:  # a post is repeated once at most
            count = min(count, accounts * (posts // 4))
        order = rng.permutation(accounts)
        for i in range(count):
            planted[order[i % accounts]].append(defect)
    return planted


def expected_skips(planted: Iterable[Defect], carousels: int) -> dict[str, dict[str, int]]:
    """What a reader must count under each reason, for each value of config.data.posts.carousel.

    Args:
      planted: all defects of the world.
      carousels: number of good posts with several images.
    """
    found = Counter(planted)
    by_choice = {}
    for carousel in ("first", "skip", "all"):
        counts = Counter({"carousel skipped": 0})
        for defect, count in found.items():
            skipped = carousel == "skip" and defect is Defect.FIRST_IMAGE_MISSING
            counts["carousel skipped" if skipped else REASONS[defect]] += count
        if carousel == "skip":
            counts["carousel skipped"] += carousels
        by_choice[carousel] = {reason: counts[reason] for reason in sorted(counts) if counts[reason]}
    return by_choice
