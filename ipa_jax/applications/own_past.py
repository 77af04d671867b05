"""Each post of the history ranked as if it were new, and each photo scored as the posts were (section 3.2.1).

Of a pair of posts within the window neither may see the other, nor anything of the window before it, not even in a
mean. So each post sees only posts that are older by more than the window (`past_only` with that lag), and everything
else that is learned from likes - the ridge, its strength, the standard deviations of `mean`, the choice of `auto` - is
learned at cuts in time, from the posts that the first post after the cut sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_builders.features.features import Features
from data_builders.groups import DAY
from data_builders.retrieval.top_k import Retrieved, retrieve, retrieve_new
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.pairs import PastPairs, past_pairs
from ipa_jax.applications.scorers import FEWEST, SCORERS, Asked, Model, available

AUTO = "auto"
CUTS = 20  # in time, over the posts that can be scored
NOW = np.iinfo(np.int64).max  # later than any post
EVIDENCE = 10  # earlier pairs that `auto` must know of a scorer to choose it


@dataclass(frozen=True)
class OwnPast:
    """The E posts of the history that could be scored, and what their scores say about scoring new photos.

    Attributes:
      pairs: the pairs to test on, rows of the bank; post e of this class is row `pairs.first + e`.
      cut: i32 [E], the cut in time that each post belongs to, of C.
      retrieved: of the E posts.
      scores: scorer -> f64 [E], NaN where a post was not scored; "auto": by the scorer chosen at the post's cut.
      correct: scorer -> f64 [N], per pair 1 where the post with more likes has the higher score, 1/2 for equal
        scores, NaN where one of them has none. "auto": both by the scorer chosen at the later post's cut.
      chosen: C + 1 names, the scorer that `auto` takes at each cut, and now.
      variant: scorer -> the variant to take now.
      spread: scorer -> the standard deviation of its scores over the E posts; of those that `mean` is made of.
    """

    pairs: PastPairs
    cut: np.ndarray
    retrieved: Retrieved
    scores: dict[str, np.ndarray]
    correct: dict[str, np.ndarray]
    chosen: tuple[str, ...]
    variant: dict[str, int]
    spread: dict[str, float]


def own_past(
    bank: HistoryBank, options: Mapping[str, Any], model: Model | None = None, window_days: int | None = None
) -> OwnPast:
    """Scores the posts of the history as if each were new.

    Args:
      bank: the history.
      options: `config.data` as a nested dict.
      model: scores posts by an export; None leaves that scorer out.
      window_days: of the pairs; None: the smallest of 7, 14, 28, ... days that gives enough pairs.

    Raises:
      ValueError: as `retrieve`.
    """
    images = bank.images
    pairs = past_pairs(images.time, images.likes, options["pairs"]["min_ratio"], window_days)
    rows = np.arange(pairs.first, len(bank))
    step = max(1, -(-len(rows) // CUTS))
    cut = (np.arange(len(rows)) // step).astype(np.int32)
    horizon = np.append(images.time[rows[::step]] - pairs.window_days * DAY, NOW)  # of each cut; the last one is now
    seen = images.time < horizon[:, None]
    past = _options(options, pairs.window_days)
    asked = Asked(
        bank=bank,
        options=past,
        paths=tuple(bank.paths[row] for row in rows),
        features=bank.features.rows(rows),
        retrieved=_rows(retrieve(images, bank.features, past), rows),
        seen=seen,
        cut=cut,
        rows=rows,
        model=model,
    )
    earlier = seen[:, rows]
    scores: dict[str, np.ndarray] = {}
    variant: dict[str, int] = {}
    for name in available(model is not None):
        variants = SCORERS[name].score(asked)
        best = _best_variant(variants, asked.log_local[:, rows], earlier, SCORERS[name].default)
        scores[name], variant[name] = variants[best[cut], np.arange(len(rows))], int(best[-1])
        if np.isfinite(scores[name]).all():
            spread = asked.spread | {name: _spread(scores[name], earlier)}
            asked = replace(asked, above=asked.above | {name: scores[name]}, spread=spread)
    correct = {name: _correct(z, pairs) for name, z in scores.items()}
    chosen = _choose(correct, pairs.valid & (pairs.settled(images.time) < horizon[:, None]))
    scores[AUTO], correct[AUTO] = _follow(chosen, scores, correct, cut, pairs)
    spread_now = {name: float(values[-1]) for name, values in asked.spread.items()}
    return OwnPast(pairs, cut, asked.retrieved, scores, correct, chosen, variant, spread_now)


def score_new(
    bank: HistoryBank,
    past: OwnPast,
    paths: tuple[str, ...],
    features: Features,
    options: Mapping[str, Any],
    model: Model | None = None,
) -> tuple[dict[str, np.ndarray], Retrieved]:
    """Scores Q photos that are not posted yet. A photo's scores do not depend on the other photos.

    Args:
      bank, options, model: as for `own_past`.
      past: what `own_past` returned for them.
      paths: the Q files.
      features: of the Q photos.

    Returns:
      Scorer -> f64 [Q], "auto" by the scorer chosen now; and what the photos retrieve, as rows of the bank.
    """
    count, now = len(paths), _options(options, None)
    found = retrieve_new(np.zeros(count, np.int64), features, bank.images, bank.features, now)
    asked = Asked(
        bank=bank,
        options=now,
        paths=paths,
        features=features,
        retrieved=found,
        seen=np.ones((1, len(bank)), bool),
        cut=np.zeros(count, np.int32),
        rows=np.full(count, -1),
        model=model,
        spread={name: np.array([value]) for name, value in past.spread.items()},
    )
    scores: dict[str, np.ndarray] = {}
    for name in available(model is not None):
        scores[name] = SCORERS[name].score(asked)[past.variant[name]]
        if name in past.spread:
            asked = replace(asked, above=asked.above | {name: scores[name]})
    return scores | {AUTO: scores[past.chosen[-1]]}, found


def _options(options: Mapping[str, Any], lag_days: int | None) -> dict[str, Any]:
    """The build's options with each post in a train group of its own, seeing what is older than the lag; None: all."""
    memory = {**options["memory"], "exclude": "group", "past_only": lag_days is not None}
    if lag_days is not None:
        memory["min_lag_days"] = lag_days
    return {**options, "memory": memory, "split": {**options["split"], "by": "group"}}


