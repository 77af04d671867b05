"""Campaign "corruption": a file of an artefact is damaged as disks and transfers do it, and all of it is read again."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.faults.artefacts import Artefact, artefacts, digest, heard
from tests.faults.trials import Hang, Kind, Place, Trial, within

SECONDS = 30.0  # no reader of these small files takes as long


class Damage(NamedTuple):
    """A way to damage one of some files; it returns what it did."""

    do: Callable[[list[Path], random.Random], str]
    often: int


def _flip(files: list[Path], rng: random.Random) -> str:
    file = rng.choice([each for each in files if each.stat().st_size])
    content = bytearray(file.read_bytes())
    bit = rng.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    return f"{file.name}: bit {bit % 8} of byte {bit // 8} flipped"


def _cut(files: list[Path], rng: random.Random) -> str:
    file = rng.choice(files)
    content = file.read_bytes()
    size = rng.randrange(len(content) + 1)
    file.write_bytes(content[:size])
    return f"{file.name}: cut to {size} of {len(content)} bytes"


def _empty(files: list[Path], rng: random.Random) -> str:
    file = rng.choice(files)
    file.write_bytes(b"")
    return f"{file.name}: emptied"


def _zeros(files: list[Path], rng: random.Random) -> str:
    """As a disk does whose last blocks were never written."""
    file = rng.choice(files)
    content = file.read_bytes()
    start = rng.randrange(len(content) + 1)
    file.write_bytes(content[:start] + bytes(len(content) - start))
    return f"{file.name}: zeros from byte {start} on"


def _foreign(files: list[Path], rng: random.Random) -> str:
    file = rng.choice(files)
    content = rng.choice(
        (b"PK\x03\x04 an archive", b"<html>404</html>", b"{}", b"[]", b"\x89HDF\r\n\x1a\n", b"PAR1PAR1")
    )
    file.write_bytes(content)
    return f"{file.name}: {content!r}"


def _appended(files: list[Path], rng: random.Random) -> str:
    file = rng.choice(files)
    file.write_bytes(file.read_bytes() + rng.choice((b"\0", b"\n", b"<<<<<<< HEAD\n", bytes(4096))))
    return f"{file.name}: something at its end"


def _swapped(files: list[Path], rng: random.Random) -> str:
    one, other = rng.choice(files), rng.choice(files)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return f"{one.name} and {other.name} swapped"


def _gone(files: list[Path], rng: random.Random) -> str:
    file = rng.choice(files)
    file.unlink()
    return f"{file.name}: deleted"


DAMAGES = (Damage(_flip, 10), Damage(_cut, 3), Damage(_zeros, 2), Damage(_appended, 1), Damage(_foreign, 1),
           Damage(_swapped, 2), Damage(_empty, 1), Damage(_gone, 1))  # fmt: skip


def campaign(place: Place, names: tuple[str, ...] = ()) -> Iterator[Trial]:
    """One damage per trial, over each artefact in turn (or those that are named)."""
    found = artefacts(place.shared)
    made = {name: _made(artefact, place.scratch / f"made/{name}") for name, artefact in found.items()
            if name in (names or found)}  # fmt: skip
    while True:
        for name, (folder, whole) in made.items():
            yield _trial(name, found[name], folder, whole, place)


def _made(artefact: Artefact, folder: Path) -> tuple[Path, str]:
    """The artefact, and the digest of what it holds."""
    folder.mkdir(parents=True)
    artefact.make(folder)
    copy = shutil.copytree(folder, folder.with_name(folder.name + " read"))  # reading may leave something there
    return folder, digest(artefact.read(copy))


def _trial(name: str, artefact: Artefact, whole: Path, expected: str, place: Place) -> Trial:
    folder = place.scratch / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    files = sorted(path for path in folder.glob(artefact.files) if path.is_file())
    damage = place.rng.choices(DAMAGES, [each.often for each in DAMAGES])[0]
    what = f"{name}, {damage.do(files, place.rng)}"
    try:
        with within(SECONDS), heard() as said:
            value = digest(artefact.read(folder))
    except artefact.errors as error:
        named = str(folder) in str(error) or any(file.name in str(error) for file in files)
        return Trial(what, Kind.REFUSED if named else Kind.TRACEBACK, f"{type(error).__name__}: {error}")
    except Hang:
        return Trial(what, Kind.HANG)
    except Exception as error:
        return Trial(what, Kind.TRACEBACK, f"{type(error).__name__}: {error}")
    if artefact.compared and value != expected:
        return Trial(what, Kind.SILENT)
    return Trial(what, Kind.REFUSED if artefact.log and str(folder) in said.getvalue() else Kind.UNCHANGED)
