"""Campaign "hostile": files of strangers: other formats, checkpoints, archives and lists made to do harm, odd names.

Nothing of them is run, nothing is written outside the folder that was asked for, and pages hold nothing unescaped.
"""

import contextlib
import csv
import io
import itertools
import re
import shutil
import stat
import tarfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, PngImagePlugin

from configs import full
from data_builders import photos
from data_builders.posts.archive import unpacked
from data_builders.posts.post import RawDataError
from data_builders.posts.read import read_posts
from data_builders.top3000.probe import probe_bytes
from ipa_jax.program import main
from tests.faults.trials import Hang, Kind, Place, Trial, within
from tests.helpers import hostile_checkpoints, shared_world
from tests.helpers.built import build_quietly
from tests.helpers.tiny_world import write
from third_party_ports.checkpoints import files
from third_party_ports.checkpoints.weights import WeightsError

SECONDS = 60.0
CANARY = "CANARY"  # a file that hostile content tries to make
SCRIPT = "<script>alert(1)</script>"
NAMES = (SCRIPT, "[bold]x[/nothing]", "a\nb", "..", "../../" + CANARY, "a/../b", '"><img src=x onerror=alert(1)>',
         "'; DROP",          "{{7*7}}", "{% raw %}", "\x1b[31mred", "=cmd|'/c calc'!A1", "名前", "é" * 200,
         "\u202eevil", "&lt;b&gt;", " ",
         "%s%n", "$(touch CANARY)", "a\0b", "-rf", "~", "CON")  # fmt: skip
FORMATS = {
    "zip": b"PK\x03\x04" + bytes(60), "html": b"<!doctype html><html>404</html>", "pdf": b"%PDF-1.7\n" + bytes(99),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(50), "parquet": b"PAR1" + bytes(50) + b"PAR1",
    "gzip": b"\x1f\x8b\x08" + bytes(9),
    "sqlite": b"SQLite format 3\0" + bytes(99), "text": b"hello\nworld\n", "empty": b"", "json": b'{"a": [1, 2]}',
    "utf-16": "image,likes\n".encode("utf-16"), "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "pickle": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch CANARY\x85R.", "deep": b"[" * 100_000,
    "numbers": b'{"test": NaN, "a": 1e999}', "binary": bytes(range(256)) * 40, "xlsx": b"PK\x03\x04xl/workbook.xml",
}  # fmt: skip


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """One hostile input per trial, of each kind in turn (or of those that are named)."""
    kinds = {"formats": _formats, "checkpoints": _checkpoints, "archives": _archives, "lists": _lists,
             "photos": _photos, "pages": _pages}  # fmt: skip
    for number in itertools.count():
        for kind in names or kinds:
            if kind == "pages" and not names and number % 20:
                continue  # they take long
            folder = place.scratch / "hostile"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with contextlib.chdir(folder):
                yield _told(kind, kinds[kind], place, folder)


def _told(kind: str, trial: Callable[[Place, Path], Trial], place: Place, folder: Path) -> Trial:
    try:
        with within(SECONDS):
            found = trial(place, folder)
    except Hang:
        return Trial(kind, Kind.HANG)
    except Exception as error:
        place_of = traceback.extract_tb(error.__traceback__)[-1]
        return Trial(
            kind, Kind.TRACEBACK, f"{type(error).__name__} {place_of.filename}:{place_of.lineno}: {error!s:.500}"
        )
    made = [*place.scratch.rglob(CANARY), *Path.cwd().parent.glob(CANARY)]
    return found._replace(kind=Kind.SILENT, said=f"{CANARY} was made: {made}") if made else found


