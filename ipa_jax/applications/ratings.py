"""Star ratings beside photos, as XMP sidecars that photo managers read. Photos themselves are never written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ipa_jax.applications import xmp
from third_party_ports import files

WRITTEN, KEPT, SKIPPED = "written", "kept", "skipped"  # what became of a photo's rating


@dataclass(frozen=True)
class Rated:
    """What became of one photo's rating.

    Attributes:
      photo: the photo.
      sidecars: its sidecars, new or existing.
      stars: the rating that it was to get, 1 to 5.
      outcome: WRITTEN, KEPT (it has a rating or a reject already) or SKIPPED.
      reason: why it was skipped, else "".
    """

    photo: Path
    sidecars: tuple[Path, ...]
    stars: int
    outcome: str
    reason: str = ""


def stars(rank: int, units: int) -> int:
    """The stars of the unit of a rank, 1 to `units`: 5 for the first fifth, 1 for the last."""
    return 5 - 5 * (rank - 1) // units


def sidecars(photo: Path, alone: bool = True) -> list[Path]:
    """The existing sidecars of a photo: `photo.ext.xmp`, and `photo.xmp` if no other photo may claim it (`alone`)."""
    named = [photo.with_name(f"{photo.name}.xmp")]
    if alone:
        named.append(photo.with_suffix(".xmp"))
    return [path for path in dict.fromkeys(named) if path.is_file()]


def write_ratings(photos: Sequence[Path], ranks: Sequence[int], units: int, overwrite: bool = False) -> list[Rated]:
    """Writes the stars of photos into their sidecars; `photo.ext.xmp` is made where a photo has none.

    Everything else in an existing sidecar stays as it is, byte by byte. A rating or a reject that exists stays too,
    unless `overwrite`; 0 counts as none.

    Args:
      photos: the files.
      ranks: of the units that the photos are in, from 1; members of a unit share it.
      units: number of units.
      overwrite: replaces existing ratings and rejects.

    Returns:
      What became of each photo. A sidecar that cannot be read or written is left as it is, with the reason.
    """
    claims = Counter(photo.with_suffix("") for photo in photos)
    done = []
    for photo, rank in zip(photos, ranks, strict=True):
        found, given = sidecars(photo, claims[photo.with_suffix("")] == 1), stars(rank, units)
        paths = tuple(found or [photo.with_name(f"{photo.name}.xmp")])
        try:
            done.append(Rated(photo, paths, given, _rate(paths, given, overwrite)))
        except (OSError, xmp.XmpError) as error:
            done.append(Rated(photo, paths, given, SKIPPED, str(error)))
    return done


def _rate(paths: Sequence[Path], given: int, overwrite: bool) -> str:
    """Writes a rating into all sidecars of one photo, or into none. Returns the outcome."""
    changed = {}
    for path in paths:
        if not path.exists():
            changed[path] = xmp.new(given)
            continue
        with path.open("rb") as file:
            document = file.read(xmp.LARGEST + 1)  # a larger one is refused
        try:
            if xmp.rating(document) and not overwrite:
                return KEPT
            changed[path] = xmp.with_rating(document, given)
        except xmp.XmpError as error:
            raise xmp.XmpError(f"{path}: {error}") from error
    for path, document in changed.items():
        files.write_bytes(path, document)
    return WRITTEN