def _rows(found: Retrieved, rows: np.ndarray) -> Retrieved:
    return Retrieved(**{name: values[rows] for name, values in vars(found).items()})


def _best_variant(variants: np.ndarray, actual: np.ndarray, earlier: np.ndarray, default: int) -> np.ndarray:
    """i64 [C + 1]: the variant with the least squared error over the earlier posts; the default without any.

    variants f64 [V, E]; actual f64 [C + 1, E], the log local score as known at each cut.
    """
    if len(variants) == 1:
        return np.zeros(len(earlier), np.int64)
    errors = np.stack([np.where(earlier, (z - actual) ** 2, 0).sum(axis=1) for z in variants])  # [V, C + 1]
    return np.where(earlier.any(axis=1), errors.argmin(axis=0), default)


def _spread(z: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """f64 [C + 1]: the standard deviation of the earlier posts' scores; 1 where there are too few, or all are equal."""
    values = [z[known].std() if known.sum() >= FEWEST else 0.0 for known in earlier]
    return np.array([value if value > 1e-9 else 1.0 for value in values])


def _correct(z: np.ndarray, pairs: PastPairs) -> np.ndarray:
    difference = z[pairs.later - pairs.first] - z[pairs.earlier - pairs.first]
    right = np.where(difference == 0, 0.5, (difference > 0) == (pairs.later_likes > pairs.earlier_likes))
    return np.where(np.isnan(difference), np.nan, right)


def _choose(correct: Mapping[str, np.ndarray], known: np.ndarray) -> tuple[str, ...]:
    """For each cut, the scorer that was right most often on the pairs known there (bool [C + 1, N]).

    Scorers are compared on the pairs that all of them scored. The first scorer is taken without enough pairs.
    """
    chosen = []
    for pairs in known:
        rights = {name: right[pairs] for name, right in correct.items()}
        rights = {name: right for name, right in rights.items() if np.isfinite(right).sum() >= EVIDENCE}
        if rights:
            shared = np.isfinite(np.stack(list(rights.values()))).all(axis=0)
            totals = {name: right[shared].sum() for name, right in rights.items()}
            chosen.append(max(totals, key=lambda name: totals[name]))  # the first of equals
        else:
            chosen.append(next(iter(correct)))
    return tuple(chosen)


def _follow(
    chosen: tuple[str, ...],
    scores: Mapping[str, np.ndarray],
    correct: Mapping[str, np.ndarray],
    cut: np.ndarray,
    pairs: PastPairs,
) -> tuple[np.ndarray, np.ndarray]:
    """The scores [E] and the pairs' correctness [N] of the sequence of chosen scorers.

    Where the chosen scorer has no score, the first one stands in.
    """
    first = next(iter(scores))
    z, right = scores[first].copy(), correct[first].copy()
    later_cut = cut[pairs.later - pairs.first]
    for number, name in enumerate(chosen[:-1]):
        here, there = (cut == number) & np.isfinite(scores[name]), (later_cut == number) & np.isfinite(correct[name])
        z[here], right[there] = scores[name][here], correct[name][there]
    return z, right
