"""New photos of one account in order, with the reasons and the track record: the record that becomes ranking.json.

The score of a photo does not depend on the other photos; its unit, rank and pick do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from data_builders.features.features import Features
from data_builders.retrieval.top_k import Retrieved
from ipa_jax.applications import reasons
from ipa_jax.applications.expected_likes import ExpectedLikes, expected_likes
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import AUTO, OwnPast, own_past, score_new
from ipa_jax.applications.scorers import Model, available
from ipa_jax.applications.shots import Shot
from ipa_jax.applications.track_record import TrackRecord, track_record
from ipa_jax.applications.units import PHOTO, WHOLE, Unit, find_units, to_pick

SCHEMA_VERSION = 1  # of ranking.json; a field that goes or changes its meaning raises it
UNFAMILIAR = 0.05  # the share of posts of the past that were less like anything before them
TIE = 9  # decimals of a score, below which a difference is rounding


@dataclass(frozen=True)
class NewPhotos:
    """The Q photos to rank: unique names (paths as the user gave them), features and shots, in one order."""

    names: tuple[str, ...]
    features: Features
    shots: tuple[Shot, ...]


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


@dataclass(frozen=True)
class Ranking:
    """A ranking with all that it rests on.

    Attributes:
      schema_version: of this record.
      account, as_of: of the history; when its likes were counted, ISO, UTC.
      scorer: as asked for, "auto" included.
      ranked_by: the scorer that ranks.
      units: number of units.
      picked_units: number of units that are picked; 0 if nothing was to be picked.
      usable_posts: posts of the history that are used.
      left_out: reason -> ids of the posts that are not.
      verdict: what the own past says about this ranking, in words.
      track_record: the same in figures.
      expected_likes: how ranges of likes are made, and how often they held.
      photos: in order; the members of a unit follow each other.
    """

    schema_version: int
    account: str
    as_of: str
    scorer: str
    ranked_by: str
    units: int
    picked_units: int
    usable_posts: int
    left_out: dict[str, tuple[str, ...]]
    verdict: str
    track_record: TrackRecord
    expected_likes: ExpectedLikes
    photos: tuple[RankedPhoto, ...]


def rank(
    bank: HistoryBank,
    photos: NewPhotos,
    options: Mapping[str, Any],
    *,
    scorer: str = AUTO,
    pick: str | None = None,
    model: Model | None = None,
    past: OwnPast | None = None,
    seed: int = 0,
) -> Ranking:
    """Ranks photos by what an account's history says about them.

    Args:
      bank: the history.
      photos: the photos to rank.
      options: `config.data` as a nested dict.
      scorer: "auto" or a name of scorers.SCORERS.
      pick: "N" or "N%" of the units; None picks nothing.
      model: see scorers.Model; None without an export.
      past: what `own_past` returned for the same bank, options and model, to save its time.
      seed: of the bootstrap.

    Raises:
      ValueError: there is no photo, a name occurs twice, the scorer is unknown or needs an export, or `pick` is
        neither a number nor a share.
      FloatingPointError: a photo's score is not a number.
    """
    _check(photos, scorer, model)
    past = past or own_past(bank, options, model)
    scores, found = score_new(bank, past, photos.names, photos.features, options, model)
    expected = expected_likes(bank, past, scorer)
    alone = _explained(bank, past, photos.names, scores, scorer, found, expected)
    units = _in_order(find_units(photos.names, photos.shots), alone)
    count = 0 if pick is None else to_pick(pick, len(units))
    ranked = [
        replace(photo, rank=number, unit=unit.kind, leads=place == 0, picked=number <= count and _picks(unit, place))
        for number, (unit, members) in enumerate(units, start=1)
        for place, photo in enumerate(members)
    ]
    record = track_record(bank, past, options["pairs"]["min_ratio"], scorer, seed)
    return Ranking(
        schema_version=SCHEMA_VERSION,
        account=bank.account,
        as_of=_date(bank.as_of),
        scorer=scorer,
        ranked_by=past.chosen[-1] if scorer == AUTO else scorer,
        units=len(units),
        picked_units=count,
        usable_posts=len(bank),
        left_out=bank.left_out,
        verdict=reasons.verdict(record),
        track_record=record,
        expected_likes=expected,
        photos=tuple(ranked),
    )


def _check(photos: NewPhotos, scorer: str, model: Model | None) -> None:
    names = photos.names
    if not names:
        raise ValueError("there is no photo to rank")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"photo {twice} is given twice: give each photo once")
    if not len(names) == len(photos.features) == len(photos.shots):
        raise ValueError(f"{len(names)} photos, {len(photos.features)} rows of features, {len(photos.shots)} shots")
    if scorer == "model" and model is None:
        raise ValueError("--scorer model needs an export: give one with --export")
    if scorer not in (known := [AUTO, *available(model is not None)]):
        raise ValueError(f"--scorer {scorer}: set it to one of {', '.join(known)}")


def _explained(
    bank: HistoryBank,
    past: OwnPast,
    names: Sequence[str],
    scores: Mapping[str, np.ndarray],
    scorer: str,
    found: Retrieved,
    expected: ExpectedLikes,
) -> list[RankedPhoto]:
    """Each photo as if it were alone: nothing here depends on the others. `rank` puts it in its place."""
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


def _in_order(units: Sequence[Unit], photos: Sequence[RankedPhoto]) -> list[tuple[Unit, list[RankedPhoto]]]:
    """Units by their best photo, and the photos of each unit, best first; by name where scores tie."""

    def key(photo: RankedPhoto) -> tuple[float, str]:
        return -round(photo.score, TIE), photo.name

    ordered = [(unit, sorted((photos[i] for i in unit.members), key=key)) for unit in units]
    return sorted(ordered, key=lambda entry: key(entry[1][0]))


def _picks(unit: Unit, place: int) -> bool:
    """Whether the photo at a place of a picked unit is picked: the best one, or all of a set."""
    return place == 0 or unit.kind in WHOLE


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
                date=_date(int(images.time[row])),
                likes=int(images.likes[row]),
                local_score=float(found.local_score[photo, slot]),
                similarity=s,
                pose=pose,
                background=background,
                caption=caption,
            )
        )
    return tuple(posts)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
