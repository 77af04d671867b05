"""What PARA says of a model: correlations with both banks, what the bank changed, and the sentence for it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ipa_jax.applications.para.ratings import Photos
from ipa_jax.metrics.correlations import DRAWS, pearson, spearman, with_intervals
from ipa_jax.metrics.display import interval, number

BANK, EMPTY = WAYS = ("bank", "empty")
LEAD = f"{BANK} - {EMPTY}"
SAME = 0.005  # two correlations that surely differ by less are the same
HEADINGS = {
    "point_biserial": "Point-biserial correlation of z and willing or not",
    "point_biserial_of_s": "The same of the score s = exp(z)",
    "spearman": "Rank correlation of z and the mean rate",
}


def correlations(z: Mapping[str, np.ndarray], photos: Photos, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """The correlations of HEADINGS with both banks, and their differences.

    Args:
      z: BANK and EMPTY -> f64 [N].
      photos: the N photos.
      draws, seed: of the bootstrap, over photos and over whole sessions.
    Returns:
      For each of HEADINGS what `with_intervals` returns, with "images_interval" and "sessions_interval".
    """
    units = {"images": np.arange(len(photos)), "sessions": photos.session}
    willing = photos.willing.astype(np.float64)
    s = {way: np.exp(values - values.max()) for way, values in z.items()}
    return {
        "point_biserial": with_intervals(pearson, z, willing, units, draws=draws, seed=seed),
        "point_biserial_of_s": with_intervals(pearson, s, willing, units, draws=draws, seed=seed),
        "spearman": with_intervals(spearman, z, photos.mean, units, draws=draws, seed=seed),
    }


def verdict(found: Mapping[str, Any], reads_retrieval: bool) -> str:
    """What retrieval changed, in a sentence.

    Args:
      found: of `correlations`.
      reads_retrieval: whether the network reads what is retrieved.
    """
    if not reads_retrieval:
        return "Retrieval played no part: this network does not read it, so both banks give the same scores."
    lead = found["point_biserial"][LEAD]
    over = "sessions" if lead["sessions_interval"] else "images"
    bounds, difference = lead[f"{over}_interval"], lead["value"]
    if difference is None or bounds is None:
        return "Whether retrieval played a part cannot be said: there are too few photos, or all scores are equal."
    with_bank, without = (number(found["point_biserial"][way]["value"], 3) for way in WAYS)
    told = (
        f"with the bank of train images the correlation is {with_bank}, with an empty one {without}. The difference is "
        f"{difference:+.3f} (95 % interval {interval(bounds, 3)}, over {over})."
    )
    if max(map(abs, bounds)) < SAME:
        return f"Retrieval played no part, as both banks give the same correlation: {told}"
    if bounds[0] <= 0 <= bounds[1]:
        return f"Retrieval played no part that can be seen: {told}"
    return f"Retrieval played a part: {told}"
