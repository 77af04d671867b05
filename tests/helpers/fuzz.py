"""Fuzzing of the readers: seeded changes of valid files and flags, and what each reader made of them.

    python -m tests.helpers.fuzz [--trials=10000] [--seed=0] [--only=NAME]

Prints a table of trials, values read wrong, tracebacks and hangs. A crash of the process counts as a traceback.
"""

import argparse
import collections
import contextlib
import io
import json
import pickle
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from safetensors.numpy import save

from data_builders import options
from data_builders.cli import ConfigParser
from data_builders.features.rows import StoreError
from data_builders.features.store import FeatureReader
from data_builders.posts.post import RawDataError
from data_builders.posts.read import read_posts
from ipa_jax.human_study.answers import Answers, Study
from ipa_jax.human_study.pairs import Pair
from ipa_jax.training import preflight
from tests.helpers import hostile_checkpoints, raw_layout, tiny_store
from tests.helpers.paths import GOLDEN, ROOT
from third_party_ports.checkpoints import files
from third_party_ports.checkpoints.weights import WeightsError

SECONDS = 5  # of the processor; a trial that takes longer hangs
NUMBERS = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"-1",
    b"1e999",
    b"nan",
]
PARTS = [
    b'"',
    b",",
    b"\n",
    b"\r\n",
    b"\t",
    b";",
    b"[",
    b"{",
    b"../",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"'",
    b"\\",
    b" ",
    b"(",
    b"0x",
]


