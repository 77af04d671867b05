"""The whole of `ipa-jax thumbnail`: takes every Nth frame of a video, scores them as photos, writes the best one."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin
from tqdm import tqdm

from data_builders import photos
from data_builders.videos import Frame, Video
from ipa_jax.applications import contact_sheet, cover_page, on_screen, ranking_files
from ipa_jax.applications.account import Account, open_source
from ipa_jax.applications.cover_frames import CoverFrames, Sampled
from ipa_jax.applications.export_alone import open_export
from ipa_jax.applications.frame_groups import look_at
from ipa_jax.applications.history_flags import Source, WrongUse
from ipa_jax.applications.ranking import Ranking
from third_party_ports.files import replacing, write_bytes, write_text

SCRATCH = ".frames"  # below OUT, while the command runs
AT_ONCE, MOST_PIXELS = 64, 1 << 26  # frames that are scored together, and their pixels: bounds memory and disk
LINES, GAPS = 10, 5  # groups and gaps on the screen


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; the fields are its flags."""

    source: Source
    video: Path
    every: int = 25


def run(asked: Asked, out: Path) -> Ranking:
    """Scores a video's frames, prints the best, and writes thumbnail.html, .csv, .json, contact_sheet.png and best.png.

    Args:
      asked: the flags.
      out: a folder that exists.

    Returns:
      All frames in order, near-identical ones as one.

    Raises:
      WrongUse: a path does not exist.
      ModuleNotFoundError: PyAV is missing.
      VideoError: the file is no video, or has no video stream.
      RawDataError: the history cannot be used, or --account must say whose it is.
      ValueError: no frame can be read, or the export does not fit.
    """
    asked.source.check()
    if not asked.video.exists():
        raise WrongUse(f"--video: {asked.video} does not exist")
    scratch = out / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        with Video(asked.video) as video:  # first: to open a history can take long
            account = _account(asked.source)
            (scratch / "photos").mkdir(parents=True)
            frames = CoverFrames(scratch)
            left_out = _score(video, asked, account, frames, scratch)
        if not frames.frames:
            reason = left_out or "; ".join(gap.reason for gap in video.gaps[:1]) or "it has none"
            raise ValueError(f"{asked.video}: no frame of the video can be read ({reason}); give another video")
        return _write(asked, account, video, frames, out, _notes(video, left_out))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _account(source: Source) -> Account:
    if source.history is None:
        assert source.export is not None
        return open_export(source.export)
    return open_source(source)


def _score(video: Video, asked: Asked, account: Account, frames: CoverFrames, scratch: Path) -> str:
    """Scores the frames, some at a time. Returns why frames were left out, if any was."""
    left_out = ""
    shown = "{l_bar}{bar}| {n:.0f}/{total_fmt} s of video [{elapsed}<{remaining}, {rate_noinv_fmt}]"
    length = video.seconds and round(video.seconds, 1)
    with tqdm(total=length, unit="s", desc="frames", smoothing=0.05, bar_format=shown if length else None) as bar:
        for batch in _batches(video.frames(asked.every), scratch / "photos"):
            files = [frame.file for frame in batch]
            features, broken = account.described(files, scratch / "features")
            kept = [frame for i, frame in enumerate(batch) if i not in broken]
            if broken:
                left_out = next(iter(broken.values())).partition(":")[0]
            if kept:
                names = tuple(str(frame.file) for frame in kept)
                frames.add(kept, account.explain(names, features, asked.source.scorer))
            if video.reached is not None:
                bar.update(max(0.0, round(min(video.reached, bar.total or video.reached) - bar.n, 1)))
            shutil.rmtree(scratch / "features", ignore_errors=True)
    return left_out


def _batches(frames: Iterator[Frame], folder: Path) -> Iterator[list[Sampled]]:
    """Frames as files, a few at a time: the scorers read files, as of any photo. The files of a batch are replaced by
    those of the next."""
    batch: list[Sampled] = []
    pixels = 0
    for frame in frames:
        file = folder / f"{len(batch)}.tif"
        frame.image.save(file, "TIFF")  # as it is: quick, and the same pixels as in best.png
        batch.append(Sampled(frame.number, frame.seconds, file, look_at(frame.image)))
        pixels += frame.image.width * frame.image.height
        if len(batch) == AT_ONCE or pixels >= MOST_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _notes(video: Video, left_out: str) -> list[str]:
    """What else a person should know, a sentence each."""
    notes = [cover_page.gap_text(gap) for gap in video.gaps[:GAPS]]
    if len(video.gaps) > GAPS:
        notes.append(f"... and {len(video.gaps) - GAPS} more parts that cannot be read, listed in thumbnail.json")
    if left_out:
        notes.append(f"frames were left out: {left_out}")
    return notes + video.notes


def _write(
    asked: Asked, account: Account, video: Video, frames: CoverFrames, out: Path, notes: Sequence[str]
) -> Ranking:
    ranking = account.on_record(frames.arranged(), asked.source.scorer)
    view = cover_page.View(asked.video.name, asked.every, video.seconds, video.gaps, frames, ranking)
    best = view.best
    print()
    print(f"{view.title}, by {ranking.ranked_by}:")
    shown = on_screen.lines(ranking.photos, LINES, "thumbnail.csv", view.facts)
    for line in (*shown, *notes, "", ranking.verdict):
        print(line)
    cover = photos.upright(frames.best_file)
    words = PngImagePlugin.PngInfo()
    words.add_text("Source", f"{asked.video.name}, {best.photo.name}")
    with replacing(out / "best.png") as temporary:
        cover.save(temporary, "PNG", pnginfo=words)
    write_bytes(out / "contact_sheet.png", contact_sheet.draw(view.title, view.subtitle, view.cells()))
    posts = account.post_pictures(photo for photo in ranking.photos if photo.name in frames.pictures)
    page = view.page(cover, posts, account.config.extract.profile, notes)
    of_photo = {
        frame.photo.name: {"frame": frame.number, "seconds": frame.seconds, "group": frame.group + 1}
        for frame in frames.frames
    }
    write_text(out / "thumbnail.csv", ranking_files.to_csv(ranking, of_photo))
    write_text(out / "thumbnail.json", ranking_files.to_json(ranking, of_photo, video=_record(asked, video, view)))
    write_text(out / "thumbnail.html", page)
    print(f"best frame: {best.photo.name}, {cover.width} x {cover.height} px, in {out / 'best.png'}")
    print(f"next: open {out / 'thumbnail.html'} in a browser; contact_sheet.png, thumbnail.csv and .json lie beside it")
    return ranking


def _record(asked: Asked, video: Video, view: cover_page.View) -> dict[str, Any]:
    """The field `video` of thumbnail.json."""
    return {
        "file": str(asked.video),
        "seconds": video.seconds,
        "every": asked.every,
        "frames_read": video.decoded,
        "frames_scored": len(view.frames.frames),
        "not_read": [asdict(gap) for gap in video.gaps],
        "notes": video.notes,
        "best": {"file": "best.png", "frame": view.best.number, "seconds": view.best.seconds},
    }
