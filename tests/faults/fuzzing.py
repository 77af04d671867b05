"""Campaign "fuzz": the readers of strangers' files and flags, on inputs that tests.helpers.fuzz changes."""

import itertools
import warnings
from collections.abc import Iterator

from tests.faults.trials import Kind, Place, Trial
from tests.helpers import fuzz

AT_ONCE = 20  # trials of one reader, which make its example once


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """Changed inputs, over each reader in turn (or those that are named)."""
    for number in itertools.count():
        for name in names or fuzz.TARGETS:
            seed = place.rng.randrange(1 << 40)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about what the changed files hold
                found = fuzz.fuzz(name, AT_ONCE, seed, place.scratch / f"fuzz/{name}-{number}")
            told = f"from seed {seed} on: {found.examples}"
            for kind, count in _kinds(found).items():
                yield from [Trial(f"fuzz, {name}", kind, told)] * count


def _kinds(found: fuzz.Outcome) -> dict[Kind, int]:
    faults = {Kind.SILENT: found.wrong, Kind.TRACEBACK: found.tracebacks, Kind.HANG: found.hangs}
    return faults | {
        Kind.REFUSED: found.refused,
        Kind.UNCHANGED: found.trials - found.refused - sum(faults.values()),
    }
