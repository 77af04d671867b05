"""When a run evaluates and saves, and which part of validation it looks at."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from configs import full
from ipa_jax.training import schedule
from ipa_jax.training.schedule import PART, WHOLE, Evaluations, Saves, part_of


def test_the_whole_split_is_scored_once_an_epoch_and_a_part_of_it_between():
    looks = Evaluations(total=21, every=4, part=True, whole_every=10.0)  # two epochs of ten steps, and one step
    found = {step: looks.at(step) for step in range(1, 22)}
    assert {step for step, look in found.items() if look == WHOLE} == {10, 20, 21}
    assert {step for step, look in found.items() if look == PART} == {4, 8, 12, 16}


def test_a_fraction_of_an_epoch_may_be_no_whole_number_of_steps():
    looks = Evaluations(total=10, every=100, part=True, whole_every=2.5)
    assert [step for step in range(1, 11) if looks.at(step)] == [3, 5, 8, 10]


def test_without_a_part_each_look_is_at_the_whole_split():
    looks = Evaluations(total=11, every=5, part=False, whole_every=2.0)
    assert {step: looks.at(step) for step in range(1, 12) if looks.at(step)} == dict.fromkeys((5, 10, 11), WHOLE)


def test_the_paper_size_spends_little_on_validation():
    """434,000 steps, 71,071 images: scored images are under a tenth of those that the steps see, 24 per step."""
    config, total = full.get_config(), 434_000
    looks = Evaluations.for_run(config, total)
    counts = {WHOLE: 71_071, PART: config.eval.part, None: 0}
    assert sum(counts[looks.at(step)] for step in range(1, total + 1)) < 0.12 * 24 * total
    assert full.get_config("demo").eval.part == full.get_config("tiny").eval.part == 0


@pytest.mark.parametrize(("every", "minutes", "saved"), [(0, 0, []), (4, 0, [4, 8]), (0, 1, [6]), (4, 1, [4, 6, 8])])
def test_checkpoints_by_steps_and_by_minutes(monkeypatch, every, minutes, saved):
    """A step takes 11 seconds; the clock is looked at every third step."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(schedule.time, "monotonic", lambda: clock.now)
    config = full.get_config("tiny")
    config.train.update({"checkpoint_every": every, "checkpoint_minutes": float(minutes), "log_every": 3})
    saves, found = Saves(config), []
    for step in range(1, 10):
        clock.now += 11
        if saves.due(step):
            found.append(step)
            if step == 6:
                saves.saved()
    assert found == saved


def test_a_part_is_whole_groups_and_always_the_same():
    records = np.repeat(np.arange(30), np.random.default_rng(0).integers(2, 9, 30))
    images = pl.DataFrame({"record": records})
    rows = part_of(images, 40, seed=3)
    assert 40 <= len(rows) < 49 and (np.diff(rows) > 0).all()
    taken = records[rows]
    assert all((records == record).sum() == (taken == record).sum() for record in set(taken.tolist()))
    assert np.array_equal(rows, part_of(images, 40, seed=3)) and not np.array_equal(rows, part_of(images, 40, seed=4))
    assert len(part_of(images, 0, seed=3)) == len(part_of(images, 10_000, seed=3)) == len(records)
