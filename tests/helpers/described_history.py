"""The history of red and blue photos with its features: described once for all workers of a test run."""

from pathlib import Path

import numpy as np

from ipa_jax.applications.account import open_account
from tests.helpers import red_and_blue
from tests.helpers.shared_world import once


def history(place: Path) -> Path:
    """place/described_history, 70 posts of ann. Copy the folder before you change it: its features come along."""

    def make(folder: Path) -> None:
        red_and_blue.write_history(folder, np.random.default_rng(0))
        open_account(folder)

    return once(place / "described_history", make)
