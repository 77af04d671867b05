import numpy as np
import polars as pl
import pytest

from data_builders.retrieval.memory_bank import in_bank
from ipa_jax.applications.history_bank import history_bank
from tests.helpers.made_history import DAY, START, drawn_features, posts_table


def test_every_usable_post_is_in_the_bank_and_the_others_are_named():
    time = [START + day * DAY for day in (3, 1, 2, 9, 10)]
    table = posts_table(time, [30, 10, 20, 90, 100])
    table = table.with_columns(  # the first image stands for a carousel
        pl.Series("image_ids", [["i0", "more"], ["i1"], ["i2"], ["i3"], ["i4"]]),
        pl.Series("image_paths", [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"], ["e.jpg"], ["f.jpg"]]),
    )
    features = drawn_features(np.random.default_rng(0), np.arange(4))
    bank = history_bank(
        table,
        features,
        as_of=START + 16 * DAY,  # p0003 is 7 days old, p0004 is younger
        rows=np.array([2, -1, 0, 1, 3]),
        hidden=np.array([False, False, True, False, False]),
    )
    assert bank.account == "anna" and len(bank) == 2
    assert bank.images.post_id.tolist() == ["p0000", "p0003"] and bank.images.likes.tolist() == [30, 90]
    assert bank.images.group.tolist() == [0, 1] and in_bank(bank.images, "group").all()
    assert bank.paths == ("a.jpg", "e.jpg") and bank.images.image_id.tolist() == ["i0", "i3"]
    assert features.background is not None and bank.features.background is not None
    np.testing.assert_array_equal(bank.features.background, features.background[[2, 1]])
    assert bank.left_out == {
        "likes hidden": ("p0002",),
        "younger than 7 days": ("p0004",),
        "no features": ("p0001",),
    }


def test_nothing_usable_is_an_empty_bank():
    table = posts_table([START], [5])
    bank = history_bank(table, drawn_features(np.random.default_rng(0), np.zeros(1, int)), as_of=START + DAY)
    assert len(bank) == 0 and bank.left_out == {"younger than 7 days": ("p0000",)}


def test_what_does_not_fit_is_refused():
    features = drawn_features(np.random.default_rng(0), np.zeros(2, int))
    table = posts_table([START, START], [5, 5])
    with pytest.raises(ValueError, match="2 accounts, anna, bob"):
        both = pl.concat([table, posts_table([START], [5], "bob")])
        history_bank(both, features, as_of=START)
    with pytest.raises(ValueError, match="1 rows of features"):
        history_bank(table, features, as_of=START, rows=np.zeros(1, int))
    with pytest.raises(ValueError, match="only 2 rows"):
        history_bank(table, features, as_of=START, rows=np.array([0, 2]))
