"""A short, seeded form of each campaign; `make faults` is the long one."""

import itertools
import random

import pytest

from tests.faults import __main__ as faults
from tests.faults.registry import CAMPAIGNS
from tests.faults.trials import FAULTS, Counts, Kind, Place, Trial, within

# Campaign: how many trials, and of which jobs or artefacts. Those that start processes are few.
SHORT = {
    "corruption": (250, ()),
    "kills": (1, ("build",)),
    "signals": (2, ("report", "demo-world")),
    "disks": (3, ("inspect", "report", "demo-world")),
    "two at once": (1, ("demo-world",)),
    "hostile": (60, ("checkpoints", "archives", "lists", "photos", "formats")),
    "pages": (120, ()),
}


@pytest.mark.filterwarnings("ignore")  # of libraries, about what damaged files hold
@pytest.mark.parametrize("name", SHORT)
def test_no_fault_is_found(name, shared, tmp_path):
    trials, names = SHORT[name]
    place = Place(shared, tmp_path, random.Random(1))
    counts = Counts()
    for trial in itertools.islice(CAMPAIGNS[name].run(place, names), trials):
        counts.add(trial)
    assert not counts.faults and counts.trials + counts.kinds[Kind.SKIPPED] == trials
    assert counts.kinds[Kind.REFUSED] or counts.kinds[Kind.UNCHANGED] or counts.kinds[Kind.SKIPPED]


def test_the_table_counts_what_must_not_be():
    counts = Counts()
    for kind in (Kind.REFUSED, Kind.REFUSED, Kind.SILENT, Kind.SKIPPED, Kind.HANG):
        counts.add(Trial("a", kind))
    assert counts.trials == 4 and [trial.kind for trial in counts.faults] == [Kind.SILENT, Kind.HANG]
    *_, row, total = faults.table({"one": counts})
    assert row == "| one | 4 | 2 | 0 | 1 | 0 | 1 |" and total.startswith("| **all** | 4 |")
    assert set(FAULTS) < set(Kind)


def test_what_takes_too_long_is_a_hang():
    from tests.faults.trials import Hang

    with pytest.raises(Hang), within(0.02):
        while True:
            pass
