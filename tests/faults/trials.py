"""What a trial of a campaign ends with, and how trials are counted."""

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Kind(StrEnum):
    """How a trial ended."""

    REFUSED = "refused by name"  # one line or one error of ours, which names the place
    UNCHANGED = "unchanged value"  # the same figures, scores and arrays as without the fault
    SILENT = "silent wrong"  # status 0 and another value, or something half-written or deleted
    TRACEBACK = "tracebacks"  # another library's exception, a crash, or a message that names nothing
    HANG = "hangs"  # no end in time, or a process that stays
    SKIPPED = "skipped"  # not possible on this machine


FAULTS = (Kind.SILENT, Kind.TRACEBACK, Kind.HANG)
COLUMNS = (Kind.REFUSED, Kind.UNCHANGED, *FAULTS)


class Trial(NamedTuple):
    """One trial: what was done to what, how it ended, and what it said."""

    what: str
    kind: Kind
    said: str = ""


@dataclass
class Place:
    """Where campaigns work.

    Attributes:
      shared: holds world/ and trained/ (tests.helpers.shared_world), and what campaigns make of them.
      scratch: an empty folder for trials.
      rng: what is drawn.
    """

    shared: Path
    scratch: Path
    rng: random.Random


Campaign = Callable[[Place], Iterator[Trial]]  # yields trials without end


@dataclass
class Counts:
    """The trials of one campaign."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    faults: list[Trial] = field(default_factory=list)

    def add(self, trial: Trial) -> None:
        self.kinds[trial.kind] += 1
        if trial.kind in FAULTS:
            self.faults.append(trial)

    @property
    def trials(self) -> int:
        return sum(count for kind, count in self.kinds.items() if kind != Kind.SKIPPED)


class Hang(BaseException):
    """A trial in this process took too long. No reader may catch it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises Hang in the main thread where the block takes longer."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
