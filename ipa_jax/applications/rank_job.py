"""The whole of `ipa-jax rank`: opens a history, describes its photos and the new ones, ranks, writes the files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ipa_jax.applications import new_photos, on_screen, rank_page, ranking_files, ratings
from ipa_jax.applications.account import Account
from ipa_jax.applications.history_flags import Source
from ipa_jax.applications.ranking import Ranking
from third_party_ports.files import write_text

SHOWN = 20  # photos of the table on the screen; the files hold all


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; the fields are its flags."""

    source: Source
    photos: Sequence[Path]
    pick: str | None = None
    ratings: bool = False
    overwrite_ratings: bool = False


def run(asked: Asked, out: Path, *, made_up: bool = False) -> Ranking:
    """Ranks, prints the table and writes ranking.html, ranking.csv and ranking.json into `out`, a folder that exists.

    Raises:
      WrongUse: --photos or --pick cannot work.
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: no photo can be read, or the export does not fit.
    """
    account, photos, notes = new_photos.find(asked.source, asked.photos, asked.pick)
    ranking = account.rank(photos.described, asked.source.scorer, asked.pick)
    for line in (*_table(ranking), *notes, "", ranking.verdict):
        print(line)
    _write(ranking, account, photos, asked, out, notes, made_up)
    return ranking


def _table(ranking: Ranking) -> list[str]:
    """The ranking as it is printed."""
    count = len(ranking.photos)
    units = "" if count == ranking.units else f" ({ranking.units} after near-duplicates)"
    heading = f"{count} photo{'s' * (count != 1)}{units}, best first, by {ranking.ranked_by}:"
    return ["", heading, *on_screen.lines(ranking.photos, SHOWN, "ranking.csv")]


def _write(
    ranking: Ranking,
    account: Account,
    photos: new_photos.Photos,
    asked: Asked,
    out: Path,
    notes: Sequence[str],
    made_up: bool,
) -> None:
    if asked.ratings:
        _rate(ranking, photos, asked.overwrite_ratings)
    page = rank_page.render(
        ranking,
        new_photos.pictures(photos, account, large=ranking.photos[0].name),
        account.post_pictures(ranking.photos),
        profile=account.config.extract.profile,
        rated=asked.ratings,
        made_up=made_up,
        notes=notes,
    )
    write_text(out / "ranking.csv", ranking_files.to_csv(ranking))
    write_text(out / "ranking.json", ranking_files.to_json(ranking))
    write_text(out / "ranking.html", page)
    print(f"next: open {out / 'ranking.html'} in a browser; the figures are in ranking.csv and ranking.json beside it")


def _rate(ranking: Ranking, photos: new_photos.Photos, overwrite: bool) -> None:
    by_name = {photo.name: photo.rank for photo in ranking.photos}
    ranks = [by_name[str(file)] for file in photos.files]
    rated = ratings.write_ratings(photos.files, ranks, ranking.units, overwrite)
    counts = Counter(one.outcome for one in rated)
    print("stars: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    for one in rated:
        if one.reason:
            print(f"warning: {one.photo}: no stars written: {one.reason}")
