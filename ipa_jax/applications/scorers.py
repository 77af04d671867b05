"""How photos are scored from an account's history: the registry of scorers.

To add a scorer, write a function of an `Asked` and a row of SCORERS. A score is a log local score (eq. 3) in spirit: 0
is what the account's posts usually do, log 2 is twice that. A function may return several variants of its score;
`own_past` then takes, at each cut in time, the variant that was nearest to what earlier posts did.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from data_builders.features.features import Features
from data_builders.retrieval.local_score import local_scores, similarity_weighted
from data_builders.retrieval.top_k import Retrieved
from ipa_jax.applications.history_bank import HistoryBank

STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # of the ridge; without an earlier cut the second last is taken
FEWEST = 10  # posts a ridge is fitted to; below it says 0
MOST = 1000  # newest posts that a ridge is fitted to: its time grows with their cube


@dataclass(frozen=True)
class Asked:
    """Q photos to be scored, and what each of them may know of the account's P posts.

    Attributes:
      bank: the history.
      options: `config.data` as a nested dict.
      paths: file of each photo: below the history for its own posts, as the user gave it for new photos.
      features: of the Q photos.
      retrieved: what the Q photos retrieve.
      seen: bool [C, P], the posts whose likes may be read at each cut in time.
      cut: i32 [Q], the cut that each photo belongs to.
      rows: i64 [Q], the photo's row in the bank, -1 for a new photo.
      model: see `Model`; None without an export.
      above: scorer -> f64 [Q], the scores of the rows above in SCORERS, of those that scored every post of the past.
      spread: scorer -> f64 [C], the standard deviation of these over earlier posts of the past.
    """

    bank: HistoryBank
    options: Mapping[str, Any]
    paths: tuple[str, ...]
    features: Features
    retrieved: Retrieved
    seen: np.ndarray
    cut: np.ndarray
    rows: np.ndarray
    model: "Model | None" = None
    above: dict[str, np.ndarray] = field(default_factory=dict)
    spread: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def log_local(self) -> np.ndarray:
        """f64 [C, P]: the log local score of each post among those seen at a cut (eq. 3); 0 where it is not seen."""
        images = self.bank.images
        local, _ = local_scores(images.time, images.likes, self.seen, self.options["memory"])
        return np.log(np.where(self.seen, local, 1.0))


# z of an export's network for the photos of an Asked, f64 [Q]. NaN for a post that the export may have been trained on.
Model = Callable[[Asked], np.ndarray]


class Scorer(NamedTuple):
    """A row of SCORERS.

    Attributes:
      heading: the scorer's name for people.
      score: returns f64 [V, Q], V variants of the score; NaN where a photo cannot be scored.
      default: the variant to take where there is no past to choose by.
      needs_model: whether it can only run with an export.
    """

    heading: str
    score: Callable[[Asked], np.ndarray]
    default: int = 0
    needs_model: bool = False


def retrieval(asked: Asked) -> np.ndarray:
    """The mean log local score of the K most similar posts, weighted by S (eq. 1, 3); 0 without a similar one."""
    found = asked.retrieved
    return similarity_weighted(found.similarity[..., 0], found.local_score, found.mask)[None]


def probe(asked: Asked) -> np.ndarray:
    """A ridge regression of the log local score on [background, caption], a row per strength.

    It is fitted once per cut, to the posts seen there, with features standardised on these. In its dual form the size
    of the problem is the number of posts, not of features.
    """
    past, query = columns(asked.bank.features), columns(asked.features)
    out = np.zeros((len(STRENGTHS), len(query)))
    for cut in np.unique(asked.cut):
        fit, here = np.flatnonzero(asked.seen[cut])[-MOST:], asked.cut == cut
        if len(fit) < FEWEST:
            continue
        mean, scale = past[fit].mean(axis=0), past[fit].std(axis=0)
        scale = np.where(scale > 1e-6, scale, np.inf)  # a column that never changes says nothing
        known, new = (past[fit] - mean) / scale, (query[here] - mean) / scale
        gram = (known @ known.T).astype(np.float64) / known.shape[1]
        target = asked.log_local[cut, fit]
        level = target.mean()
        ridges = gram + np.array(STRENGTHS)[:, None, None] * np.eye(len(fit))
        weights = np.linalg.solve(ridges, np.broadcast_to((target - level)[:, None], (len(STRENGTHS), len(fit), 1)))
        near = (
            new.astype(np.float64) @ known.T / known.shape[1]
        )  # exact: it must not depend on how many photos there are
        out[:, here] = level + (near @ weights)[..., 0]
    return out


def model(asked: Asked) -> np.ndarray:
    """z of an export's network, given what the photos retrieve from this history."""
    assert asked.model is not None  # `available` leaves this row out otherwise
    return np.asarray(asked.model(asked), np.float64)[None]


def mean(asked: Asked) -> np.ndarray:
    """The mean of the scorers above, each divided by its standard deviation over posts of the past.

    The result is brought back to the mean of these deviations, so that it is a log of likes like the others.
    """
    spread = np.stack([asked.spread[name][asked.cut] for name in asked.above])  # [S, Q]
    return (np.stack(list(asked.above.values())) / spread).mean(axis=0, keepdims=True) * spread.mean(axis=0)


SCORERS: dict[str, Scorer] = {
    "retrieval": Scorer("Similar posts", retrieval),
    "probe": Scorer("Linear probe", probe, default=2),
    "model": Scorer("Trained model", model, needs_model=True),
    "mean": Scorer("Mean", mean),  # of the rows above
}


def available(with_model: bool) -> list[str]:
    """Names of the scorers that can run, in order."""
    return [name for name, row in SCORERS.items() if with_model or not row.needs_model]


def columns(features: Features) -> np.ndarray:
    """What the probe reads: float32 [I, D], the unit background and the unit caption vector, of those stored.

    Raises:
      ValueError: neither is stored.
    """
    parts = [part for part in (features.background, features.caption) if part is not None]
    if not parts:
        raise ValueError("the features hold neither a background nor a caption vector, which the probe reads")
    units = []
    for part in parts:
        length = np.linalg.norm(part, axis=1, keepdims=True)
        units.append(np.divide(part, length, out=np.zeros(part.shape, np.float32), where=length > 0))
    return np.concatenate(units, axis=1)
