"""Reads a pickle as data. What it would build and call is written down; nothing is looked up, imported or run.

Python's own unpickler runs what a pickle names. Even with every name replaced by a stand-in, a pickle of some hundred
bytes can keep it busy for years (nested tuples as keys of a dict) or ask it for gigabytes. Here each opcode costs a
bounded time and a bounded memory, and there is a limit on opcodes. Python's pickletools defines the opcodes.
"""

import pickletools
from collections.abc import Callable
from io import BytesIO
from mmap import mmap
from typing import Any, NamedTuple

MOST_OPCODES = 500_000  # a checkpoint of 1,000 tensors with its optimizer has about 100,000; takes a second
PLAIN = (type(None), bool, int, float, str, bytes)
WHOLE = range(-(2**63), 2**63)  # whole numbers that may be keys: larger ones can share a hash


class PickledError(ValueError):
    """A pickle is damaged, or asks for what no checkpoint needs."""


class Name(NamedTuple):
    """A class or function that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Object:
    """What a pickle would make by calling something.

    Attributes:
      function: what it would call: a `Name`, or anything else in a damaged file.
      arguments: of the call.
      items: entries of a dict or of a class derived from dict.
      state: what the object's attributes would be; None: nothing.
    """

    __slots__ = ("arguments", "function", "items", "state")

    def __init__(self, function: Any, arguments: Any):
        self.function, self.arguments = function, arguments
        self.items: dict[str | int, Any] = {}
        self.state: Any = None


class Reference:
    """An object outside the pickle, by the `id` that the pickle has for it."""

    __slots__ = ("id",)

    def __init__(self, id: Any):
        self.id = id


class Pickled(NamedTuple):
    """A pickle's content.

    Attributes:
      value: None, bool, int, float, str, bytes, tuple, list, dict with keys of str or int, `Name`, `Object` or
        `Reference`. It may contain itself.
      names: every name in it.
      references: every reference in it, in order.
    """

    value: Any
    names: set[Name]
    references: list[Reference]


def read(source: bytes | mmap) -> Pickled:
    """Reads a pickle from bytes, or the next one from a mapped file, which is then at the pickle's end.

    Raises:
      PickledError: it has too many opcodes, or names something by anything but a text.
      Exception: it is damaged; pickletools raises ValueError, the rest may be IndexError, KeyError or TypeError.
    """
    machine = _Machine()
    # genops reads a mmap as well; its stub does not say so.
    file: Any = BytesIO(source) if isinstance(source, bytes) else source
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count == MOST_OPCODES:
            raise PickledError(f"its pickle has more than {MOST_OPCODES:,} steps")
        machine.step(opcode.name, argument)
    return Pickled(machine.stack.pop(), machine.names, machine.references)


class _Machine:
    """The pickle machine: a stack, the marks in it, and a memo."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.names: set[Name] = set()
        self.references: list[Reference] = []

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in VALUES:
            self.stack.append(bytes(argument) if type(argument) is bytearray else argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in STEPS:
            STEPS[opcode](self, argument)
        elif opcode not in NOTHING:
            raise PickledError(f"its pickle has the step {opcode}, which no checkpoint needs")

    def above_mark(self) -> list[Any]:
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def put(self, place: int) -> None:
        if not 0 <= place <= MOST_OPCODES:
            raise PickledError(f"its pickle holds an impossible number, {place}")
        self.memo[place] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def name(self, text: str | None) -> None:
        module, name = text.split(" ", 1) if text is not None else (self.stack.pop(-2), self.stack.pop())
        if not (type(module) is str and type(name) is str):
            raise PickledError("its pickle names a class by something other than text")
        self.names.add(found := Name(module, name))
        self.stack.append(found)

    def call(self, _: Any) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = Object(self.stack[-1], arguments)

    def call_with_keywords(self, _: Any) -> None:
        self.stack.pop()
        self.call(None)

    def call_marked(self, text: str | None) -> None:
        """INST names what it calls; OBJ has it above the mark."""
        arguments = self.above_mark()
        if text is not None:
            self.name(text)
            arguments.insert(0, self.stack.pop())
        self.stack.append(Object(arguments[0], tuple(arguments[1:])))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Object):
            self.stack[-1].state = state

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)

    def set_items(self, flat: list[Any]) -> None:
        owner = self.stack[-1]
        items = owner.items if isinstance(owner, Object) else owner
        if type(items) is not dict or len(flat) % 2:
            raise PickledError("its pickle sets entries of something that is no dict")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if type(key) is str or (type(key) is int and key in WHOLE):
                items[key] = value
            elif not _is_other_key(key):
                raise PickledError("its pickle has a dict with a key that is neither text nor a number")

    def refer(self, id: Any) -> None:
        self.references.append(Reference(id))
        self.stack.append(self.references[-1])


def _is_other_key(key: Any) -> bool:
    """Whether a dict may have this key beside names. Its entry is left out, because no tensor is called so."""
    parts = key if type(key) is tuple else (key,)
    return all(type(part) in PLAIN or isinstance(part, Name | Object) for part in parts)


def _new_dict(machine: _Machine, _: Any) -> None:
    flat = machine.above_mark()
    machine.stack.append({})
    machine.set_items(flat)


VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NOTHING = ("PROTO", "FRAME", "STOP")
SET = Name("builtins", "set")
STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.above_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_SET": lambda m, _: m.stack.append(Object(SET, ())),
    "FROZENSET": lambda m, _: m.stack.append(Object(SET, (m.above_mark(),))),
    "ADDITEMS": lambda m, _: m.above_mark(),
    "LIST": lambda m, _: m.stack.append(m.above_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.above_mark())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "DICT": _new_dict,
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, _: m.extend(m.above_mark()),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.above_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GET": lambda m, place: m.stack.append(m.memo[place]),
    "BINGET": lambda m, place: m.stack.append(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.stack.append(m.memo[place]),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "INST": _Machine.call_marked,
    "OBJ": _Machine.call_marked,
    "BUILD": _Machine.build,
    "PERSID": _Machine.refer,
    "BINPERSID": lambda m, _: m.refer(m.stack.pop()),
}
