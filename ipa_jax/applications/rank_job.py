"""The whole of `ipa-jax rank`: opens a history, describes its photos and the new ones, ranks, writes the files."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from data_builders.features.photo_store import PhotoFeatures, features_of
from data_builders.photos import PhotoError
from ipa_jax.applications import rank_page, ranking_files, ratings
from ipa_jax.applications.account import Account, open_account
from ipa_jax.applications.photo_files import find_photos
from ipa_jax.applications.ranking import NewPhotos, Ranking
from ipa_jax.applications.shots import Shot, read_shot
from ipa_jax.applications.thumbnails import thumbnails
from ipa_jax.applications.units import to_pick
from third_party_ports.files import write_text

SHOWN = 20  # photos of the table on the screen; the files hold all
BROKEN = 5  # unreadable photos that are named on the screen


class WrongUse(ValueError):
    """A flag has a value that cannot work; the message names the flag."""


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; the fields are its flags."""

    history: Path
    photos: Sequence[Path]
    account: str | None = None
    scorer: str = "auto"
    export: Path | None = None
    profile: str = "light"
    weights: Path = Path("weights")
    pick: str | None = None
    ratings: bool = False
    overwrite_ratings: bool = False


@dataclass(frozen=True)
class Photos:
    """The new photos that can be read.

    Attributes:
      files: as they were found.
      digests: sha256 of each file's content.
      described: features of all of them, in this order.
      shots: for units.
      broken: file -> why it cannot be read.
    """

    files: list[Path]
    digests: list[str]
    described: NewPhotos
    broken: dict[Path, str]


def run(asked: Asked, out: Path, *, made_up: bool = False) -> Ranking:
    """Ranks, prints the table and writes ranking.html, ranking.csv and ranking.json into `out`, a folder that exists.

    Raises:
      WrongUse: --photos or --pick cannot work.
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: no photo can be read, or the export does not fit.
    """
    for flag, path in (("--history", asked.history), ("--export", asked.export)):
        if path is not None and not path.expanduser().exists():
            raise WrongUse(f"{flag}: {path} does not exist")
    try:
        files, others = find_photos(asked.photos)
        if asked.pick is not None:
            to_pick(asked.pick, len(files))
    except ValueError as error:
        raise WrongUse(str(error)) from error
    account = open_account(asked.history, asked.account, asked.export, asked.profile, asked.weights)
    photos = _photos(files, account)
    notes = _notes(photos, others, set(account.digests.values()))
    ranking = account.rank(photos.described, asked.scorer, asked.pick)
    for line in (*_table(ranking), *notes, "", ranking.verdict):
        print(line)
    _write(ranking, account, photos, asked, out, notes, made_up)
    return ranking


def _photos(files: Sequence[Path], account: Account) -> Photos:
    found: PhotoFeatures = features_of(files, account.config, account.store, "photos")
    shots, broken = _shots(files, found)
    kept = [i for i, shot in enumerate(shots) if shot is not None]
    if not kept:
        file, reason = next(iter(broken.items()))
        raise ValueError(f"no photo of {len(files)} can be read, such as {file}: {reason}")
    described = NewPhotos(
        names=tuple(str(files[i]) for i in kept),
        features=found.features.rows(found.rows[kept]),
        shots=tuple(shot for shot in shots if shot is not None),
    )
    return Photos([files[i] for i in kept], [found.digests[i] for i in kept], described, broken)


def _shots(files: Sequence[Path], found: PhotoFeatures) -> tuple[list[Shot | None], dict[Path, str]]:
    broken = {files[i]: reason for i, reason in found.reasons.items()}

    def one(file: Path) -> Shot | None:
        if file in broken:
            return None
        try:
            return read_shot(file.read_bytes())
        except (PhotoError, OSError) as error:
            broken[file] = str(error)
            return None

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, files)), broken


def _notes(photos: Photos, others: dict[str, int], posted: set[str]) -> list[str]:
    """What else a person should know about the photos, a sentence each."""
    notes = []
    if photos.broken:
        named = "; ".join(f"{file.name}: {reason}" for file, reason in list(photos.broken.items())[:BROKEN])
        notes.append(f"{_photos_are(len(photos.broken))} not readable: {named}")
    notes += [f"files of a format that is not read: {count} {suffix}" for suffix, count in others.items()]
    digests = Counter(photos.digests)
    if twice := sum(count - 1 for count in digests.values()):
        notes.append(f"{_photos_are(twice)} an exact copy of another one")
    if again := sum(digest in posted for digest in digests):
        notes.append(f"{_photos_are(again)} in the history already, so its own likes are part of its score")
    return notes


def _photos_are(count: int) -> str:
    return "1 photo is" if count == 1 else f"{count} photos are each"


def _table(ranking: Ranking) -> list[str]:
    """The ranking as it is printed: a line per unit."""
    leads = [photo for photo in ranking.photos if photo.leads]
    count = len(ranking.photos)
    units = "" if count == ranking.units else f" ({ranking.units} after near-duplicates)"
    lines = ["", f"{count} photo{'s' * (count != 1)}{units}, best first, by {ranking.ranked_by}:"]
    width = min(max(len(Path(photo.name).name) for photo in leads[:SHOWN]), 40)
    for photo in leads[:SHOWN]:
        members = sum(other.rank == photo.rank for other in ranking.photos)
        more = f" (+{members - 1})" if members > 1 else ""
        likes = "" if photo.expected is None else f"  {photo.expected[0]:,} to {photo.expected[1]:,} likes"
        picked = "* " if photo.picked else "  "
        lines.append(f"{picked}{photo.rank:>4}  {Path(photo.name).name[:40]:<{width}}{more}{likes}  {photo.reason}")
    if len(leads) > SHOWN:
        lines.append(f"  ... and {len(leads) - SHOWN} more in ranking.csv")
    return lines


def _write(
    ranking: Ranking, account: Account, photos: Photos, asked: Asked, out: Path, notes: Sequence[str], made_up: bool
) -> None:
    if asked.ratings:
        by_name = {photo.name: photo.rank for photo in ranking.photos}
        ranks = [by_name[str(file)] for file in photos.files]
        rated = ratings.write_ratings(photos.files, ranks, ranking.units, asked.overwrite_ratings)
        counts = Counter(one.outcome for one in rated)
        print("stars: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
        for one in rated:
            if one.reason:
                print(f"warning: {one.photo}: no stars written: {one.reason}")
    kept, side = account.store / "thumbnails", rank_page.PHOTO_SIDE
    small = thumbnails(photos.files, photos.digests, side, kept)
    first = photos.described.names.index(ranking.photos[0].name)  # it is shown larger
    small[first] = thumbnails([photos.files[first]], [photos.digests[first]], 2 * side, kept)[0]
    shown = dict.fromkeys(post.path for photo in ranking.photos if photo.leads for post in photo.similar)
    files, digests = [account.root / path for path in shown], [account.digests[path] for path in shown]
    posts = thumbnails(files, digests, rank_page.POST_SIDE, kept)
    page = rank_page.render(
        ranking,
        dict(zip(photos.described.names, small, strict=True)),
        dict(zip(shown, posts, strict=True)),
        profile=account.config.extract.profile,
        rated=asked.ratings,
        made_up=made_up,
        notes=notes,
    )
    write_text(out / "ranking.csv", ranking_files.to_csv(ranking))
    write_text(out / "ranking.json", ranking_files.to_json(ranking))
    write_text(out / "ranking.html", page)
    print(f"next: open {out / 'ranking.html'} in a browser; the figures are in ranking.csv and ranking.json beside it")
