"""What a trained network needs beside its parameters: the vocabulary and the accounts that its tables were made for.

vocabulary.json  the words (texts.py)
accounts.json    {"accounts": [...]}: row i + 1 of the table is the i-th; row 0 is for all others

Networks that read neither have no such files. Made from the train split, kept in the workdir, copied to the export.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from ipa_jax.input import texts
from ipa_jax.models import registry
from third_party_ports import checksums, files
from third_party_ports.reading import reading

if TYPE_CHECKING:
    from data_builders.dataset import GroupDataset

VOCABULARY, ACCOUNTS = "vocabulary.json", "accounts.json"
REMEDY = "train the network again"


class VocabularyError(ValueError):
    """A vocabulary of a run is missing or damaged. The message names the file."""


@dataclass(frozen=True)
class Vocabularies:
    """None: the network does not read it."""

    vocabulary: texts.Vocabulary | None = None
    accounts: tuple[str, ...] | None = None

    def save(self, folder: Path) -> None:
        """Writes the files that there are into a folder that exists."""
        if self.vocabulary is not None:
            self.vocabulary.save(folder / VOCABULARY)
        if self.accounts is not None:
            table = json.dumps({"accounts": self.accounts}, indent=0, ensure_ascii=False)
            files.write_text(folder / ACCOUNTS, table)


def load(
    folder: Path, config: ConfigDict, kind: type[Exception] = VocabularyError, remedy: str = REMEDY
) -> Vocabularies:
    """The vocabularies of an export, or of a folder that `for_run` made.

    Args:
      folder: of the files, and of their checksums.
      config: says what its network reads.
      kind, remedy: the error class of what the folder belongs to, and how to make that again.

    Raises:
      kind: a file is missing or damaged.
    """
    reads = {"texts", "account"} & set(registry.for_config(config).reads(config))
    if not reads:
        return Vocabularies()
    sums, vocabulary, accounts = checksums.read(folder, kind, remedy), None, None
    for part, name in (("texts", VOCABULARY), ("account", ACCOUNTS)):
        if part in reads and not (folder / name).is_file():
            raise kind(f"{folder / name} is missing: model.network {config.model.network} needs it to score; {remedy}")
    if "texts" in reads:
        content = sums.read(VOCABULARY)
        with reading(folder / VOCABULARY, kind, remedy):
            vocabulary = texts.load(content.decode())
    if "account" in reads:
        content = sums.read(ACCOUNTS)
        with reading(folder / ACCOUNTS, kind, remedy):
            accounts = tuple(map(str, json.loads(content)["accounts"]))
    return Vocabularies(vocabulary, accounts)


def make(dataset: GroupDataset, config: ConfigDict) -> Vocabularies:
    """From a train split. Raises ValueError where the network's tables have too few rows."""
    reads = registry.for_config(config).reads(config)
    vocabulary = accounts = None
    if "texts" in reads:
        fields, _ = texts.text_fields(config)
        held = tuple(dict.fromkeys(fields.values()))  # each text once, though two fields may hold it
        found = texts.corpus(dataset, held, config.texts.comments)
        vocabulary = texts.train(found, config.texts.words, config.texts.min_count)
    if "account" in reads:
        accounts = tuple(sorted(dataset.images["account"].unique().to_list()))
        if len(accounts) > config.data.top_n:
            raise ValueError(f"{dataset.folder} has {len(accounts)} accounts, more than data.top_n {config.data.top_n}")
    return Vocabularies(vocabulary, accounts)


def for_run(dataset: GroupDataset, config: ConfigDict, folder: Path, *, write: bool) -> Vocabularies:
    """The vocabularies of a run, read from its folder or made (and written there: by one process of a run)."""
    if folder.is_dir():
        try:
            return load(folder, config)
        except VocabularyError:
            pass  # damaged, or of another network: the same are made again
    vocabularies = make(dataset, config)
    if write and vocabularies != Vocabularies():
        folder.mkdir(parents=True, exist_ok=True)
        vocabularies.save(folder)
        checksums.write(folder)
    return vocabularies