def _formats(place: Place, folder: Path) -> Trial:
    """Every flag that names a file or folder gets a file of another format, or a folder that holds one."""
    world, run = shared_world.world(place.shared), shared_world.trained(place.shared)
    name = place.rng.choice(sorted(FORMATS))
    given = folder / f"given.{place.rng.choice((name, 'csv', 'json', 'zip', 'pth', 'parquet', 'tsv'))}"
    if in_folder := place.rng.random() < 0.4:
        given = folder / "given"
        given.mkdir()
        inside = ("posts.csv", "header.json", "dataset_info.json", "config.json", "results.json", "model.safetensors",
                  "checksums.json", "metadata.json", "data.json", "a.json", "media.json")  # fmt: skip
        for file in place.rng.sample(inside, 4):
            (given / file).write_bytes(FORMATS[name])
    else:
        given.write_bytes(FORMATS[name])
    data, out = f"--data_dir={world}/data", folder / "out"
    lines = [
        ["build", "--config=full:tiny", f"--raw={given}", f"--features={world}/features", f"--data_dir={out}"],
        ["build", "--config=full:tiny", f"--raw={world}/raw", f"--features={given}", f"--data_dir={out}"],
        ["inspect", f"--data_dir={given}"], ["evaluate", f"--export={given}", data],
        ["evaluate", f"--export={run}/export", f"--data_dir={given}"], ["report", f"--workdir={given}", data],
        ["report", f"--workdir={run}", data, f"--baselines={given}", f"--out={out}/a.html"],
        ["report", f"--workdir={run}", data, f"--checklist={given}", f"--out={out}/a.html"],
        ["train", "--config=basic:tiny", f"--config.data_dir={given}", f"--workdir={out}"],
        ["human-study", "score", f"--db={given}", data], ["convert", "swin_base_22k", str(given), f"--out={out}/a"],
        ["rank", f"--history={given}", f"--photos={world}/raw/image", f"--out={out}"],
        ["fetch-images", str(given), f"--to={out}"], ["baselines", f"--data_dir={given}"],
        ["extract", "--config=full:tiny", "--random_weights", f"--raw={given}", f"--out={out}"],
        ["checklist", data, f"--workdir={given}"], ["near-duplicates", f"--export={given}", data],
    ]  # fmt: skip
    line = place.rng.choice(lines)
    flag = next(word for word in line if str(given) in word).partition("=")[0].replace(str(given), "FILE")
    what = f"{line[0]} {flag}: {'a folder with ' if in_folder else ''}{name}"
    status, said = call(line)
    if "Traceback" in said or (status and "error: " not in said):
        return Trial(what, Kind.TRACEBACK, f"status {status}: {said[-500:]}")
    return Trial(what, Kind.REFUSED if status else Kind.UNCHANGED, said[-200:])


