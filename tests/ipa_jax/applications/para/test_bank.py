"""The bank of train images: their local scores and what photos retrieve from it, against plain loops."""

import numpy as np
import pytest

from data_builders.dataset import GroupDataset
from data_builders.features.features import Features
from data_builders.retrieval.similarity import similarity
from ipa_jax.applications.para.bank import draw_bank, retrieve


@pytest.fixture(scope="module")
def train(demo_world):
    return GroupDataset(demo_world / "data", "train", depth=False)


def test_local_scores_are_those_of_the_own_account(train):
    bank = draw_bank(train, 40, seed=1)
    assert len(set(bank.names)) == len(bank) == 40
    days = train.options["memory"]["window_days"] * 86_400
    posts = {(a, p): (t, n) for a, p, t, n in train.images.select("account", "post_id", "time", "likes").iter_rows()}
    for name, local, count, photo in zip(bank.names, bank.local, bank.count, bank.photos, strict=True):
        account, image = name.split("/", 1)
        row = train.images.filter(account=account, image_id=image).row(0, named=True)
        around = [n for (a, _), (t, n) in posts.items() if a == account and abs(t - row["time"]) < days]
        assert count == len(around) and local == pytest.approx(row["likes"] / np.mean(around))
        assert photo == train[row["record"]]["images"][row["position"]]


def test_the_seed_alone_decides_the_draw(train):
    assert draw_bank(train, 20, seed=5).names == draw_bank(train, 20, seed=5).names
    assert draw_bank(train, 20, seed=5).names != draw_bank(train, 20, seed=6).names
    assert len(draw_bank(train, 10**6, seed=0)) == len(train.images)  # no more than there are


def made(count, rng):
    size = np.full(count, 10, np.int32)
    vectors = [rng.random((count, 4)).astype(np.float32).round(1) for _ in range(2)]
    return Features(None, None, None, size, size, *vectors)


def test_retrieval_against_a_loop(train):
    rng, bank = np.random.default_rng(0), draw_bank(train, 30, seed=0)
    bank.post[:4] = bank.post[0]  # a post of four images is retrieved once
    query, features = made(9, rng), made(30, rng)
    weights = {"pose": 0.0, "background": 0.5, "caption": 0.5}
    options = {"retrieval": {"k": 5}, "similarity": weights, "pose": {"keypoint_threshold": 0.05}}
    found = retrieve(query, bank, features, options)
    parts = similarity(query, features, weights, 0.05)
    for row in range(9):
        order, posts = [], set()
        for image in sorted(range(30), key=lambda image: (-round(parts[0, row, image], 6), image)):
            if bank.post[image] not in posts:
                posts.add(bank.post[image])
                order.append(image)
        assert found.index[row].tolist() == order[:5]
        np.testing.assert_array_equal(found.similarity[row], parts[:, row, order[:5]].T)
        np.testing.assert_array_equal(found.local_score[row], bank.local[order[:5]])
        np.testing.assert_array_equal(found.count[row], bank.count[order[:5]])
    assert found.mask.all()
