"""Writes ranking.html: the photos as a gallery, best first, with reasons and the track record. One file, no scripts."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ipa_jax.applications import reasons
from ipa_jax.applications.expected_likes import ExpectedLikes
from ipa_jax.applications.history_bank import NO_FEATURES, UNRIPE
from ipa_jax.applications.ranked_photo import RankedPhoto, SimilarPost
from ipa_jax.applications.ranking import Ranking
from ipa_jax.applications.ratings import stars
from ipa_jax.applications.track_record import Figure, TrackRecord
from ipa_jax.applications.units import BURST

TEMPLATES = Path(__file__).parent / "templates"
PHOTO_SIDE, POST_SIDE = 480, 128  # pixels of the thumbnails that the page shows
UNIT_NOTES = {
    "burst": "The best of {n} near-duplicates. The others:",
    "bracket": "An exposure bracket of {n} photos, ranked as one:",
    "panorama": "A panorama set of {n} photos, ranked as one:",
}
SCORED_BY = {  # by scorer that ranks
    "retrieval": "A photo's score is how the account's most similar posts did against the posts around their time.",
    "probe": "A photo's score comes from a linear regression of how the account's posts did on what they show. The "
    "similar posts beside a photo are there to compare: the order need not follow them.",
    "model": "A photo's score comes from a trained network, which reads the photo and how similar posts did.",
    "mean": "A photo's score is the mean of several ways of scoring, so the order need not follow the similar posts.",
}
ABOUT = (
    " Likes have many causes that no photo shows, so the order says what to expect, not what "
    "to think of a photo. Scores of different accounts cannot be compared. Everything was computed on this computer."
)
LIGHT = (
    " Light profile: similarity comes from one small ImageNet network (EfficientNet-Lite2), not from the paper's pose, "
    "background and caption networks, and depth is not used."
)


@dataclass(frozen=True)
class Section:
    """Photos that are ranked together; a page of one section has no headings."""

    photos: Sequence[RankedPhoto]
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Look:
    """What differs between the pages of `rank`, `thumbnail` and `select`.

    Attributes:
      kicker, title: above and in the heading; the title "" is made from the ranking.
      sections: the galleries; none: one of all photos.
      names: name of a photo -> what its card is headed with; by default the file's name.
      facts: name of a photo -> a line below that.
      picked: the mark on photos that are picked.
      unit_note: why the photos of a burst are one; {n} is their number.
      chart: HTML above the galleries.
      ratio: width over height of all photos, which are then shown whole; None: as squares, cut where they are not.
    """

    kicker: str = "Photo ranking"
    title: str = ""
    sections: Sequence[Section] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    picked: str = "picked"
    unit_note: str = UNIT_NOTES["burst"]
    chart: str = ""
    ratio: float | None = None


def template(name: str) -> jinja2.Template:
    """A template of the pages of photos; what comes from data is escaped."""
    return jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True).get_template(name)


def render(
    ranking: Ranking,
    photos: Mapping[str, bytes],
    posts: Mapping[str, bytes],
    *,
    look: Look = Look(),
    profile: str = "light",
    rated: bool = False,
    made_up: bool = False,
    notes: Sequence[str] = (),
) -> str:
    """The page as text.

    Args:
      ranking: what to show.
      photos: name -> JPEG thumbnail, of every photo that is shown.
      posts: path -> JPEG thumbnail, of every post that a photo shows as similar.
      look: of the page.
      profile: "light" or "paper", what the features come from.
      rated: whether stars were written.
      made_up: whether the likes are made up, as in the demo.
      notes: what else was left out, a sentence each.
    """
    numbers = {path: number for number, path in enumerate(posts)}
    count = ranking.units
    title = look.title or _title(ranking)
    return template("ranking.html").render(
        kicker=look.kicker,
        title=title,
        picked=look.picked,
        chart=Markup(look.chart),
        ratio=look.ratio,
        made_up=made_up,
        record=record_view(ranking.track_record, ranking.verdict, ranking.expected_likes),
        sections=[
            {
                "heading": section.heading,
                "note": section.note,
                "photos": [
                    _card(list(unit), photos, numbers, look) | {"stars": stars(unit_rank, count) if rated else 0}
                    for unit_rank, unit in groupby(section.photos, _unit)
                ],
            }
            for section in look.sections or [Section(ranking.photos)]
        ],
        posts=[{"uri": _uri(content)} for content in posts.values()],
        left_out=[*left_out_lines(ranking.left_out, ranking.as_of), *notes],
        about=about(profile, ranking.ranked_by),
    )


def _title(ranking: Ranking) -> str:
    photos = len(ranking.photos)
    if photos == 1:
        return f"1 photo for {ranking.account}"
    grouped = "" if ranking.units == photos else f" ({ranking.units} after near-duplicates)"
    return f"{photos} photos for {ranking.account}{grouped}, best first"


def about(profile: str, ranked_by: str) -> str:
    """What a ranking is and is not."""
    return SCORED_BY.get(ranked_by, "") + ABOUT + (LIGHT if profile == "light" else "")


def left_out_lines(left_out: Mapping[str, Sequence[str]], as_of: str) -> list[str]:
    """How many posts of the history are not used, and one of them, by reason. as_of: ISO time of the likes' counts."""
    words = {
        UNRIPE: f"younger than 7 days on {as_of[:10]}, which the likes are taken to be from",
        NO_FEATURES: "the photo cannot be read",
    }
    return [
        f"{len(ids)} post{'s' * (len(ids) != 1)} of the history: {words.get(reason, reason)} (such as {ids[0]})"
        for reason, ids in left_out.items()
    ]


