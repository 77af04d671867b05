"""Caption text from indices, and the vocabulary file."""

import json

import pytest

from tests.helpers.damage import require_noticed
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.m2_transformer.text import SPECIALS, load_vocabulary, save_vocabulary, text

WORDS = [*SPECIALS, "a", "man", "'s", " ", "\n ", "hat"]
UNK, PAD, BOS, EOS, A, MAN, S, BLANK, FEED, HAT = range(10)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([A, A, MAN, MAN, MAN, A, HAT, EOS, A, UNK], "a man a hat"),  # repeats in a row count once
        ([A, MAN, S, HAT], "a man 's hat"),  # without an end; "'s" stays apart
        ([EOS, A, MAN], ""),
        ([], ""),
        ([A, UNK, UNK, HAT, EOS], "a <unk> hat"),
        ([A, PAD, BOS, EOS], "a <pad> <bos>"),
        ([BLANK, A, BLANK, FEED, MAN, FEED, EOS], "a man"),
        ([BLANK, EOS], ""),
    ],
)
def test_text(tokens, expected):
    assert text(tokens, WORDS) == expected


def test_text_with_the_white_space_of_its_words():
    assert text([BLANK, A, BLANK, MAN, FEED, HAT, BLANK], WORDS, clean_spaces=False) == "a   man \n  hat"


def test_another_eos():
    assert text([A, EOS, MAN, HAT, A], WORDS, eos=HAT) == "a <eos> man"


def test_a_vocabulary_is_read_from_its_file(tmp_path):
    save_vocabulary(WORDS, tmp_path / "vocab.json")
    assert load_vocabulary(tmp_path / "vocab.json") == WORDS
    require_noticed(
        tmp_path / "vocab.json", lambda: load_vocabulary(tmp_path / "vocab.json"), WeightsError, list.__eq__
    )
    assert [file.name for file in tmp_path.iterdir()] == ["vocab.json"]


def test_a_vocabulary_of_before_is_read(tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(WORDS))
    assert load_vocabulary(tmp_path / "vocab.json") == WORDS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "missing"),
        ("a\nman\n", "damaged"),
        ('{"a": 1}', "lacks 'words'"),
        ('["<unk>", "<pad>", "<bos>", "<eos>", 7]', "not a list of strings"),
        ('["<unk>", "<pad>", "<bos>", "<eos>", "a", "a"]', "1 words occur twice"),
        ('["a", "man"]', r"first words are \['a', 'man'\]"),
    ],
)
def test_files_that_are_not_a_vocabulary(tmp_path, content, message):
    file = tmp_path / "vocab.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(WeightsError, match=rf"vocab\.json is .*{message}.*convert m2_vocab"):
        load_vocabulary(file)
