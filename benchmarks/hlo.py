"""What a compiled program says about its devices, read from the text that `compiled.as_text()` gives.

Sums over devices (all-reduces): their bytes, and what runs between their start and their end. Donated buffers: which
arguments the results overwrite. Scattered additions, whose order is not fixed on a GPU.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][a-z0-9-]*)\((.*)$")
_ALIAS = re.compile(r"\{[\d, ]*\}: \((\d+), \{\}")
WORK = {"call", "conditional", "convolution", "custom-call", "dot", "fusion", "reduce", "sort", "while"}


class Instruction(NamedTuple):
    """A line of the program: its name, the type of its result, what it does, and the rest of the line."""

    name: str
    type: str
    opcode: str
    rest: str


class AllReduce(NamedTuple):
    """A sum over devices.

    Attributes:
      arrays: how many are summed at once.
      bytes: of all of them, on one device.
      meanwhile: fusions, products and convolutions that are scheduled between its start and its end; None where it is
        one instruction, during which its device computes nothing else.
    """

    arrays: int
    bytes: int
    meanwhile: int | None


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a program in the order of its text, which is that of its schedule."""
    for line in text.splitlines():
        if found := _INSTRUCTION.match(line):
            yield Instruction(*found.groups())


def type_bytes(type_: str) -> int:
    """Bytes of a type, such as `f32[4,8]{1,0}` or a tuple of types."""
    return sum(_bytes(*found.groups()) for found in _ARRAY.finditer(type_))


def _bytes(name: str, bits: str | None, sides: str) -> int:
    count = 1
    for side in sides.split(",") if sides else ():
        count *= int(side)
    return count * (1 if name == "pred" else int(bits or 8) // 8)


def all_reduces(text: str) -> list[AllReduce]:
    """All sums over devices of a program, in the order of its schedule."""
    found, open_, work = [], {}, 0
    for line in instructions(text):
        work += line.opcode in WORK
        if line.opcode in ("all-reduce", "all-reduce-start"):
            arrays, size = len(_ARRAY.findall(line.type)), type_bytes(line.type)
            if line.opcode == "all-reduce-start":
                open_[line.name] = (len(found), work)
            found.append(AllReduce(arrays, size, None))
        elif line.opcode == "all-reduce-done":
            number, before = open_.pop(line.rest.split(")")[0].strip("%"))
            found[number] = found[number]._replace(meanwhile=work - before)
    return found


def donated(text: str) -> set[int]:
    """The numbers of the arguments whose memory results take over (`input_output_alias`)."""
    header = text.partition("\n")[0]
    _, _, aliases = header.partition("input_output_alias={")
    return {int(number) for number in _ALIAS.findall(aliases.partition("entry_computation_layout")[0])}


def scatters(text: str) -> list[Instruction]:
    """The instructions that add rows to places which other instructions, or threads, may add to as well."""
    return [line for line in instructions(text) if line.opcode in ("scatter", "select-and-scatter")]
