"""Pairs of an account's own past posts that a ranking is tested on.

As in the paper, a pair lies within a week and its likes differ by a ratio above 2 (eq. 8). An account that posts seldom
has few of these. Then the window grows until there are 50, and since likes drift over a longer time, what is compared
are the likes over the median of the account's other posts around that time.
"""

from dataclasses import dataclass

import numpy as np

from data_builders.groups import DAY, is_valid

WEEK = 7  # days, the paper's window
WANTED = 50  # pairs; with fewer the window grows
WARM_UP = 10  # posts that a post of the past must see to be scored
AROUND = 30  # days around a post, whose median makes likes of different times comparable
LARGEST = 4  # the window grows up to this part of the history, so that most posts still have a past


@dataclass(frozen=True)
class PastPairs:
    """N pairs of posts of one account, rows of its bank, sorted by (later, earlier).

    Attributes:
      window_days: the most days between the two. A post is scored from posts that are older by more than this.
      relative: whether `earlier_likes` and `later_likes` are over the usual likes of their time, not raw.
      first: the first row of the bank that can be scored, P where none can.
      earlier, later: i64 [N].
      earlier_likes, later_likes: i64 [N], to be compared within a pair only.
      valid: bool [N], whether the ratio of likes is above the least one (eq. 8).
    """

    window_days: int
    relative: bool
    first: int
    earlier: np.ndarray
    later: np.ndarray
    earlier_likes: np.ndarray
    later_likes: np.ndarray
    valid: np.ndarray

    def settled(self, time: np.ndarray) -> np.ndarray:
        """i64 [N], UTC seconds: no post after this time bears on a pair; time i64 [P] is that of the bank's posts."""
        return time[self.later] + (AROUND * DAY if self.relative else 0)

    def take(self, keep: np.ndarray) -> "PastPairs":
        """The pairs of a mask."""
        named = ("earlier", "later", "earlier_likes", "later_likes", "valid")
        arrays = {name: getattr(self, name)[keep] for name in named}
        return PastPairs(self.window_days, self.relative, self.first, **arrays)


def past_pairs(time: np.ndarray, likes: np.ndarray, min_ratio: float, window_days: int | None = None) -> PastPairs:
    """The pairs of posts that can be scored, of the smallest window of 7, 14, 28, ... days with 50 valid ones.

    Where no window has 50, it is the one with the most. Pairs with equal likes are left out.

    Args:
      time: i64 [P], UTC seconds, ascending.
      likes: i64 [P], at least 1.
      min_ratio: `config.data.pairs.min_ratio`.
      window_days: takes this window instead; above 7 days likes are compared over those of their time.
    """
    if window_days is not None:
        return _in_window(time, likes, min_ratio, window_days, relative=window_days > WEEK)
    best = _in_window(time, likes, min_ratio, WEEK, relative=False)
    span = (time[-1] - time[0]) / DAY if len(time) else 0
    window = 2 * WEEK
    while best.valid.sum() < WANTED and window <= span / LARGEST:
        grown = _in_window(time, likes, min_ratio, window, relative=True)
        if grown.valid.sum() > best.valid.sum():
            best = grown
        window *= 2
    return best


def scorable(time: np.ndarray, window_days: int) -> int:
    """The first post that sees WARM_UP posts or more, len(time) where none does; all later ones do too."""
    sees = np.searchsorted(time, time - window_days * DAY, side="left")
    return int(np.searchsorted(sees, WARM_UP, side="left"))


def _in_window(time: np.ndarray, likes: np.ndarray, min_ratio: float, window_days: int, relative: bool) -> PastPairs:
    first = scorable(time, window_days)
    later = np.arange(first, len(time))
    oldest = np.maximum(np.searchsorted(time, time[later] - window_days * DAY, side="left"), first)
    count = later - oldest
    later = np.repeat(later, count)
    earlier = np.arange(len(later)) - np.repeat(np.cumsum(count) - count - oldest, count)
    a, b = likes[earlier], likes[later]
    keep = np.ones(len(later), bool)
    if relative:
        usual_a, usual_b = medians(time, likes, earlier, later), medians(time, likes, later, earlier)
        keep = (usual_a > 0) & (usual_b > 0)  # a post with no other around it has nothing to be compared with
        a, b = a * usual_b, b * usual_a  # the order of a / usual_a and b / usual_b, in whole numbers
    pairs = PastPairs(window_days, relative, first, earlier, later, a, b, is_valid(a, b, min_ratio))
    return pairs.take(keep & (a != b))


def medians(time: np.ndarray, likes: np.ndarray, post: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Twice the median likes of the posts within 30 days of each `post`, but for itself and its `partner`.

    Args:
      time, likes: i64 [P], as `past_pairs`.
      post, partner: i64 [N], rows, different in each pair.

    Returns:
      i64 [N], 0 where there is no other post. Twice the median is a whole number.
    """
    out = np.zeros(len(post), np.int64)
    order = np.argsort(post, kind="stable")
    rows, starts = np.unique(post[order], return_index=True)
    low = np.searchsorted(time, time[rows] - AROUND * DAY, side="left")
    high = np.searchsorted(time, time[rows] + AROUND * DAY, side="right")
    for row, mine, begin, end in zip(rows, np.split(order, starts)[1:], low, high, strict=True):
        others = np.delete(np.arange(begin, end), row - begin)
        by_likes = others[np.argsort(likes[others], kind="stable")]
        place = np.full(end - begin + 1, len(others))  # of each post among the sorted ones; the last entry: outside
        place[by_likes - begin] = np.arange(len(others))
        inside = (partner[mine] >= begin) & (partner[mine] < end)
        left_out = place[np.where(inside, partner[mine] - begin, -1)]
        left = len(others) - inside
        sorted_likes = np.append(likes[by_likes], [0, 0])
        halves = [middle + (middle >= left_out) for middle in ((left - 1) // 2, left // 2)]
        out[mine] = np.where(left > 0, sum(sorted_likes[np.maximum(half, 0)] for half in halves), 0)
    return out
