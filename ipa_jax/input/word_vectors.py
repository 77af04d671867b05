"""Word vectors from a text file, GloVe's or fastText's .vec, as rows of a network's word table (config.init.words).

A line is a word and its numbers, a space between them; fastText's first line tells how many lines of how many numbers
follow. Such files hold gigabytes and come from elsewhere: they are read line by line, and nothing is taken on trust.
Imports no jax.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ipa_jax.input.texts import Vocabulary

LONGEST = 1 << 20  # bytes of a line: a file of another kind is not read whole before it is refused


def fill(table: np.ndarray, file: Path, vocabulary: Vocabulary, field: str) -> tuple[np.ndarray, int]:
    """A word table with the rows of the words that the file holds replaced, and how many these are.

    Args:
      table: float32 [rows, width]; row n is of the vocabulary's word number n. Rows of other words are kept.
      vocabulary: its words are lower-cased, and found in the file as they are; of a repeated word the first counts.
      field: of the config, which sets `width`; for messages.

    Raises ValueError naming file and line where one is of another form or width, or a vector that is taken is not
    finite; and for a file that ends early or holds no word of the vocabulary.
    """
    table = np.array(table)
    wanted = {word.encode(): row for row, word in enumerate(vocabulary.words(range(2, 2 + len(vocabulary))), 2)}
    words, width = len(wanted), table.shape[1]
    read, told = 0, None
    for number, line in _lines(file):
        if number == 1:
            first = line.split(b" ")
            header = len(first) == 2 and all(part.isdigit() for part in first)
            found = int(first[1]) if header else len(first) - 1
            if found != width:
                raise ValueError(
                    f"{file}, line 1: vectors of {found} numbers, but {field} is {width}: set --{field}={found}, or "
                    "name a text file of `word number number ...` lines of that width"
                )
            if header:
                told = int(first[0])
                continue
        word, *numbers = line.rsplit(b" ", width)  # from the right: some of GloVe's words hold spaces
        if len(numbers) < width or _number(word.rpartition(b" ")[2] if b" " in word else b"") is not None:
            raise ValueError(f"{file}, line {number}: not a word and {width} numbers; get the file again")
        read += 1
        if (row := wanted.pop(word, None)) is not None:
            vector = [_number(text) for text in numbers]
            if None in vector:
                raise ValueError(f"{file}, line {number}: not {width} finite numbers; get the file again")
            table[row] = vector
    if told is not None and read != told:
        raise ValueError(f"{file}: line 1 tells of {told} vectors, {read} follow: it was cut; get the file again")
    if len(wanted) == words:
        raise ValueError(f"{file} holds none of the vocabulary's {words} words: is it of another language?")
    return table, words - len(wanted)


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and content of each line that is not blank."""
    with (
        open(file, "rb") as lines,
        tqdm(total=file.stat().st_size, unit="B", unit_scale=True, desc=f"read {file.name}", disable=None) as bar,
    ):
        for number, line in enumerate(iter(lambda: lines.readline(LONGEST), b""), 1):
            if len(line) == LONGEST:
                raise ValueError(f"{file}, line {number}: longer than {LONGEST} bytes: not a text file of word vectors")
            bar.update(len(line))
            if line := line.rstrip():
                yield number, line


def _number(text: bytes) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
