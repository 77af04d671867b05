"""Participants of a study, for tests."""

from ipa_jax.human_study import answers as store
from ipa_jax.human_study import pairs

PAIRS = 5


def enter(answers, dataset, name, now=0.0, count=PAIRS):
    code = answers.enter(store.new_code(), name, lambda number: pairs.draw(dataset, count, 0, number), now)
    return answers.participant(code).id
