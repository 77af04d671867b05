"""New photos of one account in order, with the reasons and the track record: the record that becomes ranking.json.

The score of a photo does not depend on the other photos; its unit, rank and pick do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from data_builders.features.features import Features
from ipa_jax.applications import reasons
from ipa_jax.applications.expected_likes import ExpectedLikes, expected_likes
from ipa_jax.applications.history_bank import HistoryBank
from ipa_jax.applications.own_past import AUTO, OwnPast, own_past
from ipa_jax.applications.ranked_photo import RankedPhoto, check_scorer, explain, iso
from ipa_jax.applications.scorers import Model
from ipa_jax.applications.shots import Shot
from ipa_jax.applications.track_record import TrackRecord, track_record
from ipa_jax.applications.units import WHOLE, Unit, find_units, to_pick

SCHEMA_VERSION = 1  # of ranking.json; a field that goes or changes its meaning raises it
TIE = 9  # decimals of a score, below which a difference is rounding


@dataclass(frozen=True)
class NewPhotos:
    """The Q photos to rank: unique names (paths as the user gave them), features and shots, in one order."""

    names: tuple[str, ...]
    features: Features
    shots: tuple[Shot, ...]


class Arranged(NamedTuple):
    """Photos in order, with the number of units and of those that are picked; see `Ranking`."""

    units: int
    picked_units: int
    photos: tuple[RankedPhoto, ...]


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
    _check(photos)
    check_scorer(scorer, model is not None)
    past = past or own_past(bank, options, model)
    expected = expected_likes(bank, past, scorer)
    alone = explain(bank, past, photos.names, photos.features, options, scorer, expected, model)
    record = track_record(bank, past, options["pairs"]["min_ratio"], scorer, seed)
    return on_record(bank, past, scorer, record, expected, arrange(alone, photos.shots, pick))


def arrange(alone: Sequence[RankedPhoto], shots: Sequence[Shot], pick: str | None = None) -> Arranged:
    """Puts photos in order, near-duplicates and sets as one.

    Args:
      alone: photos as `explain` returns them.
      shots: of the same photos.
      pick: "N" or "N%" of the units; None picks nothing.

    Raises:
      ValueError: `pick` is neither a number nor a share.
    """
    units = _in_order(find_units([photo.name for photo in alone], shots), alone)
    count = 0 if pick is None else to_pick(pick, len(units))
    ranked = [
        replace(photo, rank=number, unit=unit.kind, leads=place == 0, picked=number <= count and _picks(unit, place))
        for number, (unit, members) in enumerate(units, start=1)
        for place, photo in enumerate(members)
    ]
    return Arranged(len(units), count, tuple(ranked))


def on_record(
    bank: HistoryBank,
    past: OwnPast,
    scorer: str,
    record: TrackRecord,
    expected: ExpectedLikes,
    arranged: Arranged,
) -> Ranking:
    """Photos in order, with what the history says about such an order."""
    return Ranking(
        schema_version=SCHEMA_VERSION,
        account=bank.account,
        as_of=iso(bank.as_of),
        scorer=scorer,
        ranked_by=past.chosen[-1] if scorer == AUTO else scorer,
        units=arranged.units,
        picked_units=arranged.picked_units,
        usable_posts=len(bank),
        left_out=bank.left_out,
        verdict=reasons.verdict(record),
        track_record=record,
        expected_likes=expected,
        photos=arranged.photos,
    )


def _check(photos: NewPhotos) -> None:
    names = photos.names
    if not names:
        raise ValueError("there is no photo to rank")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"photo {twice} is given twice: give each photo once")
    if not len(names) == len(photos.features) == len(photos.shots):
        raise ValueError(f"{len(names)} photos, {len(photos.features)} rows of features, {len(photos.shots)} shots")


def _in_order(units: Sequence[Unit], photos: Sequence[RankedPhoto]) -> list[tuple[Unit, list[RankedPhoto]]]:
    """Units by their best photo, and the photos of each unit, best first; by name where scores tie."""

    def key(photo: RankedPhoto) -> tuple[float, str]:
        return -round(photo.score, TIE), photo.name

    ordered = [(unit, sorted((photos[i] for i in unit.members), key=key)) for unit in units]
    return sorted(ordered, key=lambda entry: key(entry[1][0]))


def _picks(unit: Unit, place: int) -> bool:
    """Whether the photo at a place of a picked unit is picked: the best one, or all of a set."""
    return place == 0 or unit.kind in WHOLE