def expected_text(photo: RankedPhoto) -> str:
    """The range of likes in words; "" without one."""
    if photo.expected is None:
        return ""
    low, high = photo.expected
    return f"about {low:,} to {high:,} likes" if low != high else f"about {low:,} likes"


def unit_note(unit: Sequence[RankedPhoto]) -> str:
    """Why the photos of a unit are ranked as one; "" for a photo that is alone."""
    return UNIT_NOTES.get(unit[0].unit, "").format(n=len(unit))


def post_view(post: SimilarPost) -> dict[str, Any]:
    """A similar post as pages show it."""
    parts = {"pose": post.pose, "background": post.background, "caption": post.caption}
    return {
        "likes": f"{post.likes:,}",
        "date": post.date[:10],
        "did": f"did {reasons.times(post.local_score)}",
        "similarity": f"{post.similarity:.2f}",
        "parts": ", ".join(f"{name} {value:.2f}" for name, value in parts.items() if value),
    }


def _unit(photo: RankedPhoto) -> int:
    return photo.rank


def _card(
    unit: list[RankedPhoto], thumbnails: Mapping[str, bytes], numbers: Mapping[str, int], look: Look
) -> dict[str, Any]:
    """A unit: its best photo, and the others behind it, of those that have a thumbnail."""
    best, others = unit[0], [other for other in unit[1:] if other.name in thumbnails]
    return {
        "name": look.names.get(best.name) or Path(best.name).name,
        "fact": look.facts.get(best.name, ""),
        "rank": best.rank,
        "uri": _uri(thumbnails[best.name]),
        "picked": best.picked,
        "expected": expected_text(best),
        "sentence": best.reason,
        "unit_note": look.unit_note.format(n=len(unit)) if best.unit == BURST else unit_note(unit),
        "members": [
            {"name": look.names.get(other.name) or Path(other.name).name, "uri": _uri(thumbnails[other.name])}
            for other in others
        ],
        "similar": [post_view(post) | {"number": numbers[post.path]} for post in best.similar],
    }


def record_view(record: TrackRecord, sentence: str, expected: ExpectedLikes) -> dict[str, Any]:
    """The track record as the page shows it; places on the strip are percent."""
    figure = record.scorers[record.scorer]
    rule = None
    if record.newer_wins is not None and record.older_wins is not None:
        name, share = max(("newer wins", record.newer_wins), ("older wins", record.older_wins), key=lambda one: one[1])
        at = 100 * share
        rule = {"name": f"{name} {at:.0f}\u00a0%", "at": _percent(at), "label_at": _percent(min(at, 70))}
    detail = ""
    if expected.low is not None and expected.coverage is not None:
        detail = (
            f"Ranges of likes are meant to hold four posts of five. On this account's past they held "
            f"{100 * expected.coverage:.0f} % of {expected.covered_of}."
        )
    elif expected.low is None and record.usable_posts:
        detail = "There are too few posts of the past to give a range of likes."
    return {
        "sentence": sentence.replace(" %", "\u00a0%"),
        "detail": detail,
        "accuracy": None if figure.accuracy is None else _percent(100 * figure.accuracy),
        "percent": "" if figure.accuracy is None else f"{100 * figure.accuracy:.0f}",
        "interval": figure.interval and tuple(_percent(100 * bound) for bound in figure.interval),
        "rule": rule,
        "protocol": _protocol(record),
        "figures": [_figure(row) for row in record.scorers.values()] if record.usable_posts else [],
    }


def _figure(row: Figure) -> dict[str, Any]:
    """A row of the table of scorers."""
    bounds = "" if row.interval is None else f"{100 * row.interval[0]:.1f} to {100 * row.interval[1]:.1f}\u00a0%"
    every = row.all_pairs_accuracy
    return {
        "heading": row.heading,
        "for_choosing": row.for_choosing,
        "accuracy": "-" if row.accuracy is None else f"{100 * row.accuracy:.1f}\u00a0%",
        "interval": bounds or "-",
        "pairs": row.pairs,
        "all_pairs": "-" if every is None else f"{100 * every:.1f} % of {row.all_pairs}",
    }


def _protocol(record: TrackRecord) -> str:
    compared = "likes over the median of the posts around their time" if record.relative_likes else "likes"
    days = record.window_days
    return (
        f"Each of {record.scored_posts} posts was scored as if it were new, by posts that are at least {days} days "
        f"older. A pair is two posts within {days} days whose {compared} differ by a factor above "
        f'{record.min_ratio:g}; the last column counts pairs of any ratio. "Chosen at each time" takes, at each '
        "moment of the past, the way of scoring that was right most often before it, so its figure is the honest one. "
        "The best of the other rows flatters itself."
    )


def _percent(value: float) -> float:
    return round(min(max(value, 0.0), 100.0), 2)


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
