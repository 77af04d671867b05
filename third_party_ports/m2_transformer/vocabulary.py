"""Reads M2 Transformer's `vocab.pkl` without trusting it.

The file's hash must be the published one. Then an unpickler reads it that knows four names, gives each an inert
stand-in, and imports nothing.
"""

import hashlib
import io
import pickle
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple, NoReturn

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
        words = check_words(unpickled_words(data))
        if len(words) != published.words:
            raise ValueError(f"{len(words)} words, not {published.words}")
        if hashlib.sha256("\n".join(words).encode()).hexdigest() != published.words_sha256:
            raise ValueError("the words are not the published ones")
    except ValueError as error:
        raise WeightsError(f"{path}: {error}. {remedy}") from error
    return words


def unpickled_words(data: bytes) -> object:
    """Returns the attribute `itos` of a pickled `data.vocab.Vocab`.

    Raises:
      ValueError: the pickle holds anything else. No foreign name is looked up before.
    """
    vocab = type("Vocab", (), {})  # a new class for each call, because a pickle may set a class's attributes
    stand_ins = {
        ("data.vocab", "Vocab"): vocab,
        ("data.vocab", "_default_unk_index"): lambda: 0,
        ("collections", "Counter"): lambda counts=(): dict(counts),
        ("collections", "defaultdict"): lambda factory=None: defaultdict(lambda: 0),
    }

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            if (module, name) not in stand_ins:
                raise pickle.UnpicklingError(f"it asks for {module}.{name}")
            return stand_ins[module, name]

        def persistent_load(self, pid: object) -> NoReturn:
            raise pickle.UnpicklingError("it refers to objects outside the file")

    try:
        result = Reader(io.BytesIO(data)).load()
        if type(result) is not vocab:
            raise ValueError("it holds something else")
        return vars(result)["itos"]
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"not a pickled vocabulary ({type(error).__name__}: {error})") from error