def call(line: list[str]) -> tuple[int, str]:
    """(exit status, what it said) of a command in this process."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main(line) or 0
        except SystemExit as end:
            status = int(end.code or 0)
        except Exception:
            status = 1
            traceback.print_exc()
    return status, said.getvalue()


def _checkpoints(place: Place, folder: Path) -> Trial:
    name = place.rng.choice(sorted(hostile_checkpoints.CASES))
    (folder / name).write_bytes(hostile_checkpoints.CASES[name]())
    try:
        files.read(folder / name, ("model",))
    except WeightsError as error:
        return Trial(f"checkpoint {name}", Kind.REFUSED if name in str(error) else Kind.TRACEBACK, str(error)[:300])
    return Trial(f"checkpoint {name}", Kind.UNCHANGED)


def _archives(place: Place, folder: Path) -> Trial:
    """A zip or tar of posts with members that lead out of the folder, links, doubles, or sizes that are not true."""
    rng, path, out = place.rng, folder / "history.zip", io.BytesIO()
    members = ["posts.csv", *rng.sample([f"../{CANARY}.csv", f"/tmp/../{CANARY}.txt", f"a/../../{CANARY}.json",
               "link.csv", "posts.csv", "a\\..\\..\\x.json", "b.jpg/posts.json", "b.jpg", "C:\\x.csv",
               "x" * 300 + ".csv",                ".csv", "a//b.csv", "./c.csv"], rng.randrange(1, 5))]  # fmt: skip
    if rng.random() < 0.2:
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name in members:
                tar.addfile(tarfile.TarInfo(name))
    else:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, contextlib.suppress(UserWarning):
            for name in dict.fromkeys(members):
                info = zipfile.ZipInfo(name)
                if name == "link.csv":
                    info.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, rng.choice((b"/etc/passwd", b"image,likes\n", bytes(300_000))))
    content = bytearray(out.getvalue())
    for _ in range(rng.choice((0, 0, 1, 4))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    what = f"archive of {', '.join(name[:24] for name in members)}"
    try:
        root = unpacked(path, folder / "cache")
    except (RawDataError, OSError) as error:
        return Trial(what, Kind.REFUSED if "history.zip" in str(error) else Kind.TRACEBACK, str(error)[:300])
    outside = [file for file in place.scratch.rglob("*") if file.is_file() and CANARY in file.name
               and not file.resolve().is_relative_to(root.resolve())]  # fmt: skip
    links = [file for file in root.rglob("*") if file.is_symlink()]
    return Trial(what, Kind.SILENT if outside or links else Kind.UNCHANGED, str(outside + links))


def _lists(place: Place, folder: Path) -> Trial:
    """posts.csv with odd names, paths, numbers and marks."""
    rng = place.rng
    odd = (*NAMES, "1e308", "-1", "NaN", "9" * 40, "0x10", "1,234", "١٢", "/etc/passwd", "a.jpg", "", "2020-02-30")
    columns = ["image", "account", "likes", "timestamp", "caption"]
    rows = [[f"{n}.jpg", f"u{n % 2}", str(n + 5), str(1_500_000_000 + n * 9000), f"caption {n}"] for n in range(20)]
    for _ in range(rng.randrange(1, 6)):
        rows[rng.randrange(20)][rng.randrange(5)] = rng.choice(odd)
    for n in range(20):
        (folder / f"{n}.jpg").write_bytes(b"")
    out = io.StringIO()
    csv.writer(out, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))).writerows([columns, *rows])
    (folder / "posts.csv").write_text(out.getvalue(), errors="replace")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            table, _ = read_posts(folder, full.get_config("tiny").data.to_dict())
    except RawDataError as error:
        return Trial("list", Kind.REFUSED if "posts.csv" in str(error) else Kind.TRACEBACK, str(error)[:300])
    paths = [path for paths in table["image_paths"].to_list() for path in paths or ()]
    if out_of := [path for path in paths if not (folder / path).resolve().is_relative_to(folder.resolve())]:
        return Trial("list", Kind.SILENT, f"paths out of the folder: {out_of}")
    return Trial("list", Kind.UNCHANGED)


def _photos(place: Place, folder: Path) -> Trial:
    """Photos with odd EXIF, texts, ICC profiles and endings; what the probe takes every reader takes."""
    rng, out = place.rng, io.BytesIO()
    image = Image.new(rng.choice(("RGB", "L", "RGBA", "P", "CMYK", "1", "I;16", "LA")), (40, 30))
    kind = rng.choice(("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "ICO", "PPM"))
    options: dict = {}
    if rng.random() < 0.6:
        options["exif"] = rng.choice(
            (b"Exif\0\0", b"Exif\0\0II*\0" + bytes(20), rng.randbytes(40), b"MM\0*" + b"\xff" * 30)
        )
    if rng.random() < 0.5:
        options["icc_profile"] = rng.choice((rng.randbytes(200), b"\0" * 128))
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text(
            "Raw profile type exif", rng.choice((SCRIPT, "\nexif\n 9\nzz", "x" * 2_000_000)), zip=True
        )
    what = f"{kind} of {image.mode} with {', '.join(options) or 'nothing'}"
    try:
        image.save(out, kind, **options)
    except Exception:
        return Trial(f"{what}: Pillow cannot write it", Kind.SKIPPED)
    content = out.getvalue()
    probed = probe_bytes(content)
    try:
        photos.read(content), photos.read_near(content, 8), photos.upright(content, near=16)
    except photos.PhotoError as error:
        return Trial(what, Kind.REFUSED if probed is None else Kind.SILENT, str(error)[:300])
    return Trial(what, Kind.UNCHANGED if probed is not None else Kind.SILENT)


def _pages(place: Place, folder: Path) -> Trial:
    """Accounts with odd names, through the build and onto a page."""
    name = place.rng.choice([name for name in NAMES if "\0" not in name])
    write(folder, accounts=2, posts=14, side=24, seed=place.rng.randrange(9), named=name)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            data = build_quietly(folder, folder / "data")
    except (ValueError, OSError) as error:
        return Trial(f"page of {name!r}", Kind.REFUSED, str(error)[:300])
    status, said = call(["inspect", f"--data_dir={data}", "--split=train", "--html=a.html", "--jsonl=a.jsonl"])
    if status or "Traceback" in said:
        return Trial(f"page of {name!r}", Kind.TRACEBACK, said[-500:])
    page = (folder / "a.html").read_text()
    if re.search(r"<script>alert|<img src=x|onerror=alert\(1\)>(?!&)", page) or "\x1b" in said:
        return Trial(f"page of {name!r}", Kind.SILENT, "the name is on the page unescaped")
    return Trial(f"page of {name!r}", Kind.UNCHANGED)
