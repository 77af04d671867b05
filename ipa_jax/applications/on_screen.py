"""Photos in order as lines on the screen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ipa_jax.applications.ranked_photo import RankedPhoto

WIDEST = 40  # characters of a name


def lines(
    photos: Sequence[RankedPhoto], most: int, elsewhere: str, facts: Mapping[str, str] | None = None
) -> list[str]:
    """A line per unit: a star for a pick, rank, name, further members of the unit, likes to expect, and the reason.

    Args:
      photos: in order; members of a unit follow each other.
      most: lines; the last one then says where the others are.
      elsewhere: the file that holds all.
      facts: name of a photo -> what else its line says.
    """
    leads, members = [photo for photo in photos if photo.leads], Counter(photo.rank for photo in photos)
    names = [Path(photo.name).name[:WIDEST] for photo in leads[:most]]
    width, shown = max(map(len, names), default=0), []
    for photo, name in zip(leads, names, strict=False):
        more = f" (+{members[photo.rank] - 1})" if members[photo.rank] > 1 else ""
        likes = "" if photo.expected is None else f"  {photo.expected[0]:,} to {photo.expected[1]:,} likes"
        fact = f"  {facts[photo.name]}" if facts else ""
        mark = "* " if photo.picked else "  "
        shown.append(f"{mark}{photo.rank:>4}  {name:<{width}}{more}{fact}{likes}  {photo.reason}".rstrip())
    if len(leads) > most:
        shown.append(f"  ... and {len(leads) - most} more in {elsewhere}")
    return shown
