"""No likes that a query must not know reach its features: if such likes change, no bit of the features does."""

import csv
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_datasets.proto import tf_example_pb2

from data_builders.dataset import GroupDataset
from data_builders.groups import TRAIN
from data_builders.retrieval.memory_bank import in_bank
from data_builders.retrieval.top_k import retrieve
from tests.helpers import tiny_world
from tests.helpers.built import build_quietly, config
from tests.helpers.random_accounts import DAY, as_arrays, draw_account, draw_choices

FIELDS = ("index", "similarity", "local_score", "count", "mask")
LIKES = ("likes",)  # fields of an example that hold its own likes
SEED, CAROUSEL = st.integers(0, 2**32), st.sampled_from(["first", "all"])
BY, PAST = st.sampled_from(["group", "account"]), st.sampled_from([None, 0, 7])


def draw(seed, carousel, exclude, by, past):
    rng = random.Random(seed)
    options = draw_choices(rng, carousel, exclude, by, past, rng.random() < 0.5)
    images, _, features = as_arrays("a.user", draw_account(rng, carousel), options)
    return images, features, options


def changed(images, posts, seed):
    """The account with other likes at `posts` (a bool per image); groups and splits stay."""
    numbers = np.random.default_rng(seed).integers(1, 10**9, int(images.post.max()) + 1)
    return replace(images, likes=np.where(posts, numbers[images.post], images.likes))


def require_same(before, after, queries):
    for field in FIELDS:
        a, b = (np.ascontiguousarray(getattr(found, field)[queries]) for found in (before, after))
        assert a.tobytes() == b.tobytes(), field


@settings(max_examples=60, deadline=None)
@given(seed=SEED, carousel=CAROUSEL, exclude=st.sampled_from(["group", "post", "none"]), by=BY, past=PAST)
def test_likes_out_of_the_bank_reach_nobody(seed, carousel, exclude, by, past):
    """Likes of validation and test images, and of posts in no group; with a split by account only the latter."""
    images, features, options = draw(seed, carousel, exclude, by, past)
    after = retrieve(changed(images, ~in_bank(images, by), seed), features, options)
    require_same(retrieve(images, features, options), after, slice(None))


@settings(max_examples=60, deadline=None)
@given(seed=SEED, carousel=CAROUSEL, exclude=st.sampled_from(["group", "post", "none"]), by=BY, past=PAST)
def test_likes_of_the_own_group_reach_no_query(seed, carousel, exclude, by, past):
    """Train queries with exclude = group; validation and test queries with every `exclude`."""
    images, features, options = draw(seed, carousel, exclude, by, past)
    before = retrieve(images, features, options)
    for group in range(images.group.max(initial=-1) + 1):
        own = images.group == group
        if exclude != "group" and images.split[own][0] == TRAIN:
            continue
        require_same(before, retrieve(changed(images, own, seed), features, options), own)


@settings(max_examples=60, deadline=None)
@given(seed=SEED, carousel=CAROUSEL, by=BY)
def test_the_own_likes_reach_no_query_that_leaves_out_its_post(seed, carousel, by):
    images, features, options = draw(seed, carousel, "post", by, None)
    before = retrieve(images, features, options)
    for post in np.unique(images.post):
        own = images.post == post
        require_same(before, retrieve(changed(images, own, seed), features, options), own)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEED, carousel=CAROUSEL, exclude=st.sampled_from(["group", "post", "none"]), by=BY, lag=st.sampled_from([0, 7])
)
def test_past_only_no_later_like_reaches_a_query(seed, carousel, exclude, by, lag):
    """Later: not older than the query by more than the lag; the query's own likes are among them."""
    images, features, options = draw(seed, carousel, exclude, by, lag)
    before = retrieve(images, features, options)
    for time in np.unique(images.time):
        after = retrieve(changed(images, images.time >= time - lag * DAY, seed), features, options)
        require_same(before, after, images.time == time)


@pytest.mark.parametrize(("exclude", "leaks"), [("group", False), ("post", True), ("none", True)])
def test_the_leaks_of_exclude_are_seen(exclude, leaks):
    """The tests above can fail: under `post` and `none` the own group's likes move a train query's features."""
    moved = 0
    for seed in range(20):
        images, features, options = draw(seed, "first", exclude, "group", None)
        before = retrieve(images, features, options)
        for group in np.unique(images.group[images.split == TRAIN]):
            own = images.group == group
            after = retrieve(changed(images, own, seed), features, options)
            moved += int((before.local_score[own] != after.local_score[own]).any())
    assert bool(moved) == leaks


def rewrite_likes(world, factor, posts):
    """Multiplies the likes of some posts of the raw file, so that the same pairs stay valid."""
    file = world / "raw" / "posts.csv"
    with open(file, newline="") as opened:
        head, *rows = csv.reader(opened)
    for row in rows:
        row[2] = str(int(row[2]) * factor) if (row[1], row[4]) in posts else row[2]
    with open(file, "w", newline="") as opened:
        csv.writer(opened).writerows([head, *rows])


def stored_bytes(folder, split):
    """{group id: {field: bytes}} of the shards, without likes."""
    found = {}
    dataset = GroupDataset(folder, split)
    for data in map(dataset._stored, range(len(dataset))):
        values = tf_example_pb2.Example.FromString(data).features.feature
        fields = {name: value.SerializeToString() for name, value in values.items() if name not in LIKES}
        found[values["group_id"].bytes_list.value[0].decode()] = fields
    return found


def build_twice(tmp_path, chosen, of_posts):
    """Builds a world, then the same with the likes of some posts tripled: of_posts(the first data set) picks them."""
    tiny_world.write(tmp_path, accounts=3)
    first = build_quietly(tmp_path, tmp_path / "first", config=chosen)
    posts = of_posts(first)
    assert posts
    rewrite_likes(tmp_path, 3, posts)
    return first, build_quietly(tmp_path, tmp_path / "second", config=chosen)


def test_a_built_data_set_holds_nothing_of_test_likes(tmp_path):
    """Through the whole builder: with all validation and test likes tripled, nothing else in the examples changes."""

    def held_out(folder):
        return {row for name in ("validation", "test") for row in keys(GroupDataset(folder, name).images)}

    first, second = build_twice(tmp_path, config(), held_out)
    for split in ("train", "validation", "test"):
        assert stored_bytes(first, split) == stored_bytes(second, split)
    assert (GroupDataset(first, "test").images["likes"] * 3 == GroupDataset(second, "test").images["likes"]).all()


def test_a_built_data_set_of_the_past_holds_nothing_of_the_future(tmp_path):
    """With the likes of each account's second half tripled, the examples of the first half stay the same."""
    chosen = config(memory={"past_only": True})
    middle = {}

    def second_half(folder):
        posts = set()
        for name in ("train", "validation", "test"):
            images = GroupDataset(folder, name).images
            for account, times in images.group_by("account").agg("time").iter_rows():
                middle.setdefault(account, int(np.median(times)))
            for group in images.partition_by("record"):
                if group["time"].min() > middle[group["account"][0]]:
                    posts |= set(keys(group))
        return posts

    first, second = build_twice(tmp_path, chosen, second_half)
    same = 0
    for split in ("train", "validation", "test"):
        before, after = stored_bytes(first, split), stored_bytes(second, split)
        assert before.keys() == after.keys()
        for group in GroupDataset(first, split).images.partition_by("record"):
            if group["time"].min() <= middle[group["account"][0]]:
                name = GroupDataset(first, split).groups["group_id"][group["record"][0]]
                assert before[name] == after[name]
                same += 1
    assert same > 5


def keys(images):
    return images.select("account", "post_id").rows()
