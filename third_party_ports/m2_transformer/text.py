"""Captions as text: the vocabulary file, and words from a decoder's indices."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, takewhile
from pathlib import Path

from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.files import write_text

SPECIALS = ("<unk>", "<pad>", "<bos>", "<eos>")


def load_vocabulary(path: str | Path) -> list[str]:
    """The words of a vocabulary file (a JSON list of strings) by index. Raises WeightsError naming file and remedy."""
    remedy = "Make it with python -m ipa_jax convert m2_vocab (third_party_ports/README.md says from what)."
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such vocabulary file. {remedy}")
    try:
        words = json.loads(Path(path).read_text(encoding="utf-8"))
        check_words(words)
    except ValueError as error:  # of json, of the encoding, of the words
        raise WeightsError(f"{path}: not a vocabulary file ({error}). {remedy}") from error
    return words


def save_vocabulary(words: Sequence[str], path: str | Path) -> None:
    """Writes what load_vocabulary reads. JSON, as words may hold line feeds. Raises ValueError as check_words does."""
    check_words(words)
    write_text(Path(path), json.dumps(list(words), indent=0) + "\n")


def check_words(words: object) -> None:
    """Raises ValueError unless `words` is a list of distinct strings with SPECIALS in front."""
    if not isinstance(words, list) or not all(type(word) is str for word in words):
        raise ValueError("the words are not a list of strings")
    if len(set(words)) != len(words):
        raise ValueError(f"{len(words) - len(set(words))} words stand twice")
    if tuple(words[: len(SPECIALS)]) != SPECIALS:
        raise ValueError(f"the first words are {words[: len(SPECIALS)]}, not {list(SPECIALS)}")


def text(
    tokens: Iterable[int], vocabulary: Sequence[str] | Mapping[int, str], eos: int = 3, clean_spaces: bool = True
) -> str:
    """The caption of a row of indices [T] int: its words before the first `eos`, repeats of a word in a row as one.

    Lower case and without punctuation, as the captioner was trained; "" for an immediate `eos`. Some words of the
    official vocabulary are white space: `clean_spaces` makes one blank of any run of it.
    """
    indices = takewhile(lambda index: index != eos, map(int, tokens))
    words = [word for word, _ in groupby(vocabulary[index] for index in indices)]
    return " ".join(" ".join(words).split()) if clean_spaces else " ".join(words).strip()
