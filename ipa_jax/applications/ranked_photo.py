"""One photo of a ranking with what it rests on: its score, the posts it resembles, and a sentence.

Nothing here depends on the other photos; `ranking` puts a photo in its place among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from data_builders.features.features import Features
from data_builders.retrieval.top_k import Retrieved
from ipa_jax.applications import reasons
from ipa_jax.applications.expected_likes import ExpectedLikes
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import AUTO, OwnPast, score_new
from ipa_jax.applications.scorers import Model, available
from ipa_jax.applications.units import PHOTO

UNFAMILIAR = 0.05  # the share of posts of the past that were less like anything before them


@dataclass(frozen=True)
class SimilarPost:
    """A post that a photo retrieves (eq. 1 to 3).

    Attributes:
      post_id, path: the post, and its image below the history.
      date: ISO, UTC.
      likes: of the post.
      local_score: its likes over the mean around its time.
      similarity: S; pose, background, caption: its parts, 0 for one that is not used.
    """

    post_id: str
    path: str
    date: str
    likes: int
    local_score: float
    similarity: float
    pose: float
    background: float
    caption: float


@dataclass(frozen=True)
class RankedPhoto:
    """One photo.

    Attributes:
      name: as the user gave it.
      rank: of its unit, from 1.
      unit: kind of its unit: photo, burst, bracket or panorama.
      leads: whether it is the best of its unit; the others stand behind it.
      picked: whether to take it.
      score: by the scorer that ranks; 0 is the usual, log 2 twice that.
      scores: scorer -> score, of all that ran.
      expected: (fewest, most) likes; None with too few posts to tell.
      similar: the posts it retrieves, the most similar first.
      reason: one sentence.
    """

    name: str
    rank: int
    unit: str
    leads: bool
    picked: bool
    score: float
    scores: dict[str, float]
    expected: tuple[int, int] | None
    similar: tuple[SimilarPost, ...]
    reason: str


def check_scorer(scorer: str, with_model: bool) -> None:
    """Raises ValueError for a scorer that is unknown, or that needs an export where there is none."""
    if scorer == "model" and not with_model:
        raise ValueError("--scorer model needs an export: give one with --export")
    if scorer not in (known := [AUTO, *available(with_model)]):
        raise ValueError(f"--scorer {scorer}: set it to one of {', '.join(known)}")


def explain(
    bank: HistoryBank,
    past: OwnPast,
    names: tuple[str, ...],
    features: Features,
    options: Mapping[str, Any],
    scorer: str,
    expected: ExpectedLikes,
    model: Model | None = None,
) -> list[RankedPhoto]:
    """Scores photos and says what each score rests on, each photo as if it were alone: of rank 1.

    Args:
      bank, past, options, model: as for own_past.score_new.
      names: of the Q photos: paths where a scorer opens them.
      features: of the Q photos.
      scorer: one that passes `check_scorer`.
      expected: how ranges of likes are made.

    Raises:
      FloatingPointError: a photo's score is not a number.
    """
    scores, found = score_new(bank, past, names, features, options, model)
    z = scores[scorer]
    if not np.isfinite(z).all():
        raise FloatingPointError(f"{names[int(np.isfinite(z).argmin())]}: its score by {scorer} is not a number")
    explained, familiar = [], _familiar(past, found)
    for i, name in enumerate(names):
        similar = _similar(bank, found, i)
        explained.append(
            RankedPhoto(
                name=name,
                rank=1,
                unit=PHOTO,
                leads=True,
                picked=False,
                score=float(z[i]),
                scores={other: float(values[i]) for other, values in scores.items() if other != AUTO},
                expected=expected.range(float(z[i])),
                similar=similar,
                reason=reasons.photo_reason([post.local_score for post in similar], bool(familiar[i])),
            )
        )
    return explained


def _familiar(past: OwnPast, found: Retrieved) -> np.ndarray:
    """bool [Q]: whether a photo's best S is not below that of nearly all posts of the past."""
    best = past.retrieved.similarity[:, 0, 0]
    limit = np.quantile(best, UNFAMILIAR) if len(best) else 0.0
    return found.similarity[:, 0, 0] >= limit


def _similar(bank: HistoryBank, found: Retrieved, photo: int) -> tuple[SimilarPost, ...]:
    images, posts = bank.images, []
    for slot in np.flatnonzero(found.mask[photo]):
        row = int(found.index[photo, slot])
        s, pose, background, caption = (float(value) for value in found.similarity[photo, slot])
        posts.append(
            SimilarPost(
                post_id=str(images.post_id[row]),
                path=bank.paths[row],
                date=iso(int(images.time[row])),
                likes=int(images.likes[row]),
                local_score=float(found.local_score[photo, slot]),
                similarity=s,
                pose=pose,
                background=background,
                caption=caption,
            )
        )
    return tuple(posts)


def iso(seconds: int) -> str:
    """Unix seconds as ISO, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
