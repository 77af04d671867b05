"""How many likes a photo may get, as a range: the usual likes, the score, and how far scores were off before.

The usual likes are the median of the last 20 posts. A residual of a post of the past is log(likes / usual) - score,
with everything as it was known to that post. A range spans the 10th to the 90th percentile of earlier residuals, so it
should hold four posts of five; how many it did hold is counted forwards in time.
"""

import math
from bisect import insort
from dataclasses import dataclass

import numpy as np

from data_builders.groups import DAY
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import OwnPast

LAST = 20  # posts whose median is the usual
FEWEST = 30  # residuals, below which there is no range
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True)
class ExpectedLikes:
    """What turns a score into a range of likes.

    Attributes:
      usual: the median likes of the last 20 posts.
      low, high: percentiles of the residuals, to be added to a score; None with fewer than 30.
      residuals: their number.
      coverage: the share of posts of the past whose likes lay in the range that they would have been given; None if
        none had 30 residuals before it.
      covered_of: the number of these posts.
    """

    usual: float
    low: float | None
    high: float | None
    residuals: int
    coverage: float | None
    covered_of: int

    def range(self, score: float) -> tuple[int, int] | None:
        """(fewest, most) likes for a score, whole numbers; None without enough residuals."""
        if self.low is None or self.high is None or not math.isfinite(score):
            return None
        low, high = (round(self.usual * math.exp(score + residual)) for residual in (self.low, self.high))
        return low, high


def expected_likes(bank: HistoryBank, past: OwnPast, scorer: str) -> ExpectedLikes:
    """Fits the range of one scorer, "auto" included, to the account's own past."""
    time, likes = bank.images.time, bank.images.likes
    first = past.pairs.first
    sees = np.searchsorted(time, time[first:] - past.pairs.window_days * DAY, side="left")  # posts that each knows
    usual = np.array([np.median(likes[max(0, end - LAST) : end]) for end in sees])
    residuals = np.log(likes[first:] / usual) - past.scores[scorer]
    before = np.maximum(sees - first, 0)  # of the E posts, those that each knows
    known: list[float] = []
    added = covered = judged = 0
    for residual, end in zip(residuals, before, strict=True):
        for other in residuals[added:end]:
            if math.isfinite(other):
                insort(known, float(other))
        added = max(added, end)
        if len(known) >= FEWEST and math.isfinite(residual):
            judged += 1
            covered += percentile(known, LOW) <= residual <= percentile(known, HIGH)
    known = sorted(residuals[np.isfinite(residuals)].tolist())
    enough = len(known) >= FEWEST
    return ExpectedLikes(
        usual=float(np.median(likes[-LAST:])) if len(likes) else 0.0,
        low=percentile(known, LOW) if enough else None,
        high=percentile(known, HIGH) if enough else None,
        residuals=len(known),
        coverage=covered / judged if judged else None,
        covered_of=judged,
    )


def percentile(ascending: list[float], share: float) -> float:
    """The value below which `share` of the values lie, linear between neighbours, as numpy.percentile."""
    place = share * (len(ascending) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (place - below) * (ascending[above] - ascending[below])
