"""Reads M2 Transformer's `vocab.pkl` without trusting it.

The file's hash must be the published one. Then it is read as data (checkpoints/pickled.py), and names four classes at
most.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from third_party_ports.checkpoints import pickled
from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.checkpoints.zoo import checkpoint
from third_party_ports.m2_transformer.text import check_words, save_vocabulary


class Published(NamedTuple):
    """What is known about the file.

    Attributes:
      size, sha256: of the file, in bytes and hexadecimal digits.
      words: how many it holds.
      words_sha256: of the words, joined by line feeds.
    """

    size: int
    sha256: str
    words: int
    words_sha256: str


NAMES = {"data.vocab.Vocab", "data.vocab._default_unk_index", "collections.Counter", "collections.defaultdict"}
_ROW = checkpoint("m2_vocab")
assert _ROW.bytes and _ROW.sha256  # both were published
OFFICIAL = Published(
    _ROW.bytes, _ROW.sha256, 10_201, "4e7936559ba1611c635c02b759944957817e174ff5be80ef31845c1712dee80e"
)


def convert_vocabulary(path: str | Path, out: str | Path) -> str:
    """Converts `vocab.pkl` to JSON. Returns what was written, in words. Raises WeightsError or OSError."""
    words = read_vocabulary(path)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_vocabulary(words, out)
    return f"{len(words):,} words -> {out}"


def read_vocabulary(path: str | Path, published: Published = OFFICIAL) -> list[str]:
    """Reads the words of `vocab.pkl`. Raises WeightsError unless it is the published file."""
    remedy = f"Take vocab.pkl from the root of {_ROW.page}, as the raw file: Git may have changed its bytes."
    if not Path(path).is_file():
        raise WeightsError(f"{path}: this file does not exist. {remedy}")
    data = Path(path).read_bytes()
    if (len(data), hashlib.sha256(data).hexdigest()) != published[:2]:
        raise WeightsError(
            f"{path}: this is not the published file of {published.size} bytes: it has {len(data)} bytes, or another "
            f"sha256. {remedy}"
        )
    try:
        words = check_words(pickled_words(data))
        if len(words) != published.words:
            raise ValueError(f"{len(words)} words, not {published.words}")
        if hashlib.sha256("\n".join(words).encode()).hexdigest() != published.words_sha256:
            raise ValueError("the words are not the published ones")
    except ValueError as error:
        raise WeightsError(f"{path}: {error}. {remedy}") from error
    return words


def pickled_words(data: bytes) -> object:
    """Returns the attribute `itos` of a pickled `data.vocab.Vocab`. Nothing in the pickle is looked up or run.

    Raises:
      ValueError: it holds anything else, or names what no vocabulary needs.
    """
    try:
        found = pickled.read(data)
        if foreign := {f"{name}" for name in found.names} - NAMES:
            raise ValueError(f"it asks for {min(foreign)}")
        if not isinstance(found.value, pickled.Object) or str(found.value.function) != "data.vocab.Vocab":
            raise ValueError("it holds something else")
        return found.value.state["itos"]
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"not a pickled vocabulary ({type(error).__name__}: {error})") from error
