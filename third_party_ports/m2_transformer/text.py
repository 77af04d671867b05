"""Turns a decoder's word indices into text, and reads and writes the vocabulary file."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, takewhile
from pathlib import Path

from third_party_ports import seals
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.reading import reading

SPECIALS = ("<unk>", "<pad>", "<bos>", "<eos>")


def load_vocabulary(path: str | Path) -> list[str]:
    """Reads a vocabulary file: sealed JSON with "words", or the list alone, as earlier versions wrote it.

    Raises WeightsError if the file is missing, damaged or something else.
    """
    remedy = "make it with `ipa-jax convert m2_vocab`; third_party_ports/README.md says from what"
    content = seals.read(Path(path), WeightsError, remedy)
    with reading(path, WeightsError, remedy):
        stored = json.loads(content)
        return check_words(stored["words"] if isinstance(stored, dict) else stored)


def save_vocabulary(words: list[str], path: str | Path) -> None:
    """Writes a file for `load_vocabulary`. Raises ValueError as `check_words` does, and OSError."""
    # JSON, because words may hold line feeds.
    seals.write_json(Path(path), {"words": check_words(words)}, indent=0)


def check_words(words: object) -> list[str]:
    """Returns `words`. Raises ValueError unless it is a list of distinct strings that starts with SPECIALS."""
    if not isinstance(words, list) or not all(type(word) is str for word in words):
        raise ValueError("the words are not a list of strings")
    if len(set(words)) != len(words):
        raise ValueError(f"{len(words) - len(set(words))} words occur twice")
    if tuple(words[: len(SPECIALS)]) != SPECIALS:
        raise ValueError(f"the first words are {words[: len(SPECIALS)]}, not {list(SPECIALS)}")
    return words


def text(
    tokens: Iterable[int], vocabulary: Sequence[str] | Mapping[int, str], eos: int = 3, clean_spaces: bool = True
) -> str:
    """Turns a row of word indices into a caption.

    Args:
      tokens: [T] int. Only words before the first `eos` count. A word that is repeated in a row counts once.
      vocabulary: the words by index.
      eos: the index that ends a caption.
      clean_spaces: replaces every run of white space by one blank. (Some words of the official vocabulary are white
        space.)

    Returns:
      The caption, in lower case and without punctuation, as the captioner was trained; "" if `eos` comes first.
    """
    indices = takewhile(lambda index: index != eos, map(int, tokens))
    words = [word for word, _ in groupby(vocabulary[index] for index in indices)]
    return " ".join(" ".join(words).split()) if clean_spaces else " ".join(words).strip()
