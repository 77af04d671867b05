"""Word vectors of a text file in a word table: GloVe's form and fastText's, and what is refused."""

import numpy as np
import pytest

from ipa_jax.input import texts, word_vectors
from ipa_jax.training import initial, optimizer, preflight
from tests.helpers.tiny_models import tiny_config

WORDS = ["dog", "café", "🔥", "sea"]  # numbers 2 to 5
TABLE = np.arange(24, dtype=np.float32).reshape(8, 3)


@pytest.fixture(scope="module")
def vocabulary():
    return texts.train([" ".join(WORDS[: n + 1]) for n in range(4)], 10, 1)


def fill(folder, text, vocabulary, table=TABLE):
    file = folder / "vectors.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return word_vectors.fill(table, file, vocabulary, "config.xu.word_width")


GLOVE = "the 1 2 3\n. . . 4 5 6\ndog .5 -1e-1 2\n🔥 7 8 9\ndog 0 0 0\nat me@x.org 1 1 1\n"


@pytest.mark.parametrize("header", ["", "6 3\n"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])  # fastText's lines end in a space
def test_rows_of_words_in_the_file_are_its_vectors(vocabulary, tmp_path, header, end):
    table, found = fill(tmp_path, (header + GLOVE).replace("\n", end), vocabulary)
    expected = TABLE.copy()
    expected[2], expected[4] = [0.5, -0.1, 2], [7, 8, 9]  # of a repeated word the first
    np.testing.assert_array_equal(table, expected)
    assert found == 2 and table.dtype == np.float32 and TABLE[2, 0] == 6


def test_words_that_are_no_text_are_other_words(vocabulary, tmp_path):
    table, found = fill(tmp_path, b"\xff\xfe 1 2 3\nsea 1 2 3\n\n", vocabulary)
    assert found == 1 and table[5].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog 1 2\n", r"vectors\.txt, line 1: vectors of 2 numbers, but config\.xu\.word_width is 3: .*word_width=2"),
        ("1 4\ndog 1 2 3 4\n", "line 1: vectors of 4 numbers"),
        ("", r"vectors\.txt holds none of the vocabulary's 4 words"),
        ("\n\n", "holds none"),
        ("the 1 2 3\nof 1 2\n", "line 2: not a word and 3 numbers"),
        ("the 1 2 3\nof 1 2 3 4\n", "line 2: not a word and 3 numbers"),
        ("the 1 2 3\ndog 1 x 3\n", "line 2: not 3 finite numbers"),
        ("the 1 2 3\ndog 1 nan 3\n", "line 2: not 3 finite numbers"),
        ("3 3\nthe 1 2 3\ndog 1 2 3\n", "line 1 tells of 3 vectors, 2 follow: it was cut"),
        ("the 1 2 3\nof 1 2 3\n", "holds none of the vocabulary's 4 words"),
        (b"\0" * (word_vectors.LONGEST + 1), "line 1: longer than"),
    ],
)
def test_a_bad_file_is_named_by_its_line(vocabulary, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        fill(tmp_path, text, vocabulary)


def test_xu_starts_from_the_file_and_trains_on(tmp_path, vocabulary):
    file = tmp_path / "glove.txt"
    file.write_text("sea 1 2 3 4\n")
    config = tiny_config("xu", init__words=str(file), xu__fields=("description",), texts__words=8)
    preflight.check_words(config)
    fresh = initial.initial_variables(config)
    variables, found = initial.with_words(fresh, config, vocabulary)
    before, after = (np.asarray(v["params"]["word"]["embedding"]) for v in (fresh, variables))
    assert found == 1 and after[5].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(np.delete(after, 5, 0), np.delete(before, 5, 0))
    assert variables["params"].keys() == fresh["params"].keys()
    assert (
        "frozen"
        not in optimizer.parameter_labels({"word": variables["params"]["word"]}, only_words(config))["word"].values()
    )


def only_words(config):
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.optim.groups = {"rest_plain": config.optim.groups.rest_plain}
    return config


def test_a_file_that_is_not_there_or_a_network_without_words(tmp_path):
    missing = str(tmp_path / "none.vec")
    with pytest.raises(preflight.PreflightError, match=r"config\.init\.words: .*none\.vec is not there"):
        preflight.check_words(tiny_config("xu", init__words=missing))
    with pytest.raises(preflight.PreflightError, match=r"'uhan' has no word table for it, which xu has"):
        preflight.check_words(tiny_config("uhan", init__words=missing))
    preflight.check_words(tiny_config("uhan"))
