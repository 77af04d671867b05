"""I2PA's choice of train pairs by their captions, and that it touches nothing else."""

import numpy as np
import pytest

from ipa_jax.input import batches, packing
from ipa_jax.input.caption_filter import CaptionFilter
from tests.helpers.group_stand_in import StandIn
from tests.helpers.tiny_models import tiny_config

SIZES = [6, 5, 2]


def short_and_long():
    """Images at even places of a group have short captions, the others long ones."""
    dataset = StandIn(SIZES)
    for example in dataset.examples:
        example["captions"] = [("short #tag", "many words " * 9)[i % 2] for i in range(len(example["likes"]))]
    return dataset


def config_of(by, **changes):
    return tiny_config("i2pa_tuned", input__resize=48, batch__by=by, batch__pairs=2, batch__slots=12, **changes)


@pytest.mark.parametrize("by", ["pairs", "groups"])
def test_train_pairs_of_long_captions_are_left_out_and_no_others(by):
    dataset, config = short_and_long(), config_of(by, i2pa__caption_filter=True)
    whole, plan = (batches.train_plan(dataset, c).index for c in (config_of(by), config))
    place = dataset.images["position"].to_numpy()
    kept = (place[whole.pairs] % 2 == 0).all(1)
    np.testing.assert_array_equal(plan.pairs, whole.pairs[kept])
    np.testing.assert_array_equal(plan.pair_weights, whole.pair_weights[kept])
    assert 0 < kept.sum() < len(kept)
    config.train.epochs = 1.0
    config.input.update({"threads": 0, "workers": 0, "prefetch": 1})
    trained = 0
    for batch in batches.train_batches(dataset, config, start_step=0, process_index=0, process_count=1):
        pack, *pair = np.nonzero(batch["pair_weight"])
        assert all((batch["position"][pack, side] % 2 == 0).all() for side in pair)
        trained += len(pack)
    assert trained == kept.sum()
    scored = next(batches.score_batches(dataset, config, sum(SIZES)))
    assert np.count_nonzero(scored["pair_weight"]) == len(kept)


def test_the_mean_step_is_of_the_pairs_that_are_kept():
    dataset, config = short_and_long(), config_of("groups", i2pa__caption_filter=True)
    plan = batches.train_plan(dataset, config)
    assert packing.loss_scale(plan) * plan.packs_per_epoch == plan.index.pair_weights.sum() * plan.packs_per_step


def test_a_filter_that_leaves_nothing_is_named():
    config = config_of("pairs", i2pa__caption_filter=True, i2pa__caption_words=0)
    with pytest.raises(
        ValueError, match=r"i2pa\.caption_filter leaves none of the 12 train pairs: raise i2pa\.caption_words \(0\)"
    ):
        batches.train_plan(short_and_long(), config)


def test_other_networks_know_no_filter():
    config = tiny_config("basic", input__resize=48, batch__slots=12, i2pa__caption_filter=True)
    dataset = short_and_long()
    plan = batches.train_plan(dataset, config)
    assert len(plan.index.pairs) == dataset.groups["pairs"].sum()


@pytest.mark.parametrize(
    ("caption", "words", "tags"),
    [("", 0, 0), ("two words", 2, 0), ("😍 #a#b @c.d me@e.f", 2, 4), ("#nice, # alone @ home", 2, 1)],
)
def test_what_is_counted(caption, words, tags):
    for limits, short in [((words, tags), True), ((words - 1, tags), False), ((words, tags - 1), False)]:
        assert CaptionFilter(*limits).short([caption]).tolist() == [short]