class Target(NamedTuple):
    """A reader to fuzz.

    Attributes:
      make: writes a valid example into a folder and returns its files; one of them is changed in each trial.
      read: reads the folder and returns plain values.
      errors: what it may raise.
      compare: whether a value that is read has to be the original one, because a checksum protects it.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    errors: tuple[type[BaseException], ...]
    compare: bool = False


class Hang(BaseException):
    """A trial took too long. No reader may catch it."""


def change(content: bytes, rng: random.Random) -> bytes:
    """One to eight small changes: bits, bytes, numbers, parts moved, doubled, left out or cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        place, length = rng.randrange(len(changed) + 1), rng.choice((1, 1, 2, 4, 8, 64))
        kind = rng.randrange(8)
        if kind <= 1 and changed:
            changed[min(place, len(changed) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            number = rng.choice(NUMBERS)
            changed[place : place + len(number)] = number
        elif kind == 4:
            del changed[place : place + length]
        elif kind == 5:
            changed[place:place] = rng.choice(PARTS)
        elif kind == 6:
            start = rng.randrange(len(changed) + 1)
            changed[place:place] = changed[start : start + length]
        elif rng.random() < 0.2:
            del changed[place:]
    return bytes(changed)


def _weights(path: Path) -> dict[str, np.ndarray]:
    return files.read(path, ("state_dict", "model")).tensors


def _weights_target(make: Callable[[Path], object], compare: bool = False) -> Target:
    def write(folder: Path) -> list[Path]:
        make(folder / "weights")
        return [folder / "weights"]

    return Target(write, lambda folder: _weights(folder / "weights"), (WeightsError,), compare)


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["dense/kernel"] = np.arange(12, dtype=np.float32).reshape(3, 4)
        file.create_dataset("conv/kernel", data=np.arange(600.0), chunks=(50,), compression="gzip", shuffle=True)


def _mixed(path: Path) -> None:
    """Tensors, NumPy arrays and other objects, in an old file, whose pickle has no checksum."""
    arrays = pickle.dumps({"w": np.ones((2, 3)), "seen": collections.Counter([1, 1])}, 2)[2:-1]
    head = hostile_checkpoints.MAGIC + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    content = b"\x80\x02}(" + b"".join(
        hostile_checkpoints.text(name) + held for name, held in (("n", arrays), ("a", hostile_checkpoints.tensor()))
    )
    storage = pickle.dumps(["0"], 2) + struct.pack("<q", 6) + hostile_checkpoints.FLOATS
    path.write_bytes(head + content + b"u." + storage)


def _csv(folder: Path) -> list[Path]:
    lines = ["image,account,likes,timestamp,caption"]
    lines += [
        f'a{n % 3}/p{n}.jpg,a{n % 3},{100 + n * 7},2020-01-{n + 1:02d}T09:30:00Z,"a photo, {n}"' for n in range(25)
    ]
    for n in range(25):
        raw_layout.save_image(folder / f"a{n % 3}/p{n}.jpg", n)
    (folder / "posts.csv").write_text("\n".join(lines) + "\n")
    return [folder / "posts.csv"]


def _influencers(folder: Path) -> list[Path]:
    raw = raw_layout.InstagramFolder(folder / "raw")
    for account in ("anna", "ben"):
        raw.account(account)
        for number in range(6):
            raw.post(account, f"p{number}", raw_layout.node(100 + number, 1_500_000_000 + number * 10**5))
    root = raw.write()
    mapping = [root / "influencers.txt", root / "JSON-Image_files_mapping.txt"]
    return [*mapping, *sorted((root / "info").glob("*.info"))[:3]]


def _posts(raw: Path) -> int:
    with contextlib.redirect_stderr(io.StringIO()):
        return len(read_posts(raw, raw_layout.OPTIONS)[0])


def _store(folder: Path) -> list[Path]:
    with tiny_store.open_writer(folder / "store") as writer:
        for number in range(5):
            writer.write("a", f"i{number}", 30, 40, **tiny_store.row(number, [tiny_store.person(0.5)]))
    return [path for path in sorted((folder / "store").iterdir()) if path.is_file()]


def _read_store(folder: Path) -> dict[str, np.ndarray]:
    reader = FeatureReader(folder / "store")
    features = reader.load("a", [f"i{number}" for number in range(5)])
    return {name: np.asarray(value) for name, value in vars(features).items() if isinstance(value, np.ndarray)}


def _study(folder: Path) -> list[Path]:
    answers = Answers(folder / "study.db")
    answers.create(Study("data", "test", "0" * 8, 3, 0))
    pairs = [Pair(*range(n, n + len(Pair._fields))) for n in range(3)]
    code = answers.enter("", "Anna", lambda _: pairs, 0.0)
    person = answers.participant(code)
    assert person is not None
    answers.answer(person.id, answers.upcoming(person.id)[0].key, "left", 100.0)
    return [folder / "study.db"]


def _read_study(folder: Path) -> list:
    answers = Answers(folder / "study.db")
    answers.study()
    for person in answers.participants():
        answers.upcoming(person.id)
    return answers.choices()


@cache
def _fields() -> dict[str, str]:
    """Every field of the config that has a value, and the value."""
    config = ConfigParser("train", "").parse_args(["--config=full:tiny"]).config

    def fields(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from fields(value, f"{prefix}{name}.")
            elif value is not None:
                yield f"{prefix}{name}", str(value)

    return dict(fields(config.to_dict(), ""))


def _flags(folder: Path) -> list[Path]:
    (folder / "flags").write_text("\n".join(_fields().values()))
    return [folder / "flags"]


def _read_flags(folder: Path) -> None:
    """Sets the fields whose values were changed, and checks the config. No command line can hold a NUL."""
    values = (folder / "flags").read_bytes().decode("utf-8", "replace").replace("\0", "").split("\n")
    pairs = zip(_fields().items(), values, strict=False)
    changed = [f"--config.{name}={value}" for (name, before), value in pairs if value != before][:3]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            config = ConfigParser("train", "").parse_args(["--config=full:tiny", *changed]).config
    except SystemExit as end:
        if end.code != 2 or not said.getvalue().startswith("error: "):
            raise RuntimeError(f"exit {end.code}: {said.getvalue()[:200]}") from end
        raise
    try:
        options.check(config.data.to_dict())
        options.check_extract(config.extract.to_dict())
        preflight.check_model(config)
    except ValueError as error:
        if "config." not in str(error):
            raise RuntimeError(f"no field is named: {error}") from error
        raise


TARGETS = {
    "pth": _weights_target(lambda path: shutil.copy(GOLDEN / "torch_files/wrapped_model.pth", path), compare=True),
    "pth before 1.6": _weights_target(lambda path: shutil.copy(GOLDEN / "torch_files/legacy_before_1_6.pth", path)),
    "pth with objects": _weights_target(_mixed),
    "safetensors": _weights_target(
        lambda path: path.write_bytes(save({"a": np.ones((3, 4), np.float32), "b.c": np.arange(5)}))
    ),
    "hdf5": _weights_target(_hdf5),
    "npz": _weights_target(
        lambda path: np.savez_compressed(path.open("wb"), **{"a": np.ones((3, 4)), "b/c": np.arange(9)}), compare=True
    ),
    "config flags": Target(_flags, _read_flags, (SystemExit, ValueError)),
    "posts.csv": Target(_csv, _posts, (RawDataError,)),
    "influencer files": Target(_influencers, lambda folder: _posts(folder / "raw"), (RawDataError,)),
    "feature store": Target(_store, _read_store, (StoreError, FileNotFoundError), compare=True),
    "study answers": Target(_study, _read_study, (OSError,)),
}


class Outcome(NamedTuple):
    """What happened: counts, and an example of each kind of fault."""

    trials: int
    refused: int
    wrong: int
    tracebacks: int
    hangs: int
    examples: dict[str, str]


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def fuzz(name: str, trials: int, seed: int, folder: Path) -> Outcome:
    """Fuzzes one target in a folder, which is emptied before each trial."""
    target, count = TARGETS[name], collections.Counter()
    examples: dict[str, str] = {}
    made = folder / "made"
    made.mkdir(parents=True)
    changeable = [path.relative_to(made) for path in target.make(made)]
    contents = {path: (made / path).read_bytes() for path in changeable}
    whole = target.read(made)
    for trial in range(seed, seed + trials):
        rng = random.Random(trial)
        path = rng.choice(changeable)
        (made / path).write_bytes(change(contents[path], rng))
        kind = ""
        try:
            with _limited():
                found = target.read(made)
            if target.compare and not _same(found, whole):
                kind = "wrong"
        except Hang:
            kind = "hang"
        except target.errors:
            count["refused"] += 1
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"traceback {type(error).__name__} {Path(place.filename).name}:{place.lineno}"
        if kind:
            count[kind.split()[0]] += 1
            examples.setdefault(kind, f"seed {trial}, {path}")
        for known in changeable if kind or target.read is _read_study else [path]:
            (made / known).write_bytes(contents[known])
        if target.read is _read_study:
            for extra in made.glob("*-*"):  # SQLite's own files
                extra.unlink()
    return Outcome(trials, count["refused"], count["wrong"], count["traceback"], count["hang"], examples)


def _same(found: dict[str, np.ndarray], whole: dict[str, np.ndarray]) -> bool:
    """Whether every tensor of a known name is the original one. Missing ones are noticed by whoever needs them."""
    return all(
        np.array_equal(found[name], whole[name], equal_nan=found[name].dtype.kind == "f")
        for name in found.keys() & whole.keys()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, help="one reader, in this process; prints JSON")
    given = parser.parse_args()
    if given.only:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(fuzz(given.only, given.trials, given.seed, Path(folder))._asdict()))
        return 0
    faults = 0
    print("| reader | trials | refused | wrong | tracebacks | hangs |\n| --- | --- | --- | --- | --- | --- |")
    for name in TARGETS:
        trials = given.trials // len(TARGETS)
        line = [
            sys.executable,
            "-m",
            "tests.helpers.fuzz",
            f"--only={name}",
            f"--trials={trials}",
            f"--seed={given.seed}",
        ]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            outcome = Outcome(trials, 0, 0, 1, 0, {f"the process ended with {done.returncode}": done.stderr[-500:]})
        else:
            outcome = Outcome(**json.loads(done.stdout.splitlines()[-1]))
        print(f"| {name} | {' | '.join(map(str, outcome[:5]))} |", flush=True)
        for kind, example in outcome.examples.items():
            print(f"{name}: {kind}: {example}", file=sys.stderr, flush=True)
        faults += outcome.wrong + outcome.tracebacks + outcome.hangs
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
