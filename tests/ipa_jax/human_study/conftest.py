"""A tiny data set, built once, and a study on its train split."""

import pytest

from data_builders.dataset import GroupDataset
from ipa_jax.human_study import answers as store
from ipa_jax.human_study import pairs
from tests.helpers import built, tiny_world
from tests.helpers.participants import PAIRS


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    tiny_world.write(folder)
    built.build_quietly(folder, folder / "data")
    return folder


@pytest.fixture(scope="session")
def dataset(folder):
    return GroupDataset(folder / "data", "train", depth=False)


@pytest.fixture
def answers(dataset, tmp_path):
    answers = store.Answers(tmp_path / "new folder" / "answers of 100 %?.sqlite")  # nothing in a name is a URI's
    answers.create(store.Study(str(dataset.folder), "train", pairs.digest(dataset), pairs=PAIRS, seed=0))
    return answers
