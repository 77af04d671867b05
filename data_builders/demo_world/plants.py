"""The eight leaks of Kapoor and Narayanan (Patterns 2023), a plant for each: what `--plant NAME` does to a demo world.

A plant acts on what is posted (`posts`), on how the data set is built (`build`, ipa_jax.leakage.planted_build), or on
both. All files keep their format; only their content shows the leak.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from data_builders.demo_world.likes import DAY, Post
from data_builders.demo_world.parameters import Parameters

REPOSTED = 0.3  # share of the posts of one image, with "duplicates"
SIBLING_CAROUSELS = 0.4  # share of the posts, with "sibling"
REPOST_DAYS = (14, 90)
REPOST_QUALITY = 80  # of the JPEG: it is saved again, so that the files differ

_STREAM = 8  # of random numbers; likes, defects, features, account and write have others


@dataclass(frozen=True)
class Plant:
    """A leak.

    Attributes:
      kind: its type in the list of Kapoor and Narayanan.
      text: what is done.
      posts: whether it acts on what is posted.
      build: whether it acts on the build, which `ipa-jax planted-build` then does.
    """

    kind: str
    text: str
    posts: bool = False
    build: bool = False


PLANTS = {
    "no_test": Plant("no test set", "the test groups are in the train split too", build=True),
    "preprocessing": Plant(
        "preprocessing on train and test",
        "local scores (eq. 3) divide by the mean over all of the account's posts, test posts and the query included",
        build=True,
    ),
    "feature_selection": Plant(
        "feature selection on train and test",
        "the validation split is the test split, so that checkpoint and rescaling are chosen on test",
        build=True,
    ),
    "duplicates": Plant(
        "duplicates",
        f"{REPOSTED:.0%} of the photos are posted again, {REPOST_DAYS[0]} to {REPOST_DAYS[1]} days later, and liked "
        "as before",
        posts=True,
    ),
    "own_group": Plant(
        "illegitimate features",
        "every query, test queries too, retrieves from its own group and from its means; only its own post is left out",
        build=True,
    ),
    "temporal": Plant(
        "temporal leakage",
        "a data set with past_only whose queries see later posts too",
        build=True,
    ),
    "sibling": Plant(
        "non-independence",
        "each image of a carousel is a row of its own with the post's likes, and rows of one week are dealt to two "
        "groups, whose splits are drawn apart",
        posts=True,
        build=True,
    ),
    "sampling": Plant(
        "sampling bias",
        "only test groups with widely different likes are kept",
        build=True,
    ),
}


def parameters_of(plant: str | None, parameters: Parameters) -> Parameters:
    """The parameters of a world with this plant."""
    return replace(parameters, carousels=SIBLING_CAROUSELS) if plant == "sibling" else parameters


def posts_of(
    plant: str | None, posts: list[Post], free: int, seed: int, account: int, parameters: Parameters
) -> list[Post]:
    """What an account posts with a plant.

    Args:
      plant: one of PLANTS, or None.
      posts: the account's good posts.
      free: the first number that no post of the account has.
      seed, account: of the random numbers.
      parameters: of the world.
    """
    if plant == "duplicates":
        return posts + list(_reposts(posts, free, np.random.default_rng([seed, _STREAM, account]), parameters))
    if plant == "sibling":
        return list(_rows(posts, free))
    return posts


def _reposts(posts: list[Post], free: int, rng: np.random.Generator, parameters: Parameters) -> Iterator[Post]:
    """Posts the same photos again, with the same noise: the same people like them."""
    for post in posts:
        chosen, days = rng.uniform() < REPOSTED, rng.uniform(*REPOST_DAYS)
        if chosen and post.images == 1:
            grown = post.followers + parameters.growth * days
            yield replace(post, number=free, time=post.time + int(days * DAY), followers=grown, drawn_as=post.number)
            free += 1


def _rows(posts: list[Post], free: int) -> Iterator[Post]:
    """Posts each image of a carousel as a post of its own."""
    for post in posts:
        yield replace(post, images=1)
        for _ in range(post.images - 1):
            yield replace(post, number=free, images=1)
            free += 1
