"""Groups of posts close in time, their valid pairs (eq. 8) and their split (section 4.1)."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

DAY = 86_400  # seconds
SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

Assign = Callable[[np.ndarray, np.ndarray, float, int], np.ndarray]  # as assign_groups


@dataclass(frozen=True)
class KeptGroups:
    """The groups of one account that have a valid pair, and what was dropped. P posts, G kept groups.

    Attributes:
      group: i32 [P], the kept group of each post (0 to G - 1 in order of time), -1 where the post is in none.
      first_post: i32 [G], index of each group's first post, whose id decides the split.
      pairs: G arrays i32 [V, 2], the valid pairs as positions (i < j) among the group's images in order.
      images: i32 [G], number of images of each group.
      all_pairs: i32 [G], number of pairs of images of different posts, valid or not.
      dropped: number of groups that were dropped, by reason: "one post" (the singletons), "too young" (`min_age_days`
        left no post), "too few images", "no valid pair".
      too_young: number of posts that `min_age_days` dropped.
      too_many: bool [P], posts with too many images for any group (callers skip them as "too many images").
    """

    group: np.ndarray
    first_post: np.ndarray
    pairs: list[np.ndarray]
    images: np.ndarray
    all_pairs: np.ndarray
    dropped: dict[str, int]
    too_young: int
    too_many: np.ndarray


def seconds(days: float) -> int:
    """Days as the nearest whole number of seconds, which is what times are: 0.7 days are 60,480 s, not 60,479.99."""
    return round(days * DAY)


def too_many_images(post_images: np.ndarray, max_images: int) -> np.ndarray:
    """bool [P]: posts with more images than a group may have; `post_images` is the number of images per post [P]."""
    return np.asarray(post_images) > max_images


def assign_groups(time: np.ndarray, post_images: np.ndarray, window_days: float, max_images: int) -> np.ndarray:
    """Assigns one account's posts to groups, in order of time (section 4.1).

    A group starts at the first free post. It takes the next posts while they are at most `window_days` from that post
    and fit with all their images; the first post that does not starts the next group. A post that no group can hold
    is passed over.

    Args:
      time: i64 [P], UTC seconds, sorted by (time, post id).
      post_images: [P], number of images of each post, at least 1.
      window_days: the most days between a group's first and last post.
      max_images: the most images of a group.

    Returns:
      i32 [P], the group of each post, numbered in order of time; -1 for a post with more than `max_images` images.

    Raises:
      ValueError: the posts are not sorted by time.
    """
    time = np.asarray(time, np.int64)
    if np.any(np.diff(time) < 0):
        raise ValueError("the posts are not in order: sort them by (time, post id) before grouping")
    usable = np.flatnonzero(~too_many_images(post_images, max_images))
    time, images = time[usable], np.asarray(post_images, np.int64)[usable]
    filled = np.concatenate([[0], np.cumsum(images)])
    window = seconds(window_days)
    walked = np.empty(len(usable), np.int32)
    start = number = 0
    while start < len(usable):
        in_window = np.searchsorted(time, time[start] + window, side="right")
        in_room = np.searchsorted(filled, filled[start] + max_images, side="right") - 1
        end = int(min(in_window, in_room))
        walked[start:end] = number
        start, number = end, number + 1
    group = np.full(len(post_images), -1, np.int32)
    group[usable] = walked
    return group


def is_valid(likes_a: np.ndarray, likes_b: np.ndarray, min_ratio: float) -> np.ndarray:
    """Eq. 8: whether the likes of two images differ enough for the pair to count. This is its only implementation.

    Args:
      likes_a, likes_b: i64, of any shapes that broadcast together. Whole numbers up to 2 ** 62 compare without
        rounding where `min_ratio` is a whole number too.
      min_ratio: `config.data.pairs.min_ratio`. 2 is eq. 8 itself, |l_a - l_b| / max(l_a, l_b) > 0.5.

    Returns:
      bool, True where max(l_a, l_b) > min_ratio * min(l_a, l_b). Images of one post share their likes, so they are
      never valid for a `min_ratio` of 1 or more.
    """
    return np.maximum(likes_a, likes_b) > min_ratio * np.minimum(likes_a, likes_b)


def valid_pairs(likes: np.ndarray, post: np.ndarray, min_ratio: float) -> np.ndarray:
    """The valid pairs of one group's images: those of eq. 8 (`is_valid`) whose images come from different posts.

    Args:
      likes: i64 [N], the likes of each image's post.
      post: [N], the post that each image belongs to.
      min_ratio: see `is_valid`.

    Returns:
      i32 [V, 2], positions i < j, sorted.
    """
    likes, post = np.asarray(likes, np.int64), np.asarray(post)
    i, j = np.triu_indices(len(likes), k=1)
    valid = is_valid(likes[i], likes[j], min_ratio) & (post[i] != post[j])
    return np.stack([i[valid], j[valid]], axis=1).astype(np.int32)


def image_weights(post: np.ndarray) -> np.ndarray:
    """The weight of each image of a group (section 4.1): 1 / number of images of its post. post [N] -> f64 [N]."""
    _, inverse, images = np.unique(post, return_inverse=True, return_counts=True)
    return 1.0 / images[inverse]


def kept_groups(
    time: np.ndarray,
    likes: np.ndarray,
    post_images: np.ndarray,
    options: Mapping[str, Any],
    assign: Assign = assign_groups,
) -> KeptGroups:
    """The groups of one account that have a valid pair, after `posts.min_age_days` and `groups.min_images`.

    A post's age counts from the account's newest post that is in any group, groups of one post included. Young posts
    are dropped after grouping, so `min_age_days` moves no other post to another group.

    Args:
      time, likes, post_images: i64 [P], of posts sorted by (time, post id): UTC seconds, likes, number of images.
      options: `config.data` as a nested dict; reads posts.min_age_days, groups and pairs.min_ratio.
      assign: assigns posts to groups, as `assign_groups`.

    Raises:
      ValueError: the posts are not sorted by time.
    """
    time, likes, post_images = (np.asarray(x, np.int64) for x in (time, likes, post_images))
    limits = options["groups"]
    walked = assign(time, post_images, limits["window_days"], limits["max_images"])
    grouped = walked >= 0
    young = np.zeros(len(time), bool)
    if grouped.any():
        young = grouped & (time[grouped].max() - time < seconds(options["posts"]["min_age_days"]))

    group = np.full(len(time), -1, np.int32)
    dropped = {"one post": 0, "too young": 0, "too few images": 0, "no valid pair": 0}
    first_post, pairs, images, all_pairs = [], [], [], []
    for members in _members(walked):
        old = members[~young[members]]
        image_post = np.repeat(old, post_images[old])
        here = valid_pairs(likes[image_post], image_post, options["pairs"]["min_ratio"])
        if len(members) == 1:
            dropped["one post"] += 1
        elif len(old) == 0:
            dropped["too young"] += 1
        elif len(image_post) < limits["min_images"]:
            dropped["too few images"] += 1
        elif len(here) == 0:
            dropped["no valid pair"] += 1
        else:
            group[old] = len(pairs)
            first_post.append(old[0])
            pairs.append(here)
            images.append(len(image_post))
            all_pairs.append((len(image_post) ** 2 - int(np.sum(post_images[old] ** 2))) // 2)
    return KeptGroups(
        group=group,
        first_post=np.array(first_post, np.int32),
        pairs=pairs,
        images=np.array(images, np.int32),
        all_pairs=np.array(all_pairs, np.int32),
        dropped=dropped,
        too_young=int(young.sum()),
        too_many=too_many_images(post_images, limits["max_images"]),
    )


def split_of(account: str, first_post: str, seed: int, by: str) -> int:
    """The split of a group: 0 train, 1 validation, 2 test, about 8:1:1 (section 4.1).

    A hash of the ids decides, so adding an account moves no group of another.

    Args:
      account: its name.
      first_post: id of the group's first post; not used when `by` is "account".
      seed: `config.data.split.seed`.
      by: "group", or "account" to put all groups of an account into one split.

    Raises:
      ValueError: `by` is neither.
    """
    if by == "group":
        key = f"{seed}|{account}|{first_post}"
    elif by == "account":
        key = f"{seed}|{account}"
    else:
        raise ValueError(f"config.data.split.by is {by!r}: set it to group or account")
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return TRAIN if draw < 0.8 else VALIDATION if draw < 0.9 else TEST


def _members(walked: np.ndarray) -> list[np.ndarray]:
    """The posts of each group as indices, in order; `walked` is what `assign_groups` returned."""
    order = np.argsort(walked, kind="stable")
    order = order[np.searchsorted(walked[order], 0) :]
    if len(order) == 0:
        return []
    return np.split(order, np.flatnonzero(np.diff(walked[order])) + 1)
