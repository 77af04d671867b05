"""What a ranking says in sentences. None claims a cause: similar posts did so and so, which is all that is known."""

import math
from collections.abc import Sequence

from ipa_jax.applications.track_record import BETTER, CANNOT_TELL, FEWEST_POSTS, TOO_FEW_POSTS, WORSE, TrackRecord

TOP = 3  # similar posts that a sentence is about
ABOUT = 1.05  # up to this factor either way is "about the usual"


def photo_reason(local_scores: Sequence[float], familiar: bool) -> str:
    """One sentence about a photo.

    Args:
      local_scores: of the posts that it retrieves, the most similar first (eq. 3).
      familiar: whether its most similar post is about as similar as posts of the past found theirs.
    """
    if not local_scores:
        return "No post of yours can be compared with it."
    top = local_scores[:TOP]
    posts = "most similar post" if len(top) == 1 else f"{len(top)} most similar posts"
    did = times(math.exp(sum(map(math.log, top)) / len(top)))
    if not familiar:
        return f"Little of what you posted looks like it; the {posts} did {did}."
    return f"The {posts} did {did}."


def times(factor: float) -> str:
    """Likes over the mean of their time: "1.8 times your average then", or "about your average then"."""
    if 1 / ABOUT <= factor <= ABOUT:
        return "about your average then"
    return f"{factor:.{1 if factor >= 0.95 else 2}f} times your average then"


def verdict(record: TrackRecord) -> str:
    """What the account's own past says about the ranking, in a sentence or two."""
    if record.verdict == TOO_FEW_POSTS:
        return (
            f"Your history has {_posts(record.usable_posts)} that can be used, fewer than {FEWEST_POSTS}: too few to "
            "say how often this order is right."
        )
    figure = record.scorers[record.scorer]
    if figure.accuracy is None or record.newer_wins is None or record.older_wins is None:
        if any(other.pairs for other in record.scorers.values()):
            return "The export may have been trained on these posts, so they cannot tell how often its order is right."
        return "No two of your posts are close enough in time and far enough apart in likes to test this order on."
    tested = (
        f"of {figure.pairs} pairs of your own posts within {record.window_days} days whose likes differ by a factor "
        f"above {record.min_ratio:g}, this ranking would have put {100 * figure.accuracy:.0f} % in the right order"
    )
    simple = (
        f'"the newer one wins" is right for {100 * record.newer_wins:.0f} %, "the older one wins" for '
        f"{100 * record.older_wins:.0f} %"
    )
    if figure.interval is None:
        return f"Too few weeks to tell: {tested}; {simple}, a coin for 50 %."
    low, high = (100 * bound for bound in figure.interval)
    figures = f"{tested} (95 % interval {low:.0f} to {high:.0f} %); {simple}, a coin for 50 %"
    if record.verdict == BETTER:
        return f"{figures[0].upper()}{figures[1:]}."
    opening = {
        CANNOT_TELL: "This history cannot tell whether the ranking helps",
        WORSE: "A simple rule does better here",
    }
    return f"{opening[record.verdict]}: {figures}."


def _posts(count: int) -> str:
    return f"{count} post" + "s" * (count != 1)
