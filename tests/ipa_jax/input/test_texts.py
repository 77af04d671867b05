"""Words and numbers: the vocabulary of the train split, the fields' texts, the files beside a model."""

import json

import numpy as np
import pytest

from configs import uhan, xu, xu_comments
from ipa_jax.input import texts, vocabularies
from tests.helpers.group_stand_in import StandIn

CORPUS = ["Café au lait", "café CAFÉ, dog", "dog dog 🔥🔥", "犬 dog"]


@pytest.fixture(scope="module")
def vocabulary():
    return texts.train(CORPUS, most=100, min_count=2)


def words(vocabulary, text, most=10):
    return vocabulary.words(vocabulary.numbers(text, most))


def test_the_most_frequent_words_come_first_and_rare_ones_are_unknown(vocabulary):
    assert len(vocabulary) == 3
    assert vocabulary.words([2, 3, 4]) == ["dog", "café", "🔥"]
    assert words(vocabulary, "Lait! DOG, a cafe\u0301 🔥") == ["dog", "café", "🔥"]


def test_no_more_words_than_asked_for():
    few = texts.train(CORPUS, most=1, min_count=1)
    assert len(few) == 1 and words(few, "dog café") == ["dog"]


def test_ties_go_by_the_alphabet_whatever_the_order_of_the_texts():
    one, other = (texts.train(t, 10, 1) for t in (["b a c", "d"], ["d c", "b", "a"]))
    assert one.words(range(2, 6)) == other.words(range(2, 6)) == ["a", "b", "c", "d"]


def test_padding_stands_in_front_and_the_end_is_cut(vocabulary):
    numbers = vocabulary.numbers("nothing dog café", 4)
    assert numbers.dtype == np.int32 and numbers.tolist() == [0, 0, 2, 3]
    assert vocabulary.numbers("dog café dog", 2).tolist() == [2, 3]
    assert not vocabulary.numbers("", 3).any() and not vocabulary.numbers("?!", 3).any()


def test_punctuation_is_no_word_and_a_symbol_is_one(vocabulary):
    one = texts.train(["#sun_set @me: don't... ❤️✨ 3€"], 100, 1)
    assert set(one.words(range(2, 2 + len(one)))) == {"sun_set", "me", "don", "t", "❤", "✨", "3", "€"}


def test_a_vocabulary_is_the_same_after_a_file(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "v.json")
    again = texts.load((tmp_path / "v.json").read_text())
    assert len(again) == len(vocabulary)
    for text in CORPUS:
        np.testing.assert_array_equal(again.numbers(text, 6), vocabulary.numbers(text, 6))
    (tmp_path / "v.json").write_text("{}")
    with pytest.raises(ValueError, match="not a vocabulary"):
        texts.load((tmp_path / "v.json").read_text())


EXAMPLE = {
    "captions": ["Sunset with @anna #beach love #sun"], "hashtags": ["beach sun"],
    "comments": ["one\ntwo\nthree"], "machine_captions": ["a man on a beach"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("post", "Sunset with @anna #beach love #sun"),
        ("description", "Sunset with love"),
        ("hashtag", "beach sun"),
        ("comment", "one\ntwo"),
        ("caption", "a man on a beach"),
    ],
)
def test_what_a_field_holds(field, expected):
    assert texts.field_text(EXAMPLE, 0, field, comments=2) == expected


def test_an_entry_may_name_a_field_and_its_text():
    fields = ("image", "caption", "description=post", "title=caption")
    assert texts.names(fields) == ("image", "caption", "description", "title")
    assert texts.sources(fields) == {"caption": "caption", "description": "post", "title": "caption"}


def test_fields_that_are_not_there():
    with pytest.raises(ValueError, match="'title' is no text field: take from post, description"):
        texts.field_text(EXAMPLE, 0, "title", 2)
    with pytest.raises(ValueError, match=r"here holds no machine captions .* config\.xu\.fields"):
        texts.field_text({"captions": [""]}, 0, "caption", 2, "here")


def stand_in(comments="so nice", post="dog"):
    dataset = StandIn([3, 2])
    for example in dataset.examples:
        n = len(example["likes"])
        example["captions"] = [f"{post} #tag"] * n
        example["hashtags"] = ["tag"] * n
        example["comments"] = [comments] * n
        example["machine_captions"] = ["a picture"] * n
    return dataset


def counted(config, dataset):
    config.texts.min_count = 1
    return vocabularies.make(dataset, config)


def test_the_vocabulary_holds_the_fields_that_are_read_and_no_others():
    of = lambda module: counted(module.get_config("tiny"), stand_in()).vocabulary  # noqa: E731
    listed = lambda vocabulary: set(vocabulary.words(range(2, 2 + len(vocabulary))))  # noqa: E731
    assert listed(of(xu)) == {"dog", "tag", "a", "picture"}
    assert listed(of(xu_comments)) == {"dog", "tag", "a", "picture", "so", "nice"}
    assert listed(of(uhan)) == {"dog", "tag"}


def test_a_text_that_two_fields_hold_counts_once():
    config = xu.get_config("tiny")
    config.texts.min_count = 3
    dataset = stand_in()
    dataset.examples = dataset.examples[:1]
    for example in dataset.examples:
        example["post_ids"] = ["p"] * 3
        example["captions"] = ["dog"] * 3
    config.xu.fields = ("description=post", "hashtag=post", "caption=post")
    assert len(vocabularies.make(dataset, config).vocabulary) == 0  # one post of one dog


def test_texts_count_once_a_post():
    """A carousel's images share their post's text; the captioner looked at each."""
    dataset = stand_in()
    dataset.examples[0]["post_ids"] = ["p", "p", "q"]
    found = list(texts.corpus(dataset, ("post", "caption"), 5))
    assert found.count("dog #tag") == 2 + 2 and found.count("a picture") == 3 + 2


def test_accounts_are_rows_by_name_and_the_files_come_back(tmp_path):
    found = counted(uhan.get_config("tiny"), stand_in())
    assert found.accounts == ("account0", "account1")
    found.save(tmp_path)
    again = vocabularies.load(tmp_path, uhan.get_config("tiny"))
    assert again.accounts == found.accounts and len(again.vocabulary) == len(found.vocabulary)
    assert json.loads((tmp_path / "accounts.json").read_text()) == {"accounts": ["account0", "account1"]}
    assert not list(tmp_path.glob(".*"))
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(ValueError, match=r"vocabulary\.json is missing: model\.network uhan needs it"):
        vocabularies.load(tmp_path, uhan.get_config("tiny"))


def test_a_run_makes_its_lookups_once(tmp_path):
    config = uhan.get_config("tiny")
    config.texts.min_count = 1
    first = vocabularies.for_run(stand_in(), config, tmp_path / "lookups", write=True)
    again = vocabularies.for_run(stand_in(post="cat"), config, tmp_path / "lookups", write=True)
    assert again.vocabulary.words([2, 3]) == first.vocabulary.words([2, 3])


def test_more_accounts_than_the_table_has_rows():
    config = uhan.get_config("tiny")
    config.data.top_n = 1
    with pytest.raises(ValueError, match=r"2 accounts, more than data\.top_n 1"):
        counted(config, stand_in())
