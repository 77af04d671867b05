"""The campaigns, and their shares of the time."""

import importlib
from typing import NamedTuple

from tests.faults.trials import Campaign


class Entry(NamedTuple):
    """A campaign.

    Attributes:
      module: of this folder.
      share: of the time.
      silence: seconds without a trial after which it hangs.
    """

    module: str
    share: float
    silence: float

    @property
    def run(self) -> Campaign:
        return importlib.import_module(f"tests.faults.{self.module}").campaign


CAMPAIGNS = {
    "corruption": Entry("corruption", 0.15, 120),
    "kills": Entry("kills", 0.25, 1200),
    "signals": Entry("signals", 0.2, 1200),
    "disks": Entry("disks", 0.15, 1200),
    "two at once": Entry("two_at_once", 0.1, 1200),
    "hostile": Entry("hostile", 0.1, 200),
    "fuzz": Entry("fuzzing", 0.05, 200),
    "pages": Entry("pages", 0.03, 200),
}
