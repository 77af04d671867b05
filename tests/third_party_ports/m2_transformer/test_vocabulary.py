"""Tests of the reader of vocab.pkl, on honest and malicious pickles written opcode by opcode."""

import hashlib
import os
import pickle

import pytest

from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.m2_transformer.text import SPECIALS
from third_party_ports.m2_transformer.vocabulary import OFFICIAL, Published, pickled_words, read_vocabulary

WORDS = [*SPECIALS, "a", "wooden", " ", "\n", "zips"]
CREATE = b"cdata.vocab\nVocab\n)\x81"  # the object, bare


def plain(value) -> bytes:
    """Returns the opcodes that put plain data on the stack."""
    return pickle.dumps(value, 3)[2:-1]


def vocab(words, before: bytes = b"", name: str = "itos") -> bytes:
    """Like the official file: an empty object, which then gets four attributes."""
    stoi = b"ccollections\ndefaultdict\ncdata.vocab\n_default_unk_index\n\x85R(" + b"".join(
        plain(word) + plain(n) for n, word in enumerate(WORDS)
    )
    freqs = b"ccollections\nCounter\n" + plain({"a": 7}) + b"\x85R"
    state = plain(name) + plain(words) + plain("stoi") + stoi + b"u" + plain("freqs") + freqs + plain("vectors") + b"N"
    return b"\x80\x03" + before + CREATE + b"}(" + state + b"ub."


def written(path, data: bytes, words=WORDS) -> tuple:
    """Writes the file; returns it and what would be published of it."""
    path.write_bytes(data)
    joined = "\n".join(words).encode()
    return path, Published(len(data), hashlib.sha256(data).hexdigest(), len(words), hashlib.sha256(joined).hexdigest())


def test_the_words_are_read(tmp_path):
    assert read_vocabulary(*written(tmp_path / "vocab.pkl", vocab(WORDS))) == WORDS


def strings(*values: str) -> bytes:
    return b"".join(b"X" + len(value).to_bytes(4, "little") + value.encode() for value in values)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (lambda mark: b"cos\nsystem\n" + plain(mark) + b"\x85R0", "asks for os.system"),
        (lambda mark: b"cposix\nsystem\n" + plain(mark) + b"\x85R0", "asks for posix.system"),
        (lambda mark: b"\x80\x04" + strings("os", "system") + b"\x93" + plain(mark) + b"\x85R0", "asks for os.system"),
        (lambda mark: b"(" + plain(mark) + b"ios\nsystem\n0", "asks for os.system"),
        (
            lambda mark: b"\x80\x04" + strings("data.vocab", "Vocab.__init__") + b"\x930",
            "asks for data.vocab.Vocab.__i",
        ),
        (lambda mark: b"\x80\x04" + strings("collections", "abc.sys") + b"\x930", "asks for collections.abc.sys"),
        (lambda mark: b"cbuiltins\ngetattr\n0", "asks for builtins.getattr"),
        (lambda mark: b"\x82\x010", "not a pickled vocabulary"),  # an extension code
    ],
)
def test_malicious_pickles_are_refused_and_run_nothing(tmp_path, attack, message):
    trace = tmp_path / "trace"
    file, published = written(tmp_path / "vocab.pkl", vocab(WORDS, attack(f"touch {trace}")))
    with pytest.raises(WeightsError, match=rf"vocab\.pkl: .*{message}"):
        read_vocabulary(file, published)
    assert not trace.exists()


def test_an_attack_written_by_pickle_itself_is_refused(tmp_path):
    class Reducer:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'trace'}",)

    data = vocab(WORDS, pickle.dumps(Reducer(), 2)[2:-1] + b"0")
    with pytest.raises(ValueError, match=r"asks for posix\.system"):
        pickled_words(data)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("data", "words", "message"),
    [
        (b"no pickle", WORDS, "not a pickled vocabulary"),
        (vocab(WORDS)[:-30], WORDS, "not a pickled vocabulary"),
        (b"\x80\x03" + plain(WORDS) + b".", WORDS, "holds something else"),
        (vocab(WORDS, name="words"), WORDS, "itos"),
        (vocab(tuple(WORDS)), WORDS, "not a list of strings"),
        (vocab([*WORDS, 5]), WORDS, "not a list of strings"),
        (vocab([*WORDS, "a"]), WORDS, "1 words occur twice"),
        (vocab(WORDS[::-1]), WORDS, "first words are"),
        (vocab(WORDS[:-1]), WORDS, "8 words, not 9"),
        (vocab([*WORDS[:-1], "zip"]), WORDS, "the words are not the published ones"),
    ],
)
def test_files_that_hold_something_else(tmp_path, data, words, message):
    with pytest.raises(WeightsError, match=rf"vocab\.pkl: .*{message}.*Take vocab\.pkl from"):
        read_vocabulary(*written(tmp_path / "vocab.pkl", data, words))


def test_only_the_published_file_is_opened(tmp_path):
    file, published = written(tmp_path / "vocab.pkl", vocab(WORDS))
    with pytest.raises(WeightsError, match=r"not the published file of 649714 bytes"):
        read_vocabulary(file)
    file.write_bytes(file.read_bytes().replace(b"zips", b"zaps"))
    with pytest.raises(WeightsError, match="another sha256"):
        read_vocabulary(file, published)
    with pytest.raises(WeightsError, match="this file does not exist"):
        read_vocabulary(tmp_path / "absent.pkl")
    assert OFFICIAL.words == 10201
