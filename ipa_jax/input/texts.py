"""The words of a post: which text a field means, and the numbers that a network reads in its place.

Words are runs of letters, digits and marks, lower-cased; a symbol such as an emoji is a word of its own, punctuation is
none. The vocabulary comes from the train split alone; words outside it are dropped. Imports no jax.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ml_collections import ConfigDict
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from tqdm import tqdm

from third_party_ports import files

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

FIELDS = {  # what a field holds
    "post": "the poster's whole text",
    "description": "the poster's text without hashtags and mentions",
    "hashtag": "the hashtags, without the sign",
    "comment": "the post's earliest comments; written after it: not to be had before posting",
    "caption": "the caption extractor's sentence about the photo",
}
PADDING, UNKNOWN = 0, 1  # numbers; words begin at 2
_WORD = r"[\p{L}\p{N}_][\p{L}\p{N}\p{M}_]*|[^\s\p{P}\p{Z}\p{C}\p{L}\p{N}\p{M}]"


def names(fields: Iterable[str]) -> tuple[str, ...]:
    """The fields' names, in order, the image's too: what stands before the "=" where an entry has one."""
    return tuple(field.partition("=")[0] for field in fields)


def sources(fields: Iterable[str]) -> dict[str, str]:
    """Field -> which text of FIELDS it holds, without the image: "description=post" says both, "post" is both."""
    return {name: text or name for name, _, text in (field.partition("=") for field in fields) if name != "image"}


class Vocabulary:
    """Words and their numbers, most frequent first."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    def __len__(self) -> int:
        """Words, without padding and the unknown one."""
        return self._tokenizer.get_vocab_size() - 2

    def numbers(self, text: str, words: int) -> np.ndarray:
        """int32 [words]: the first known words of a text, behind as much padding as it takes."""
        known = [number for number in self._tokenizer.encode(text).ids if number != UNKNOWN][:words]
        out = np.full(words, PADDING, np.int32)
        out[words - len(known) :] = known
        return out

    def words(self, numbers: Iterable[int]) -> list[str]:
        """The words of these numbers, padding left out."""
        known = (self._tokenizer.id_to_token(int(number)) for number in numbers if number != PADDING)
        return [word for word in known if word is not None]

    def save(self, file: Path) -> None:
        """Writes the words and their numbers as JSON."""
        files.write_text(file, self._tokenizer.to_str(pretty=True))


def load(text: str) -> Vocabulary:
    """The vocabulary in what `Vocabulary.save` wrote. Raises ValueError for another text."""
    try:
        return Vocabulary(Tokenizer.from_str(text))
    except Exception as error:  # tokenizers raises plain Exception
        raise ValueError(f"not a vocabulary ({error})") from error


def train(texts: Iterable[str], most: int, min_count: int) -> Vocabulary:
    """The `most` most frequent words of these texts among those that occur `min_count` times; ties by the alphabet."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads and forked reading processes do not mix
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    trainer = trainers.WordLevelTrainer(
        vocab_size=most + 2, min_frequency=min_count, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Vocabulary(tokenizer)


def field_text(example: dict, position: int, field: str, comments: int, folder: Path | str = "the data set") -> str:
    """A field's text of one image of a group (`GroupDataset`); `comments`: how many are read.

    Raises ValueError for a data set without machine captions.
    """
    if field == "post":
        return example["captions"][position]
    if field == "description":
        return " ".join(word for word in example["captions"][position].split() if word[0] not in "#@")
    if field == "hashtag":
        return example["hashtags"][position].replace("#", " ")
    if field == "comment":
        return "\n".join(example["comments"][position].split("\n")[:comments])
    if field == "caption":
        if "machine_captions" not in example:
            raise ValueError(
                f"{folder} holds no machine captions (it was built by version 1.0.0): build it again, or leave the "
                "field caption out of config.xu.fields"
            )
        return example["machine_captions"][position]
    raise ValueError(f"{field!r} is no text field: take from {', '.join(FIELDS)}")


def corpus(dataset: GroupDataset, fields: Sequence[str], comments: int) -> Iterator[str]:
    """Every text of these fields of a split once a post."""
    for record in tqdm(range(len(dataset)), desc="read texts", unit="group", disable=None):
        example = dataset[record]
        seen = set()
        for position, post in enumerate(example["post_ids"]):
            for field in fields:
                if field == "caption" or (field, post) not in seen:  # a caption is the image's own
                    seen.add((field, post))
                    yield field_text(example, position, field, comments, dataset.folder)


def text_fields(config: ConfigDict) -> tuple[dict[str, str], int]:
    """(the text fields that the network reads and the text that each holds, the most words of each)."""
    section = config[config.model.network]
    return sources(section.fields), section.words


def check(config: ConfigDict) -> None:
    """Raises ValueError where the network's text fields are unknown, or two of them have one name."""
    network = config.model.network
    if not all(isinstance(field, str) for field in config[network].fields):
        raise ValueError(f"config.{network}.fields is {config[network].fields}: give names, as ('post',)")
    fields, _ = text_fields(config)
    if unknown := sorted(set(fields.values()) - set(FIELDS)):
        raise ValueError(f"config.{network}.fields: {unknown} are not texts: take from {', '.join(FIELDS)}")
    given = config[network].fields
    if len(set(names(given))) < len(given) or any(field.startswith("image=") for field in given):
        raise ValueError(
            f"config.{network}.fields: {names(given)}: give each text a name of its own, and none of them 'image'"
        )
