"""How often a ranking was right on the account's own past, and whether that says anything (section 4.1.2).

Pairs of posts close in time are not independent. So the interval draws blocks of time, each as long as the window, and
under 10 blocks there is none.
"""

from dataclasses import dataclass

import numpy as np

from data_builders.groups import DAY
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import AUTO, OwnPast
from ipa_jax.applications.scorers import SCORERS
from ipa_jax.metrics import bootstrap

FEWEST_POSTS = 30  # usable posts, below which nothing is said about accuracy
FEWEST_BLOCKS = 10  # blocks of time, below which there is no interval
DRAWS = 1000  # of the bootstrap

TOO_FEW_POSTS, TOO_FEW_WEEKS, CANNOT_TELL = "too few posts", "too few weeks", "cannot tell"
WORSE, BETTER = "worse than a simple rule", "better than chance"  # verdicts


@dataclass(frozen=True)
class Figure:
    """How often one scorer was right.

    Attributes:
      heading: its name for people.
      for_choosing: False for single scorers beside `auto`: the best of several figures flatters itself.
      accuracy: the share of valid pairs that it put in order, ties 1/2; None without a pair.
      interval: its 95 % interval (low, high); None with too few blocks of time.
      pairs: number of valid pairs that it scored.
      all_pairs_accuracy, all_pairs: the same over pairs of any ratio of likes.
    """

    heading: str
    for_choosing: bool
    accuracy: float | None
    interval: tuple[float, float] | None
    pairs: int
    all_pairs_accuracy: float | None
    all_pairs: int


@dataclass(frozen=True)
class TrackRecord:
    """What a history says about a ranking of new photos.

    Attributes:
      scorer: the one that the verdict is about, "auto" included.
      verdict: TOO_FEW_POSTS, TOO_FEW_WEEKS, CANNOT_TELL, WORSE or BETTER.
      usable_posts, scored_posts: posts of the bank, and those with enough of a past to be scored.
      window_days: the most days between the posts of a pair, and the least age of what a post's score knows.
      relative_likes: whether likes were compared over the median of their time, because the window grew.
      min_ratio: of likes in a valid pair.
      blocks: blocks of time with a valid pair.
      scorers: name -> figure, "auto" first.
      newer_wins, older_wins: accuracy of these rules on the scorer's valid pairs; None without a pair.
      difference: the scorer's accuracy minus that of the better rule; None without a pair.
      difference_interval: its 95 % interval, paired; None with too few blocks.
    """

    scorer: str
    verdict: str
    usable_posts: int
    scored_posts: int
    window_days: int
    relative_likes: bool
    min_ratio: float
    blocks: int
    scorers: dict[str, Figure]
    newer_wins: float | None
    older_wins: float | None
    difference: float | None
    difference_interval: tuple[float, float] | None


def track_record(bank: HistoryBank, past: OwnPast, min_ratio: float, scorer: str = AUTO, seed: int = 0) -> TrackRecord:
    """The figures of all scorers, and the verdict on one.

    Args:
      bank: the history.
      past: what `own_past` returned for it.
      min_ratio: as `own_past` had it.
      scorer: the one that ranks the photos.
      seed: of the bootstrap's draws.
    """
    pairs = past.pairs
    block = np.zeros(0, np.int64)
    if len(pairs.later):
        later = bank.images.time[pairs.later]
        block = (later - bank.images.time[pairs.first]) // (pairs.window_days * DAY)
    newer = (pairs.later_likes > pairs.earlier_likes).astype(np.float64)
    newer[bank.images.time[pairs.later] == bank.images.time[pairs.earlier]] = 0.5
    figures = {
        name: _figure(name, past.correct[name], pairs.valid, block, name == scorer, seed)
        for name in sorted(past.correct, key=lambda name: name != AUTO)
    }
    right = past.correct[scorer]
    judged = pairs.valid & np.isfinite(right)
    wins = float(newer[judged].mean()) if judged.any() else None
    difference = difference_interval = None
    if wins is not None:
        rule = newer if wins >= 0.5 else 1 - newer
        margin = (right - rule)[judged]
        difference, difference_interval = float(margin.mean()), block_interval(margin, block[judged], seed)
    return TrackRecord(
        scorer=scorer,
        verdict=_verdict(len(bank), figures[scorer].interval, difference_interval),
        usable_posts=len(bank),
        scored_posts=len(past.cut),
        window_days=pairs.window_days,
        relative_likes=pairs.relative,
        min_ratio=min_ratio,
        blocks=len(np.unique(block[judged])),
        scorers=figures,
        newer_wins=wins,
        older_wins=None if wins is None else 1 - wins,
        difference=difference,
        difference_interval=difference_interval,
    )


def block_interval(values: np.ndarray, block: np.ndarray, seed: int) -> tuple[float, float] | None:
    """The 95 % interval of the mean of `values` f64 [N], drawing whole blocks [N]; None with fewer than 10 blocks."""
    _, unit = np.unique(block, return_inverse=True)
    units = int(unit.max()) + 1 if len(unit) else 0
    if units < FEWEST_BLOCKS:
        return None
    times = bootstrap.draw(units, DRAWS, seed)
    found = bootstrap.interval((times @ np.bincount(unit, values)) / (times @ np.bincount(unit)))
    return None if found is None else (found[0], found[1])


def _figure(
    name: str, correct: np.ndarray, valid: np.ndarray, block: np.ndarray, for_choosing: bool, seed: int
) -> Figure:
    known = np.isfinite(correct)
    judged = valid & known
    return Figure(
        heading="Chosen at each time" if name == AUTO else SCORERS[name].heading,
        for_choosing=for_choosing,
        accuracy=float(correct[judged].mean()) if judged.any() else None,
        interval=block_interval(correct[judged], block[judged], seed),
        pairs=int(judged.sum()),
        all_pairs_accuracy=float(correct[known].mean()) if known.any() else None,
        all_pairs=int(known.sum()),
    )


def _verdict(posts: int, interval: tuple[float, float] | None, difference: tuple[float, float] | None) -> str:
    if posts < FEWEST_POSTS:
        return TOO_FEW_POSTS
    if interval is None or difference is None:
        return TOO_FEW_WEEKS
    if interval[1] < 0.5 or difference[1] < 0:
        return WORSE
    if interval[0] <= 0.5 or difference[0] <= 0:
        return CANNOT_TELL
    return BETTER
