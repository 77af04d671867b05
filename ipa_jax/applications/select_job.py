"""The whole of `ipa-jax select`: groups generated photos by prompt, ranks each group, writes the files."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ipa_jax.applications import new_photos, on_screen, rank_page, ranking_files
from ipa_jax.applications.history_flags import Source
from ipa_jax.applications.prompts import Prompt, prompt_of
from ipa_jax.applications.ranked_photo import RankedPhoto
from ipa_jax.applications.ranking import Arranged, Ranking, arrange
from third_party_ports.files import write_text

LINES, GROUPS = 3, 12  # photos of a group, and groups, on the screen; the files hold all
HEADING = 160  # characters of a prompt that a heading shows
UNKNOWN = "Without a prompt"
TROUBLES = 5  # unreadable text files that are named


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; the fields are its flags."""

    source: Source
    images: Path
    pick: str = "1"


@dataclass(frozen=True)
class Group:
    """Photos of one prompt, "" if none is known, in order: ranks count within the group.

    Attributes:
      prompt: the words.
      sources: where they were found.
      photos: best first; members of a unit follow each other.
    """

    prompt: str
    sources: tuple[str, ...]
    photos: tuple[RankedPhoto, ...]

    @property
    def heading(self) -> str:
        """The prompt as it is shown."""
        text = self.prompt or UNKNOWN
        return text if len(text) <= HEADING else f"{text[:HEADING].rstrip()}..."


def run(asked: Asked, out: Path) -> Ranking:
    """Ranks each group, prints the best, and writes selection.html, selection.csv and selection.json.

    Args:
      asked: the flags.
      out: a folder that exists.

    Returns:
      All photos, group by group; ranks count within a group.

    Raises:
      WrongUse: --images or --pick cannot work.
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: no photo can be read, or the export does not fit.
    """
    account, photos, notes = new_photos.find(asked.source, [asked.images], asked.pick, "--images")
    prompts, troubles = _prompts(photos.files)
    notes += troubles
    alone = account.explain(photos.described.names, photos.described.features, asked.source.scorer)
    groups, arranged = _grouped(alone, photos, prompts, asked.pick)
    ranking = account.on_record(arranged, asked.source.scorer)
    for line in (*_table(groups, ranking), *notes, "", ranking.verdict):
        print(line)
    look = _look(groups, ranking)
    page = rank_page.render(
        ranking,
        new_photos.pictures(photos, account, large=ranking.photos[0].name if len(groups) == 1 else None),
        account.post_pictures(ranking.photos),
        look=look,
        profile=account.config.extract.profile,
        notes=notes,
    )
    of_photo = {
        photo.name: {"group": number, "prompt": group.prompt}
        for number, group in enumerate(groups, start=1)
        for photo in group.photos
    }
    record = [{**asdict(group), "photos": [photo.name for photo in group.photos]} for group in groups]
    write_text(out / "selection.csv", ranking_files.to_csv(ranking, of_photo))
    write_text(out / "selection.json", ranking_files.to_json(ranking, of_photo, groups=record))
    write_text(out / "selection.html", page)
    print(f"next: open {out / 'selection.html'} in a browser; selection.csv and selection.json beside it hold the same")
    return ranking


def _prompts(files: Sequence[Path]) -> tuple[list[Prompt], list[str]]:
    """The prompt of each photo, and what of them could not be read, a sentence each."""
    found = [prompt_of(file) for file in files]
    troubles = [trouble for _, trouble in found if trouble]
    named = [f"not read: {trouble}" for trouble in troubles[:TROUBLES]]
    if len(troubles) > TROUBLES:
        named.append(f"... and {len(troubles) - TROUBLES} more text files")
    return [prompt for prompt, _ in found], named


def _grouped(
    alone: Sequence[RankedPhoto], photos: new_photos.Photos, prompts: Sequence[Prompt], pick: str
) -> tuple[list[Group], Arranged]:
    """Groups by their best photo, those of unknown prompt last; and all photos in this order."""
    members: dict[str, list[int]] = {}
    for i, prompt in enumerate(prompts):
        members.setdefault(prompt.text, []).append(i)
    groups: list[tuple[Group, Arranged]] = []
    for text, rows in members.items():
        arranged = arrange([alone[i] for i in rows], [photos.described.shots[i] for i in rows], pick)
        sources = tuple(dict.fromkeys(prompts[i].source for i in rows if prompts[i].source))
        groups.append((Group(text, sources, arranged.photos), arranged))
    groups.sort(key=lambda pair: (not pair[0].prompt, -pair[0].photos[0].score, pair[0].prompt))
    together = Arranged(
        units=sum(arranged.units for _, arranged in groups),
        picked_units=sum(arranged.picked_units for _, arranged in groups),
        photos=tuple(photo for group, _ in groups for photo in group.photos),
    )
    return [group for group, _ in groups], together


def _look(groups: Sequence[Group], ranking: Ranking) -> rank_page.Look:
    sections = []
    for group in groups:
        count = len(group.photos)
        found = f"prompt from the {' and the '.join(group.sources)}" if group.sources else "no prompt was found"
        alone = f"{group.heading}: " if len(groups) == 1 and group.prompt else ""
        note = f"{alone}{count} photo{'s' * (count != 1)}, {found}"
        sections.append(rank_page.Section(group.photos, group.heading if len(groups) > 1 else "", note))
    return rank_page.Look(kicker="Generated photos", title=_title(groups, ranking), sections=sections)


def _title(groups: Sequence[Group], ranking: Ranking) -> str:
    count = len(ranking.photos)
    known = sum(bool(group.prompt) for group in groups)
    of = f" of {known} prompt{'s' * (known != 1)}" if known else ""
    return f"{count} photo{'s' * (count != 1)}{of} for {ranking.account}" + ", best first" * (count > 1 == len(groups))


def _table(groups: Sequence[Group], ranking: Ranking) -> list[str]:
    """The groups as they are printed."""
    lines = ["", f"{_title(groups, ranking)}, by {ranking.ranked_by}:"]
    for group in groups[:GROUPS]:
        lines += ["", group.heading, *on_screen.lines(group.photos, LINES, "selection.csv")]
    if len(groups) > GROUPS:
        lines += ["", f"... and {len(groups) - GROUPS} more prompts in selection.csv"]
    return lines
