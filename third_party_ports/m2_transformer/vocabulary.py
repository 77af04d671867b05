"""Reads M2 Transformer's `vocab.pkl` without trusting it: the published hash first, then an unpickler that knows four
names, each an inert stand-in, and imports nothing."""

import hashlib
import io
import pickle
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from third_party_ports.checkpoints.weights import WeightsError
from third_party_ports.m2_transformer.text import check_words


class Published(NamedTuple):
    """What is known of the file: its bytes and their sha256; its words and the sha256 of them joined by line feeds."""

    size: int
    sha256: str
    words: int
    words_sha256: str


OFFICIAL = Published(
    649_714,
    "5147ffb3199059507effa4bb00800c07bd704902c8dc1bd1529fcca432aa945a",
    10_201,
    "4e7936559ba1611c635c02b759944957817e174ff5be80ef31845c1712dee80e",
)


def read_vocabulary(path: str | Path, published: Published = OFFICIAL) -> list[str]:
    """The words of `vocab.pkl` by index. Raises WeightsError, naming the file, unless it is the published one."""
    remedy = (
        "Take vocab.pkl from the root of https://github.com/aimagelab/meshed-memory-transformer (Git may have replaced "
        "its bytes on the way: fetch the raw file)."
    )
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no such file. {remedy}")
    data = Path(path).read_bytes()
    if (len(data), hashlib.sha256(data).hexdigest()) != published[:2]:
        raise WeightsError(
            f"{path}: {len(data)} bytes of another sha256 than the published {published.size} bytes. {remedy}"
        )
    try:
        words = unpickled_words(data)
        check_words(words)
        if len(words) != published.words:
            raise ValueError(f"{len(words)} words, not {published.words}")
        if hashlib.sha256("\n".join(words).encode()).hexdigest() != published.words_sha256:
            raise ValueError("other words than the published ones")
    except ValueError as error:
        raise WeightsError(f"{path}: {error}. {remedy}") from error
    return words


def unpickled_words(data: bytes) -> object:
    """The attribute `itos` of a pickled `data.vocab.Vocab`. Raises ValueError for anything else, before a foreign name
    is looked up."""
    vocab = type("Vocab", (), {})  # made anew: a pickle may set attributes, even those of a class
    stand_ins = {
        ("data.vocab", "Vocab"): vocab,
        ("data.vocab", "_default_unk_index"): lambda: 0,
        ("collections", "Counter"): lambda counts=(): dict(counts),
        ("collections", "defaultdict"): lambda factory=None: defaultdict(lambda: 0),
    }

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) not in stand_ins:
                raise pickle.UnpicklingError(f"it asks for {module}.{name}")
            return stand_ins[module, name]

        def persistent_load(self, pid):
            raise pickle.UnpicklingError("it refers to objects outside the file")

    try:
        result = Reader(io.BytesIO(data)).load()
        if type(result) is not vocab:
            raise ValueError("it holds something else")
        return vars(result)["itos"]
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"not a pickled vocabulary ({type(error).__name__}: {error})") from error
